// One mail: who wrote it, what it says (in a sandboxed frame), its files, its conversation, and what can be done with it.
import { avatar, button, element, icon, link, mailFrame, people, tag } from "./dom.js";
import { compose } from "./composing.js";
import { deliveryNote, fileList, invitationNote, save } from "./parts.js";
import { actionButton, load, skeleton } from "./states.js";

const UNDO = { archive: "unarchive", trash: "untrash" };
const FRAME_PX = { least: 150, most: 620, line: 24, chars: 88 };

// `place`: {id} of one's own mail, or {contactId, owner, id}. `back` is where the list is; `changed` hears of what is done.
export function readMail(session, place, { back, backLabel, changed = () => {} }) {
  const own = !place.owner || place.owner === session.user.id;
  const head = element("div", { className: "reading-back" },
    link(backLabel ?? session.t("view.inbox"), back, { icon: "back", className: "button quiet" }));
  const fetchMail = (look) => (own
    ? session.client.message(place.id, look) : session.client.contactEmail(place.contactId, place.owner, place.id, look));
  const body = load(session, skeleton(session, "mail"), async () => {
    const mail = await fetchMail({});
    if (own && mail.unread) markRead(session, mail, changed);
    return element("div", { className: "reading-parts" }, whole(session, mail, { own, place, fetchMail, changed }),
      own ? conversation(session, mail) : null);
  });
  return element("article", { className: "reading" }, head, body);
}

// Without the permission to change mail it stays unread at Gmail, and nothing else is missing.
function markRead(session, mail, changed) {
  session.client.modify([mail.id], "read").then(() => changed("read"), () => {});
}

function whole(session, mail, context) {
  const { t } = session;
  return element("div", { className: "stack" },
    element("h1", { className: "mail-title", dataset: { focus: "" }, textContent: mail.subject || t("mail.noSubject") }),
    context.own ? toolbar(session, mail, context) : sharedNote(session, mail),
    letterHead(session, mail), letter(session, mail, context));
}

function letterHead(session, mail) {
  const { t } = session;
  const from = mail.from ?? { name: "", address: "" };
  const contact = session.crm.contacts.find((one) => one.addresses.some(
    ({ address }) => address.toLowerCase() === from.address.toLowerCase()));
  return element("div", { className: "letter-head" }, avatar(from.name || from.address),
    element("div", { className: "grow" },
      element("div", { className: "row" }, element("strong", { textContent: from.name || from.address || t("mail.nobody") }),
        from.name ? element("span", { className: "quiet small", textContent: from.address }) : null,
        contact ? link(t("mail.contact", { name: contact.name }), `#/contacts/${contact.id}`, { className: "tag info" }) : null,
        mail.authenticated === false && !mail.labels?.includes("SENT") ? tag(t("mail.unverified"), "warn", "warning") : null),
      element("div", { className: "quiet small" }, t("mail.to", { people: people(mail.to) || t("mail.nobody") }),
        mail.cc?.length ? `, ${t("mail.cc", { people: people(mail.cc) })}` : "")),
    element("time", { className: "quiet small", dateTime: mail.received_at, textContent: session.whenExactly(mail.received_at) }));
}

// What stands in the mail, without its head: also what a conversation opens.
export function letter(session, mail, { place, own, fetchMail }) {
  const { t } = session;
  const parts = element("div", { className: "stack letter" });
  const fill = (shown) => parts.replaceChildren(...[
    shown.cut ? note("warn", "warning", t("mail.cut")) : null,
    shown.delivery_report ? deliveryNote(session, shown.delivery_report) : null,
    shown.invitation ? invitationNote(session, shown.invitation) : null,
    shown.blocked_remote ? imagesNote(session, shown, () => fetchMail({ remote: true }), fill) : null,
    frameOf(session, shown), fileList(session, shown, own ? place.id : place)].filter(Boolean));
  fill(mail);
  return parts;
}

function note(kind, name, text, action = null) {
  return element("div", { className: `note ${kind}` }, icon(name), element("div", { textContent: text }), action);
}

function imagesNote(session, mail, fetchAll, fill) {
  const show = actionButton(session, session.t("mail.showImages"), async () => {
    fill(await fetchAll());
    session.say(session.t("mail.imagesShown"));
  }, { kind: "small" });
  return note("", "image", session.t("mail.blocked", { count: mail.blocked_remote }), show);
}

// The frame's content has an origin of its own and cannot be measured: its height is a guess from what stands in it.
function frameOf(session, mail) {
  if (!mail.html || !mail.frame) return null;
  const frame = mailFrame(mail, session.t("mail.frame"));
  const text = mail.text ?? mail.html.replace(/<[^>]*>/g, " ");
  const lines = text.split("\n").reduce((sum, line) => sum + 1 + Math.floor(line.trim().length / FRAME_PX.chars), 1);
  const images = (mail.html.match(/<img/g) ?? []).length;
  frame.style.height = `${Math.min(FRAME_PX.most, Math.max(FRAME_PX.least, lines * FRAME_PX.line + images * 110 + 40))}px`;
  return frame;
}

function sharedNote(session, mail) {
  return note(mail.audience.shared ? "" : "warn", "people",
    `${session.t("mail.sharedBy", { name: mail.owner_name })} ${mail.audience.text[session.language]}`);
}

function toolbar(session, mail, { changed }) {
  const { t } = session;
  const write = (mode, name) => button(t(`compose.${mode}`), () => compose(session, { mode, mail }), { icon: name, kind: mode === "reply" ? "" : "quiet" });
  const does = (action, name, then) => actionButton(session, t(action === "unread" ? "mail.unread.action" : `mail.${action}`), async () => {
    await session.client.modify([mail.id], action);
    (then ?? (() => done(session, mail, action, changed)))();
  }, { icon: name, kind: "quiet icon" });
  return element("div", { className: "toolbar", role: "toolbar", "aria-label": t("mail.actions") },
    write("reply", "reply"), mail.to.length + mail.cc.length > 1 ? write("reply_all", "replyAll") : null, write("forward", "forward"),
    element("span", { className: "divider" }),
    toggle(session, mail, "star", "unstar", "star", mail.starred),
    does("archive", "archive"), does("trash", "trash"),
    does("unread", "mail", () => { changed("unread"); session.say(t("mail.done.unread")); }),
    toggle(session, mail, "hide", "unhide", "eyeOff", mail.hidden),
    link(t("mail.why"), `#/labels/why/${mail.id}`, { icon: "question", className: "button quiet" }),
    actionButton(session, t("mail.source"), () => save(session.client.raw(mail.id)), { icon: "file", kind: "quiet icon" }));
}

function done(session, mail, action, changed) {
  changed(action);
  session.say(session.t(`mail.done.${action}`), UNDO[action] ? { action: { label: session.t("mail.undo"), run: async () => {
    await session.client.modify([mail.id], UNDO[action]);
    changed(UNDO[action]);
  } } } : {});
}

function toggle(session, mail, on, off, name, isOn) {
  const node = actionButton(session, session.t(`mail.${on}`), async () => {
    await session.client.modify([mail.id], isOn ? off : on);
    isOn = !isOn;
    node.setAttribute("aria-pressed", isOn);
    session.say(session.t(`mail.done.${isOn ? on : off}`));
  }, { icon: name, kind: "quiet icon", "aria-pressed": String(Boolean(isOn)) });
  return node;
}

// The other mails of the conversation, closed; each is opened where it stands. They are asked for unbidden only where
// there surely are some: it costs as much as two mails.
function conversation(session, mail) {
  const isAnswer = /^\s*(re|aw|antw|sv|fwd?|wg)\s*:/i.test(mail.subject) || mail.labels.includes("SENT");
  const fetchOthers = async () => {
    const { messages } = await session.client.thread(mail.thread_id);
    const others = messages.filter((one) => one.id !== mail.id);
    return others.length ? element("div", { className: "stack" },
      element("h2", { className: "small quiet", textContent: session.t("mail.conversation", { count: others.length }) }),
      element("div", { className: "card flush" }, others.map((one) => earlier(session, one))))
      : element("p", { className: "quiet small", textContent: session.t("mail.noConversation") });
  };
  const place = element("div", {});
  const show = () => place.replaceChildren(load(session, skeleton(session, "rows", 1), fetchOthers));
  if (isAnswer) show();
  else place.append(button(session.t("mail.showConversation"), show, { icon: "replyAll", kind: "quiet" }));
  return place;
}

function earlier(session, mail) {
  const own = { own: true, place: { id: mail.id }, fetchMail: (look) => session.client.message(mail.id, look) };
  const body = element("div", { className: "earlier-body" });
  const node = element("details", { className: "earlier" },
    element("summary", {}, avatar(people(mail.from ? [mail.from] : [])), element("span", { className: "grow" },
      element("strong", { textContent: people(mail.from ? [mail.from] : []) }),
      element("span", { className: "mail-snippet", textContent: mail.snippet })),
    element("time", { className: "quiet small", dateTime: mail.received_at, textContent: session.when(mail.received_at) })), body);
  node.addEventListener("toggle", async () => {
    if (!node.open || body.firstChild) return;
    body.append(mail.body_left_out
      ? load(session, skeleton(session, "mail"), async () => letter(session, await own.fetchMail({}), own)) : letter(session, mail, own));
  });
  return node;
}
