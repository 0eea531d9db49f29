// One contact: details, deals, category and why, sharing, and the mail of all colleagues with it, merged by time.
import { avatar, button, element, icon, link, option, tag } from "./dom.js";
import { compose } from "./composing.js";
import { mailRow, moreButton } from "./inbox.js";
import { actionButton, empty, load, skeleton } from "./states.js";

const PAGE = 20;

export function contactPage(session, id, { q = "" }) {
  const known = session.crm.contact(id);
  const place = element("div", { className: "contact" });
  const timeline = element("div", {});
  const shown = { session, id, q, pages: null, mailboxes: new Map(), entries: element("ul", { className: "mails timeline" }) };
  const first = (mailboxes) => {
    shown.pages = session.client.contactEmails(id, { page_size: PAGE, ...(q ? { q } : {}), ...(mailboxes ? { mailboxes } : {}) });
    return shown.pages.next();
  };
  const body = load(session, element("div", {}, skeleton(session, "card"), skeleton(session, "rows", 5)), async () => {
    const page = await first();
    timeline.replaceChildren(timelineOf(shown, page, first));
    return element("div", { className: "stack" }, factsOf(session, page, id), timeline);
  });
  place.append(element("div", { className: "reading-back only-phone" }, link(session.t("view.contacts"), "#/contacts", { icon: "back", className: "button quiet" })),
    element("header", { className: "contact-head" }, avatar(known?.name ?? "?", "large"),
      element("div", { className: "grow" }, element("h1", { dataset: { focus: "" }, textContent: known?.name ?? session.t("contact.one") }),
        element("div", { className: "quiet small", textContent: (known?.addresses ?? []).map(({ address }) => address.toLowerCase()).join(", ") })),
      known ? button(session.t("contact.write"), () => compose(session, { to: [{ name: known.name, address: known.addresses[0].address }], sent: session.refresh }),
        { icon: "draft", kind: "primary" }) : null), body);
  return place;
}

function factsOf(session, { contact, category, deals }, id) {
  const { t, language } = session;
  const row = (deal) => element("li", { className: "deal" }, element("span", { className: "grow" }, element("strong", { textContent: deal.title }),
    element("span", { className: "quiet small", textContent: deal.closing_date ? t("deal.closes", { date: session.date(deal.closing_date) }) : t("deal.open-ended") })),
  tag(t(`deal.${deal.state}`), deal.state === "won" ? "good" : deal.state === "open" ? "info" : ""));
  return element("div", { className: "facts-grid" },
    element("section", { className: "card" }, element("div", { className: "row between" }, element("h2", { textContent: t("contact.deals") }),
      category.category === "none" ? null : tag(t(`category.${category.category}`), category.category)),
    deals.length ? element("ul", {}, deals.map(row)) : element("p", { className: "quiet", textContent: t("contact.noDeals") }),
    element("p", { className: "hint", textContent: category.text[language] ?? "" })),
    element("section", { className: "card" }, element("h2", { textContent: t("contact.sharing") }), sharing(session, contact, id),
      element("ul", { className: "addresses" }, contact.addresses.map((one) => element("li", {}, element("span", { textContent: one.address }),
        element("span", { className: "quiet small", textContent: t("contact.since", { date: session.date(one.added_at) }) }),
        one.confirmed ? tag(t("contact.confirmed"), "good", "check") : null)))));
}

// Sharing names the addresses that were shown: one that was added meanwhile is not shared unseen.
function sharing(session, contact, id) {
  const { t, client } = session;
  const toggle = element("input", { type: "checkbox", role: "switch", checked: Boolean(contact.shared) });
  toggle.addEventListener("change", async () => {
    toggle.disabled = true;
    try {
      const answer = toggle.checked ? await client.share(id, contact.addresses.map(({ address }) => address)) : await client.unshare(id);
      session.say(t(!toggle.checked ? "contact.unshared" : answer.level === "private" ? "contact.sharedLater" : "contact.shared", { name: contact.name }));
      session.refresh();
    } catch (error) {
      toggle.checked = !toggle.checked;
      session.say(t("contact.notShared"), { kind: "error" });
    } finally {
      toggle.disabled = false;
    }
  });
  return option(toggle, t("contact.share", { name: contact.name }), t("contact.shareHint"));
}

function timelineOf(shown, page, first) {
  const { session, id, q, entries } = shown;
  const { t } = session;
  const mailboxes = element("div", { className: "mailboxes" });
  const more = element("div", { className: "more" });
  const add = (got) => {
    entries.append(...got.entries.map((entry) => element("li", {}, entryRow(session, entry, id, q))));
    for (const one of got.mailboxes) shown.mailboxes.set(one.owner, one);
    mailboxes.replaceChildren(...mailboxNotes(shown, got, first, add, () => entries.replaceChildren()));
    more.replaceChildren(...(shown.pages.hasMore ? [moreButton(session, async () => add(await shown.pages.next()))] : []));
    nothing.hidden = entries.children.length > 0;
  };
  const trouble = page.mailboxes.some((one) => !["ok", "not_asked"].includes(one.state));
  const nothing = empty(t(q ? "inbox.noHits" : trouble ? "timeline.unknown" : "timeline.empty"), t(q ? "inbox.noHitsText" : trouble ? "timeline.unknownText" : "timeline.emptyText"), { icon: "mail" });
  add(page);
  return element("section", { className: "card flush" },
    element("header", { className: "timeline-head" }, element("h2", { textContent: t("timeline.title") }), search(session, id, q)), mailboxes, nothing, entries, more);
}

function search(session, id, q) {
  const input = element("input", { type: "search", value: q, placeholder: session.t("timeline.search"), "aria-label": session.t("timeline.search") });
  const form = element("form", { className: "search", role: "search" }, icon("search"), input);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    session.go(`#/contacts/${id}${wanted ? `?${new URLSearchParams({ q: wanted })}` : ""}`);
  });
  return form;
}

function entryRow(session, entry, id, q) {
  const { t, language } = session;
  const own = entry.own;
  const mail = { ...entry, labels: entry.direction === "out" ? ["SENT"] : entry.labels };
  const audience = element("span", { className: `tag audience ${entry.audience.shared ? "info" : ""}`, title: entry.audience.text[language] },
    icon(entry.audience.shared ? "people" : "lock"), audienceWord(session, entry), element("span", { className: "hidden", textContent: entry.audience.text[language] }));
  const colleague = own ? null : tag(t("timeline.of", { name: entry.owner_name }), "", "user");
  const copies = entry.copies.length ? tag(t("timeline.copies", { count: entry.copies.length }), "", "mail") : null;
  const hash = `#/contacts/${id}/mail/${encodeURIComponent(entry.owner)}/${entry.id}${q ? `?${new URLSearchParams({ q })}` : ""}`;
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
    element("p", { className: "row quiet small sources" }, t("timeline.sources"), all.filter((one) => one.state === "ok").map((one) => tag(one.own ? t("timeline.you") : one.name, "good", "check"))),
    ...troubled.map((one) => element("p", { className: `note ${one.state === "disconnected" ? "" : "warn"}` }, icon(one.state === "rate_limited" ? "clock" : "warning"),
      element("div", { textContent: t(one.own && t.has(`mailbox.${one.state}.own`) ? `mailbox.${one.state}.own` : `mailbox.${one.state}`,
        { name: one.own ? t("timeline.you") : one.name, at: one.retry_at ? session.hour(one.retry_at) : "" }) }),
      one.state === "disconnected" ? (one.own ? link(t("problem.not-connected.action"), "#/settings", { className: "button small" }) : null)
        : actionButton(session, t("state.retry"), () => again(), { kind: "small" }))),
    unasked.length ? element("p", { className: "note" }, icon("question"), element("div", { textContent: t("timeline.notAsked", { names: unasked.map((one) => one.name).join(", ") }) }),
      actionButton(session, t("timeline.askThem"), () => again([...unasked, ...all.filter((one) => one.state === "ok")].map((one) => one.owner).slice(0, 10)), { kind: "small" })) : null,
    page.more_mailboxes ? element("p", { className: "hint", textContent: t("timeline.moreMailboxes") }) : null,
    limited.length && shown.q ? element("p", { className: "hint", textContent: t("timeline.searchLimit", { names: limited.map((one) => one.name).join(", "), count: limited[0].search_limit }) }) : null,
  ].filter(Boolean);
}

