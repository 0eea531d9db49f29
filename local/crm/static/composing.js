// Writing: a new mail, an answer, a forwarded one or a draft, with files, another sender, now or later.
import { button, element, field, icon } from "./dom.js";
import { attachFiles } from "./attaching.js";
import { answerSubject, answerTo, looksWrong, parseRecipients, showRecipients } from "./recipients.js";
import { laterMenu, remember } from "./later.js";
import { actionButton, complain } from "./states.js";

const LOOKS = 6;
const LOOK_AGAIN_MS = 1_500;
const SENT_LATER = new Set(["scheduled"]);

// `mode`: new, reply, reply_all, forward (of `mail`); `to`: people; `draft`: {id, message} to go on with.
export function compose(session, { mode = "new", mail = null, to = [], draft = null, sent = () => {} } = {}) {
  const place = document.getElementById("composer");
  if (place.firstChild) {
    session.say(session.t("compose.oneAtATime"));
    place.querySelector("textarea").focus();
    return;
  }
  const opener = document.activeElement;
  const unsaved = (event) => letter.dirty && event.preventDefault();
  // One key a mail, kept over retries: a second click never sends a second mail.
  const letter = { mode, mail, draftId: draft?.id ?? null, key: crypto.randomUUID(), dirty: false, session, sent };
  const close = () => {
    place.replaceChildren();
    removeEventListener("beforeunload", unsaved);
    (opener?.isConnected ? opener : document.getElementById("main"))?.focus();
  };
  addEventListener("beforeunload", unsaved);
  place.replaceChildren(panel(session, letter, close));
  // Who sends at once waits for what is still filled in, recipients above all.
  letter.filled = fill(session, letter, { to, draft }).then(() => {
    if (!place.contains(document.activeElement)) letter.fields[to.length || mode.startsWith("reply") ? "text" : "to"].focus();
  }, (error) => {
    // Half a draft must not be saved over the whole one.
    complain(session, error);
    close();
  });
}

function panel(session, letter, close) {
  const { t } = session;
  const line = (name) => element("input", { name, autocomplete: "off" });
  const fields = { from: element("select", { name: "from" }), to: line("to"), cc: line("cc"), bcc: line("bcc"), subject: line("subject"),
    text: element("textarea", { name: "text", rows: 10, "aria-label": t("compose.text") }) };
  const quote = element("input", { type: "checkbox", checked: true });
  const suggestions = element("datalist", { id: "people" }, session.crm.contacts.flatMap((contact) => contact.addresses.map(
    ({ address }) => element("option", { value: `${contact.name} <${address}>` }))));
  for (const name of ["to", "cc", "bcc"]) fields[name].setAttribute("list", "people");
  Object.assign(letter, { fields, quote, close, files: attachFiles(session, () => { letter.dirty = true; }) });
  const fromField = field(t("compose.from"), fields.from);
  fromField.hidden = true;
  letter.fromField = fromField;
  const copies = element("details", { className: "copies" }, element("summary", { textContent: t("compose.copies") }),
    field(t("compose.cc"), fields.cc), field(t("compose.bcc"), fields.bcc));
  letter.copies = copies;
  const isAnswer = letter.mode !== "new";
  const form = element("form", { className: "composer", role: "dialog", "aria-labelledby": "composer-title", noValidate: true },
    element("header", { className: "composer-head" }, element("h2", { id: "composer-title", textContent: t(`compose.${letter.mode}`) }),
      button(t("compose.close"), () => leave(session, letter), { icon: "close", kind: "quiet icon" })),
    element("div", { className: "composer-body" }, fromField, field(t("compose.to"), fields.to), copies,
      field(t("compose.subject"), fields.subject), fields.text,
      isAnswer ? element("label", { className: "row small" }, quote, t(letter.mode === "forward" ? "compose.carry" : "compose.quote")) : null,
      letter.files.list, suggestions),
    footer(session, letter));
  form.addEventListener("input", () => { letter.dirty = true; });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => onKey(event, session, letter));
  letter.files.acceptDrops(form);
  return form;
}

function footer(session, letter) {
  const { t } = session;
  const send = actionButton(session, t("compose.send"), () => dispatch(session, letter), { icon: "send", kind: "primary", title: "Ctrl+Enter" });
  letter.send = send;
  letter.progress = element("progress", { max: 1, value: 0, hidden: true, "aria-label": t("compose.uploading") });
  return element("footer", { className: "composer-foot" }, send,
    laterMenu(session, (at) => dispatch(session, letter, at)), letter.files.button, letter.progress,
    element("span", { className: "grow" }),
    actionButton(session, t("compose.save"), () => saveDraft(session, letter).then(() => session.say(t("compose.saved"))), { icon: "draft", kind: "quiet icon" }),
    actionButton(session, t("compose.discard"), () => discard(session, letter), { icon: "trash", kind: "quiet icon" }));
}

function onKey(event, session, letter) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) letter.send.click();
  if (event.key === "Escape" && !event.defaultPrevented) leave(session, letter);
}

async function fill(session, letter, { to, draft }) {
  const { fields, mode, mail } = letter;
  if (draft) {
    const { message } = draft;
    fields.to.value = showRecipients(message.to);
    fields.cc.value = showRecipients(message.cc);
    fields.bcc.value = showRecipients(message.bcc);
    fields.subject.value = message.subject;
    fields.text.value = message.text ?? "";
    await letter.files.carry(message);
  } else if (to.length) fields.to.value = showRecipients(to);
  if (mail) fields.subject.value = answerSubject(mail.subject, mode);
  const identities = await session.client.identities().then((answer) => answer.identities, () => []);
  for (const one of identities) fields.from.add(new Option(showRecipients([one]), one.address, one.default, one.default));
  letter.fromField.hidden = identities.length < 2;
  if (mail && mode !== "forward" && !fields.to.value) {
    const answer = answerTo(mail, identities.map((one) => one.address), mode === "reply_all");
    fields.to.value = showRecipients(answer.to);
    fields.cc.value = showRecipients(answer.cc);
  }
  if (fields.cc.value || fields.bcc.value) letter.copies.open = true;
  if (!draft) sign(fields, identities);
}

// The signature of who sends; with another sender it changes, as long as nobody has touched it.
function sign(fields, identities) {
  let signed = "";
  const put = () => {
    const signature = plain(identities.find((one) => one.address === fields.from.value)?.signature ?? "");
    const wanted = signature ? `\n\n-- \n${signature}` : "";
    if (fields.text.value.endsWith(signed)) {
      fields.text.value = fields.text.value.slice(0, fields.text.value.length - signed.length) + wanted;
      signed = wanted;
    }
    if (fields.text.value === wanted) fields.text.setSelectionRange(0, 0);
  };
  fields.from.addEventListener("change", put);
  put();
}

// The words of sanitised HTML, for a text field: never parsed as HTML.
function plain(html) {
  const named = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: " ", "#39": "'" };
  return html.replace(/<br\s*\/?>|<\/(p|div|li|tr)>/gi, "\n").replace(/<[^>]*>/g, "")
    .replace(/&(amp|lt|gt|quot|nbsp|#39);/g, (_, name) => named[name]).trim();
}

function message(letter) {
  const { fields, mode, mail, quote } = letter;
  return {
    ...(mail ? { mode, message_id: mail.id, quote: quote.checked } : {}),
    ...(fields.from.value ? { from: fields.from.value } : {}),
    to: parseRecipients(fields.to.value),
    cc: parseRecipients(fields.cc.value),
    bcc: parseRecipients(fields.bcc.value),
    subject: fields.subject.value,
    text: fields.text.value,
  };
}

async function dispatch(session, letter, sendAt = null) {
  const { t } = session;
  await letter.filled;
  const body = message(letter);
  const all = [...body.to, ...body.cc, ...body.bcc];
  const wrong = looksWrong(all);
  if (!all.length || wrong.length) {
    session.say(all.length ? t("compose.wrong", { address: wrong[0] }) : t("compose.nobody"), { kind: "error" });
    letter.fields.to.focus();
    return;
  }
  let answer;
  try {
    answer = await handOver(session, letter, body, sendAt);
  } catch (error) {
    // Refused for good: what is mended is another mail. Where nothing is known of it, the key stays.
    if (error.status >= 400 && error.status < 500 && !error.retryable) letter.key = crypto.randomUUID();
    complain(session, error);
    return;
  } finally {
    letter.progress.hidden = true;
  }
  letter.close();
  tell(session, letter, answer);
}

async function handOver(session, letter, body, sendAt) {
  const { client } = session;
  const options = { key: letter.key, onProgress: (sent, total) => {
    letter.progress.hidden = total < 100_000;
    letter.progress.value = sent / total;
  } };
  if (letter.draftId && !sendAt) {
    await saveDraft(session, letter);
    return client.sendDraft(letter.draftId, { key: letter.key });
  }
  const answer = await client.send(sendAt ? { ...body, send_at: sendAt } : body, letter.files.all(), options);
  // What was sent is no draft any more; that it is still there harms nobody.
  if (letter.draftId) client.deleteDraft(letter.draftId).catch(() => {});
  return answer;
}

// Sent, waiting, or not known yet: each is said as it is.
async function tell(session, letter, answer) {
  const { t, client } = session;
  for (let look = 0; answer.state === "pending" && look < LOOKS; look += 1) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    answer = { ...answer, ...(await client.sendState(letter.key).catch(() => answer)) };
  }
  if (SENT_LATER.has(answer.state)) {
    remember(session, { key: letter.key, at: answer.send_at, draftId: answer.draft_id });
    session.say(t("compose.scheduled", { at: session.whenExactly(answer.send_at) }), { action: { label: t("state.cancel"), run: async () => {
      await client.cancelSend(letter.key);
      session.say(t("compose.cancelled"));
    } } });
  } else {
    session.say(t(`compose.told.${answer.state}`), answer.state === "sent" ? {} : { kind: "error" });
  }
  letter.sent(answer);
}

async function saveDraft(session, letter) {
  const saved = await session.client.saveDraft(message(letter), letter.files.all(), letter.draftId ? { id: letter.draftId } : {});
  letter.draftId = saved.id;
  letter.dirty = false;
}

// Closing keeps what was written, as a draft.
async function leave(session, letter) {
  if (!letter.dirty) {
    letter.close();
    return;
  }
  try {
    await saveDraft(session, letter);
    letter.close();
    session.say(session.t("compose.saved"), { action: { label: session.t("compose.discard"), run: () => session.client.deleteDraft(letter.draftId) } });
  } catch (error) {
    complain(session, error);
  }
}

async function discard(session, letter) {
  if (letter.draftId) await session.client.deleteDraft(letter.draftId);
  letter.close();
  session.say(session.t("compose.discarded"));
}
