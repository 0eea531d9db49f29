// The mail of all colleagues with a contact or of a deal, merged by time: with each mail's audience, and with what became
// of each mailbox, so that a gap never looks like "no mail".
import { element, icon, link, tag } from "./dom.js";
import { mailRow, moreButton } from "./inbox.js";
import { actionButton, empty } from "./states.js";

const PAGE = 20;
const MOST_MAILBOXES = 10;

// `ask(query)` answers the pages, `hashOf(entry)` where a mail is opened, `hashOfSearch(q)` where a search leads.
// Answers {node, first}: `first()` asks for the first page, shows it and answers it; again, it starts anew.
export function timeline(session, { q, ask, hashOf, hashOfSearch }) {
  const shown = { session, q, hashOf, pages: null, mailboxes: new Map(), entries: element("ul", { className: "mails timeline" }) };
  const node = element("section", { className: "card flush" });
  const fetchFirst = (mailboxes) => {
    shown.pages = ask({ page_size: PAGE, ...(q ? { q } : {}), ...(mailboxes ? { mailboxes } : {}) });
    return shown.pages.next();
  };
  const first = async () => {
    const page = await fetchFirst();
    shown.mailboxes.clear();
    shown.entries.replaceChildren();
    node.replaceChildren(...partsOf(shown, page, fetchFirst, search(session, q, hashOfSearch)));
    return page;
  };
  return { node, first };
}

function partsOf(shown, page, first, searchForm) {
  const { session, q, entries } = shown;
  const { t } = session;
  const mailboxes = element("div", { className: "mailboxes" });
  const more = element("div", { className: "more" });
  const add = (got) => {
    entries.append(...got.entries.map((entry) => element("li", {}, entryRow(session, entry, shown.hashOf(entry)))));
    for (const one of got.mailboxes) shown.mailboxes.set(one.owner, one);
    mailboxes.replaceChildren(...mailboxNotes(shown, got, first, add, () => entries.replaceChildren()));
    more.replaceChildren(...(shown.pages.hasMore ? [moreButton(session, async () => add(await shown.pages.next()))] : []));
    nothing.hidden = entries.children.length > 0;
  };
  const trouble = page.mailboxes.some((one) => !["ok", "not_asked"].includes(one.state));
  const nothing = empty(t(q ? "inbox.noHits" : trouble ? "timeline.unknown" : "timeline.empty"), t(q ? "inbox.noHitsText" : trouble ? "timeline.unknownText" : "timeline.emptyText"), { icon: "mail" });
  add(page);
  return [element("header", { className: "timeline-head" }, element("h2", { textContent: t("timeline.title") }), searchForm),
    mailboxes, nothing, entries, more];
}

function search(session, q, hashOfSearch) {
  const input = element("input", { type: "search", value: q, placeholder: session.t("timeline.search"), "aria-label": session.t("timeline.search") });
  const form = element("form", { className: "search", role: "search" }, icon("search"), input);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    session.go(hashOfSearch(input.value.trim()));
  });
  return form;
}

function entryRow(session, entry, hash) {
  const { t, language } = session;
  const own = entry.own;
  const mail = { ...entry, labels: entry.direction === "out" ? ["SENT"] : entry.labels };
  const audience = element("span", { className: `tag audience ${entry.audience.shared ? "info" : ""}`, title: entry.audience.text[language] },
    icon(entry.audience.shared ? "people" : "lock"), audienceWord(session, entry), element("span", { className: "hidden", textContent: entry.audience.text[language] }));
  const colleague = own ? null : tag(t("timeline.of", { name: entry.owner_name }), "", "user");
  const copies = entry.copies.length ? tag(t("timeline.copies", { count: entry.copies.length }), "", "mail") : null;
  return mailRow(session, mail, hash, { extra: [colleague, audience, copies].filter(Boolean) });
}

function audienceWord(session, { audience }) {
  const others = audience.members.filter((one) => one.kind !== "user" || one.id !== session.user.id);
  if (!audience.shared) return session.t("audience.you");
  if (audience.members.some((one) => one.kind === "everyone")) return session.t("audience.everyone");
  const [first] = others;
  return session.t("audience.some", { who: first?.kind === "role" ? session.t(`role.${first.id}`) : (first?.name ?? ""), more: others.length > 1 ? ` +${others.length - 1}` : "" });
}

// Each mailbox that was not simply read is named, so that a gap never looks like "no mail".
function mailboxNotes(shown, page, first, add, clear) {
  const { session } = shown;
  const { t } = session;
  const all = [...shown.mailboxes.values()];
  const asked = all.filter((one) => one.state === "ok");
  const troubled = all.filter((one) => !["ok", "not_asked"].includes(one.state));
  const unasked = all.filter((one) => one.state === "not_asked");
  const limited = all.filter((one) => one.state === "ok" && one.search_limit);
  const again = async (mailboxes) => {
    const got = await first(mailboxes);
    clear();
    shown.mailboxes.clear();
    add(got);
  };
  return [
    asked.length ? element("p", { className: "row quiet small sources" }, t("timeline.sources"),
      asked.map((one) => tag(one.own ? t("timeline.you") : one.name, "good", "check"))) : null,
    ...troubled.map((one) => element("p", { className: `note ${one.state === "disconnected" ? "" : "warn"}` }, icon(one.state === "rate_limited" ? "clock" : "warning"),
      element("div", { textContent: t(one.own && t.has(`mailbox.${one.state}.own`) ? `mailbox.${one.state}.own` : `mailbox.${one.state}`,
        { name: one.own ? t("timeline.you") : one.name, at: one.retry_at ? session.hour(one.retry_at) : "" }) }),
      one.state === "disconnected" ? (one.own ? link(t("problem.not-connected.action"), "#/settings", { className: "button small" }) : null)
        : actionButton(session, t("state.retry"), () => again(), { kind: "small" }))),
    unasked.length ? element("p", { className: "note" }, icon("question"), element("div", { textContent: t("timeline.notAsked", { names: unasked.map((one) => one.name).join(", ") }) }),
      actionButton(session, t("timeline.askThem"), () => again([...unasked, ...asked].map((one) => one.owner).slice(0, MOST_MAILBOXES)), { kind: "small" })) : null,
    page.more_mailboxes ? element("p", { className: "hint", textContent: t("timeline.moreMailboxes") }) : null,
    limited.length && shown.q ? element("p", { className: "hint", textContent: t("timeline.searchLimit", { names: limited.map((one) => one.name).join(", "), count: limited[0].search_limit }) }) : null,
  ].filter(Boolean);
}

