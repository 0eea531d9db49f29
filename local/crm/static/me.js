// What concerns the user: what the administrators ask to share, who read my mail, what is held about me.
import { avatar, element, icon, link, tag, time } from "./dom.js";
import { auditList } from "./audit_list.js";
import { asked } from "./settings.js";
import { actionButton, load, skeleton } from "./states.js";

// In the order in which they are shown; what is not named here comes behind, under its own name.
const LISTS = ["notices", "senders", "sweeps", "shares", "sends", "consents", "revocations", "announcements"];
const RECORDS = ["user", "connection", "sync", "work", "mailbox"];
const AUDITS = ["reads_by_colleagues", "done_to_you", "done_by_you"];
const SHOWN_ROWS = 100;

export async function show(session) {
  const { t } = session;
  const body = load(session, skeleton(session, "card"), async () => {
    const [connection, held] = await Promise.all([session.client.connection(), everything(session)]);
    return element("div", { className: "stack" }, asked(session, connection.sharing), sharing(session, connection), readers(session, held), data(session, held), doings(session, held));
  });
  return element("section", { className: "page" }, element("h1", { textContent: t("view.me") }),
    element("p", { className: "quiet", textContent: t("me.intro") }), body);
}

// All pages of it, put together.
async function everything(session) {
  const whole = {};
  for await (const page of session.client.data()) {
    for (const [name, value] of Object.entries(page)) {
      if (Array.isArray(value)) whole[name] = [...(whole[name] ?? []), ...value];
      else whole[name] ??= value;
    }
  }
  delete whole.next_page_token;
  return whole;
}

function sharing(session, { sharing: state, address }) {
  const { t } = session;
  if (!state) return null;
  return element("section", { className: "card stack" }, element("h2", { textContent: t("me.sharing") }),
    element("p", { className: "sharing-line" }, icon("share"), element("span", { textContent: t(`me.sharing.${state.effective}`, { address }) }),
      state.set_by_policy && !state.asked ? tag(t("me.byPolicy"), "info", "lock") : null),
    element("div", {}, link(t("me.change"), "#/settings", { className: "button small" })));
}

// Who read what was shared, by day and contact: how often, never which mail.
function readers(session, held) {
  const { t } = session;
  const reads = held.reads_by_colleagues ?? [];
  const row = (one) => {
    const contact = session.crm.contact(one.contact_id);
    return element("li", { className: "reader" }, avatar(session.crm.name(one.actor)), element("div", { className: "grow" },
      element("strong", { textContent: session.crm.name(one.actor) }),
      element("div", {}, t("me.readOf", { count: one.count }), " ",
        contact ? link(contact.name, `#/contacts/${encodeURIComponent(contact.id)}`) : one.contact_id)),
    element("span", { className: "quiet small", textContent: one.day ? session.date(one.day) : session.when(one.at) }));
  };
  return element("section", { className: "card stack", id: "readers" }, element("h2", { textContent: t("me.readers") }),
    element("p", { className: "hint", textContent: t("me.readersText") }),
    reads.length ? element("ul", { className: "readers" }, reads.map(row)) : element("p", { className: "note good" }, icon("eyeOff"), element("div", { textContent: t("me.noReaders") })));
}

function data(session, held) {
  const { t } = session;
  const records = RECORDS.filter((name) => held[name]).map((name) => part(session, name, [held[name]]));
  const lists = LISTS.filter((name) => held[name]?.length).map((name) => part(session, name, held[name]));
  return element("section", { className: "card stack", id: "held" }, element("div", { className: "row between" }, element("h2", { textContent: t("me.held") }),
    actionButton(session, t("me.download"), () => download(session, held), { icon: "file", kind: "small" })),
  element("p", { className: "note" }, icon("shield"), element("div", { textContent: t(held.holds_refresh_token ? "me.noMailToken" : "me.noMail") })),
  element("div", {}, records, lists));
}

function part(session, name, rows) {
  const { t } = session;
  const label = t.has(`me.part.${name}`) ? t(`me.part.${name}`) : name;
  const shown = rows.slice(0, SHOWN_ROWS);
  return element("details", { className: "held", dataset: { part: name } },
    element("summary", {}, element("span", { className: "grow" }, element("strong", { textContent: label }),
      element("span", { className: "quiet small", textContent: t.has(`me.part.${name}.text`) ? t(`me.part.${name}.text`) : "" })),
    LISTS.includes(name) ? tag(String(rows.length)) : null),
    element("ul", {}, shown.map((one) => element("li", {}, fields(session, one)))),
    rows.length > shown.length ? element("p", { className: "quiet small", textContent: t("me.andMore", { count: rows.length - shown.length }) }) : null);
}

// A record as it is stored: each field by its name, for who wants to compare it with the data manifest.
function fields(session, record) {
  const known = Object.entries(record).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length));
  return element("dl", { className: "fields" }, known.map(([name, value]) => element("div", {},
    element("dt", {}, element("code", { textContent: name })), element("dd", {}, shown(session, value)))));
}

function shown(session, value) {
  if (typeof value === "boolean") return session.t(value ? "me.yes" : "me.no");
  if (Array.isArray(value)) return value.every((one) => typeof one !== "object") ? value.join(", ") : session.t("me.entries", { count: value.length });
  if (typeof value === "object") return Object.keys(value).length ? fields(session, value) : "–";
  return /^\d{4}-\d\d-\d\dT/.test(value) ? time(session, value) : String(value);
}

function download(session, held) {
  const blob = new Blob([JSON.stringify(held, null, 2)], { type: "application/json" });
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: `${session.user.id}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function doings(session, held) {
  const { t } = session;
  return element("section", { className: "card stack", id: "doings" }, element("h2", { textContent: t("me.doings") }),
    element("p", { className: "hint", textContent: t("me.doingsText") }), auditList(session, merged(held)));
}

// What I did and what was done to me, newest first; what I did to myself once.
function merged(held) {
  const all = AUDITS.slice(1).flatMap((name) => held[name] ?? []);
  const once = new Map(all.map((one) => [JSON.stringify([one.at, one.actor, one.action, one.subject, one.what]), one]));
  return [...once.values()].sort((first, second) => second.at.localeCompare(first.at));
}
