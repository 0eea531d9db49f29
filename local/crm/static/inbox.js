// The user's own mail: folders, search, the list; a mail opens beside it (below it, on a phone).
import { avatar, button, element, icon, link, people, tag, time } from "./dom.js";
import { readMail } from "./reading.js";
import { compose } from "./composing.js";
import { empty, load, skeleton } from "./states.js";

const PAGE = 25;
const FOLDERS = ["INBOX", "STARRED", "SENT", ""];
// The list stays as it is while mails of it are opened one after the other.
let held = { key: "", node: null };

export async function show(session, { parts: [id], query }) {
  const { q = "", label = q ? "" : "INBOX" } = query;
  const key = JSON.stringify([session.user.id, session.language, q, label]);
  if (held.key !== key || !id) held = { key, node: listPane(session, { q, label }) };
  const detail = id
    ? readMail(session, { id }, { back: address("inbox", query), changed: (change) => follow(session, id, change) })
    : element("div", { className: "nothing-open" }, empty(session.t("inbox.choose"), session.t("inbox.chooseText"), { icon: "mail" }));
  for (const row of held.node.querySelectorAll(".mail-row")) row.toggleAttribute("aria-current", row.dataset.id === id);
  return element("div", { className: `panes ${id ? "opened" : ""}` }, held.node,
    element("section", { className: "detail", "aria-label": session.t("inbox.mail") }, detail));
}

function address(path, query) {
  const kept = new URLSearchParams(query).toString();
  return `#/${path}${kept ? `?${kept}` : ""}`;
}

// What happened to a mail while it was read shows in the list, too.
function follow(session, id, change) {
  const row = [...held.node.querySelectorAll(".mail-row")].find((one) => one.dataset.id === id);
  if (change === "read" || change === "unread") row?.classList.toggle("unread", change === "unread");
  if (change === "archive" || change === "trash") {
    row?.closest("li").remove();
    session.go(address("inbox", Object.fromEntries(new URLSearchParams(location.hash.split("?")[1] ?? ""))));
  }
  if (["unarchive", "untrash"].includes(change)) session.refresh();
}

function listPane(session, { q, label }) {
  const { t } = session;
  const rows = element("ul", { className: "mails" });
  const pages = session.client.search({ ...(q ? { q } : {}), ...(label ? { label } : {}), page_size: PAGE });
  const more = element("div", { className: "more" });
  const query = { ...(q ? { q } : {}), ...(label !== (q ? "" : "INBOX") ? { label } : {}) };
  const next = async () => {
    const page = await pages.next();
    rows.append(...page.messages.map((mail) => element("li", {}, mailRow(session, mail, address(`mail/${mail.id}`, query)))));
    more.replaceChildren(...(page.missing?.length ? [element("p", { className: "note warn" }, icon("warning"),
      t("inbox.missing", { count: page.missing.length }))] : []),
      ...(pages.hasMore ? [moreButton(session, next)] : []));
    return rows.children.length ? element("div", {}, rows, more)
      : empty(t(q ? "inbox.noHits" : "inbox.empty"), t(q ? "inbox.noHitsText" : "inbox.emptyText"), { icon: q ? "search" : "inbox" });
  };
  return element("section", { className: "list-pane", "aria-label": t("view.inbox") },
    element("header", { className: "pane-head" },
      element("div", { className: "row between" }, element("h1", { textContent: t("view.inbox") }),
        button(t("compose.new"), () => compose(session, {}), { icon: "draft", kind: "primary" })),
      searchForm(session, q), folders(session, label, q)),
    load(session, skeleton(session, "rows", 9), next));
}

export function moreButton(session, next) {
  const node = button(session.t("state.more"), async () => {
    const place = load(session, skeleton(session, "rows", 2), async () => {
      await next();
      return "";
    });
    node.replaceWith(place);
  }, { kind: "quiet" });
  return node;
}

function searchForm(session, q) {
  const input = element("input", { type: "search", name: "q", value: q, placeholder: session.t("inbox.search"), "aria-label": session.t("inbox.search") });
  const form = element("form", { className: "search", role: "search" }, icon("search"), input);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    session.go(wanted ? `#/inbox?${new URLSearchParams({ q: wanted })}` : "#/inbox");
  });
  return form;
}

function folders(session, label, q) {
  const chip = (id, name) => link(name, id === "INBOX" ? "#/inbox" : `#/inbox?${new URLSearchParams({ label: id })}`,
    { className: "chip", "aria-current": !q && id === label ? "true" : undefined });
  const bar = element("nav", { className: "chips", "aria-label": session.t("inbox.folders") },
    FOLDERS.map((id) => chip(id, session.t(`folder.${id || "all"}`))),
    link(session.t("view.drafts"), "#/drafts", { className: "chip" }));
  // The three labels of the product, where they are there; the list does not wait for them.
  session.client.labels().then(({ labels }) => bar.append(...labels.filter((one) => one.category)
    .map((one) => chip(one.id, one.name))), () => {});
  return bar;
}

// One mail in a list. `options`: author (who is named instead of From), extra (nodes at its end).
export function mailRow(session, mail, hash, { author, extra = [] } = {}) {
  const { t } = session;
  const sent = mail.labels?.includes("SENT");
  const name = author ?? (sent ? t("inbox.to", { people: people(mail.to) }) : people(mail.from ? [mail.from] : [])) ?? "";
  const marks = [mail.starred ? icon("star") : null, mail.has_attachments ? icon("clip") : null, mail.hidden ? icon("eyeOff") : null];
  return element("a", { href: hash, className: `mail-row ${mail.unread ? "unread" : ""}`, dataset: { id: mail.id } },
    avatar(name || "?"),
    element("span", { className: "mail-lines" },
      element("span", { className: "mail-top" }, element("span", { className: "mail-who", textContent: name || t("mail.nobody") }),
        element("span", { className: "mail-marks" }, marks), time(session, mail.received_at)),
      element("span", { className: "mail-subject", textContent: mail.subject || t("mail.noSubject") }),
      element("span", { className: "mail-snippet", textContent: mail.snippet ?? "" }),
      mail.authenticated === false && !sent || extra.length ? element("span", { className: "row mail-tags" },
        mail.authenticated === false && !sent ? tag(t("mail.unverified"), "warn", "warning") : null, extra) : null),
    mail.unread ? element("span", { className: "hidden", textContent: t("mail.unread") }) : null);
}
