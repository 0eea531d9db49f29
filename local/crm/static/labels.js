// Labels: what the next sweep would do, what the last ones did and how to take them back, and why a mail is where it is.
import { button, element, icon, link, tag, time } from "./dom.js";
import { focusOn } from "./focus.js";
import { moreOf } from "./paging.js";
import { actionButton, ask, empty, load, skeleton } from "./states.js";

const SHOWN_AT_FIRST = 8;
const NAMED = 20;

export async function show(session, { parts: [first, id] }) {
  return first === "why" && id ? why(session, id) : overview(session);
}

function overview(session) {
  const { t } = session;
  const preview = element("div", {});
  const sweeps = element("div", {});
  // One list of notices names the mails of both.
  const names = namesOf(session);
  const again = () => {
    preview.replaceChildren(load(session, skeleton(session, "rows", 3), () => previewOf(session, names)));
    sweeps.replaceChildren(load(session, skeleton(session, "rows", 4), () => sweepsOf(session, names, again)));
  };
  again();
  return element("section", { className: "page" }, element("h1", { textContent: t("view.labels") }),
    element("p", { className: "quiet", textContent: t("labels.intro") }),
    element("section", { className: "card" }, element("h2", { textContent: t("labels.next") }), preview),
    element("section", { className: "card" }, element("h2", { textContent: t("labels.last") }), sweeps));
}

// Who wrote the mails that sweeps name by their ids: as far as the newest notices tell.
async function namesOf(session) {
  try {
    const page = await session.client.notices({ expand: "summary", page_size: NAMED }).next();
    return new Map(page.notices.map((one) => [one.mail_id, one]));
  } catch {
    return new Map();
  }
}

async function previewOf(session, names) {
  const { t } = session;
  let answer;
  try {
    answer = await session.client.sweepPreview();
  } catch (error) {
    if (error.code === "labels-off") return off(session);
    throw error;
  }
  if (!answer.moves.length) return element("p", { className: "note good" }, icon("check"), t("labels.nothingNext"));
  return element("div", { className: "stack" }, element("p", { textContent: counted(session, answer.counts) }),
    moves(session, answer.moves, await names), answer.more ? element("p", { className: "quiet", textContent: t("labels.andMore") }) : null);
}

function off(session) {
  const { t } = session;
  return empty(t("labels.offTitle"), t("labels.offText"),
    { icon: "tag", action: link(t("labels.turnOn"), "#/settings", { className: "button primary" }) });
}

async function sweepsOf(session, names, again) {
  const { t } = session;
  const pages = session.client.sweeps();
  const first = await pages.next();
  if (!first.sweeps.length) return element("p", { className: "quiet", textContent: t("labels.noSweeps") });
  const known = await names;
  const rows = element("ul", { className: "sweeps" });
  const add = (page) => rows.append(...page.sweeps.map((one) => element("li", {}, sweep(session, one, known, again))));
  add(first);
  return element("div", {}, rows, moreOf(session, pages, add));
}

function sweep(session, one, names, again) {
  const { t } = session;
  const undo = actionButton(session, t("labels.undo"), async () => {
    const sure = await ask(session, {
      title: t("labels.undoTitle"), body: element("p", { textContent: t("labels.undoText", { count: one.moves.length }) }), confirm: t("labels.undo"),
    });
    if (!sure) return;
    const { restored, kept } = await session.client.undo(one.id);
    session.say([t("labels.restored", { count: restored }), kept ? t("labels.kept", { count: kept }) : ""].filter(Boolean).join(" "));
    again();
    focusOn(document.querySelector("main h1"));
  }, { icon: "undo", kind: "small" });
  return element("details", { className: "sweep", dataset: { id: one.id } },
    element("summary", {}, element("span", { className: "grow" }, element("strong", {}, time(session, one.at)),
      element("span", { className: "quiet", textContent: counted(session, one.counts) })),
    one.undone_at ? tag(t("labels.undone", { at: session.when(one.undone_at) }), "", "undo") : null),
    moves(session, one.moves, names), one.undone_at ? null : element("div", { className: "row end" }, undo));
}

// "3 to Customers, 1 back to the inbox"
function counted(session, counts) {
  const parts = Object.entries(counts).filter(([, count]) => count > 0)
    .map(([place, count]) => session.t(`labels.to.${place}`, { count, place: session.t(`place.${place}`) }));
  return new Intl.ListFormat(session.language, { type: "conjunction" }).format(parts);
}

function moves(session, list, names) {
  const rows = list.map((one) => move(session, one, names.get(one.mail_id)));
  const box = element("ul", { className: "moves" }, rows.slice(0, SHOWN_AT_FIRST));
  if (rows.length <= SHOWN_AT_FIRST) return box;
  const more = button(session.t("labels.showAll", { count: rows.length }), () => {
    box.append(...rows.slice(SHOWN_AT_FIRST));
    more.remove();
  }, { kind: "quiet small" });
  return element("div", {}, box, more);
}

function move(session, { mail_id: id, from, to }, notice) {
  const { t } = session;
  const mail = link("", `#/labels/why/${encodeURIComponent(id)}`, { className: "move-mail", title: t("labels.why") });
  mail.append(element("strong", { textContent: notice?.contacts.map((one) => one.name).join(", ") || notice?.from_address || t("labels.aMail") }),
    element("span", { textContent: notice?.summary?.subject ?? "" }));
  return element("li", { className: "move" }, mail, element("span", { className: "row move-step" },
    place(session, from), icon("forward"), element("span", { className: "hidden", textContent: t("labels.movesTo") }), place(session, to),
    notice?.pinned ? tag(t("labels.pinned"), "", "pin") : null));
}

function place(session, name) {
  return tag(session.t(`place.${name}`), name);
}

function why(session, id) {
  const { t } = session;
  const body = element("div", {});
  const again = () => body.replaceChildren(load(session, skeleton(session, "card"), () => explanation(session, id, again)));
  again();
  return element("section", { className: "page" },
    element("div", {}, link(t("labels.openMail"), `#/mail/${encodeURIComponent(id)}`, { icon: "back", className: "button quiet" })),
    element("h1", { textContent: t("labels.whyTitle") }), body);
}

async function explanation(session, id, again) {
  const { t } = session;
  const told = await session.client.category(id);
  return element("div", { className: "stack" },
    element("p", { className: "card reason", role: "status", dataset: { reason: told.reason }, textContent: told.text[session.language] ?? told.text.en }),
    told.pinned ? pinNote(session, id, again) : null,
    element("dl", { className: "card facts" },
      fact(t("labels.fact.place"), told.place ? place(session, told.place) : t("labels.fact.unknown")),
      fact(t("labels.fact.category"), told.category ? t(`labels.category.${told.category}`) : t("labels.fact.unknown")),
      fact(t("labels.fact.contacts"), told.contacts.length ? told.contacts.map((one) =>
        link(one.name, `#/contacts/${encodeURIComponent(one.id)}`, { className: "tag" })) : t("labels.fact.noContacts")),
      fact(t("labels.fact.deals"), told.deals.length ? element("ul", {}, told.deals.map((deal) => dealLine(session, deal))) : t("labels.fact.noDeals")),
      fact(t("labels.fact.sweep"), told.sweep ? sweepLine(session, told.sweep) : t("labels.fact.noSweep")),
      told.unverified ? fact(t("labels.fact.sender"), tag(t("notices.unverified"), "warn", "warning")) : null));
}

function fact(name, ...values) {
  return element("div", {}, element("dt", { textContent: name }), element("dd", {}, values.flat()));
}

function dealLine(session, deal) {
  const { t } = session;
  const date = deal.closing_date ? t("labels.closes", { date: session.date(deal.closing_date) }) : "";
  return element("li", { className: deal.decides ? "decides" : "" }, element("span", { textContent: deal.title }),
    element("span", { className: "quiet small", textContent: [t(`inside.state.${deal.state}`), date].filter(Boolean).join(", ") }),
    deal.decides ? tag(t("labels.decides"), "info", "check") : null);
}

function sweepLine(session, swept) {
  return [time(session, swept.at), swept.undone_at ? element("span", { className: "quiet", textContent: ` ${session.t("labels.undone", { at: session.when(swept.undone_at) })}` }) : null];
}

function pinNote(session, id, again) {
  const { t } = session;
  const release = actionButton(session, t("labels.release"), async () => {
    await session.client.releasePin(id);
    session.say(t("labels.released"));
    again();
    focusOn(document.querySelector("main h1"));
  }, { icon: "refresh", kind: "small" });
  return element("div", { className: "note pin-note" }, icon("pin"), element("div", {}, element("strong", { textContent: t("labels.pinned") }),
    element("div", { className: "small", textContent: t("labels.pinnedText") })), release);
}
