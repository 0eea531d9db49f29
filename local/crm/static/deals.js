// A deal: its contacts, and the mail of all colleagues with any of them.
import { avatar, element, icon, link, tag } from "./dom.js";
import { dealTag, hashOfMail } from "./contact.js";
import { load, skeleton } from "./states.js";
import { timeline } from "./timeline.js";

export async function show(session, { parts: [id], query: { q = "" } }) {
  const { t } = session;
  const known = session.crm.deals.find((one) => one.id === id);
  const mail = timeline(session, {
    q,
    ask: (query) => session.client.dealEmails(id, query),
    hashOf: (entry) => hashOfMail(entry.contact_ids[0], entry),
    hashOfSearch: (wanted) => `#/deals/${id}${wanted ? `?${new URLSearchParams({ q: wanted })}` : ""}`,
  });
  const body = load(session, element("div", {}, skeleton(session, "card"), skeleton(session, "rows", 5)), async () => {
    const page = await mail.first();
    return element("div", { className: "stack" }, contactsOf(session, page), mail.node);
  });
  return element("section", { className: "page wide" },
    element("div", { className: "back" }, link(t("view.contacts"), "#/contacts", { icon: "back", className: "button quiet" })),
    element("header", { className: "row between" }, element("div", {}, element("h1", { dataset: { focus: "" }, textContent: known?.title ?? t("deal.one") }),
      known?.closing_date ? element("p", { className: "quiet", textContent: t("deal.closes", { date: session.date(known.closing_date) }) }) : null),
    known ? dealTag(session, known) : null), body);
}

function contactsOf(session, { contacts, contacts_left_out: leftOut }) {
  const { t } = session;
  const row = (contact) => element("li", {}, element("a", { href: `#/contacts/${encodeURIComponent(contact.id)}`, className: "deal" },
    avatar(contact.name), element("span", { className: "grow" }, element("strong", { textContent: contact.name }),
      element("span", { className: "quiet small", textContent: contact.addresses.map(({ address }) => address).join(", ") })),
    contact.category.category === "none" ? null : tag(t(`category.${contact.category.category}`), contact.category.category)));
  return element("section", { className: "card" }, element("h2", { textContent: t("deal.contacts") }), element("ul", {}, contacts.map(row)),
    leftOut ? element("p", { className: "note" }, icon("people"), element("div", { textContent: t("deal.leftOut", { count: leftOut }) })) : null);
}
