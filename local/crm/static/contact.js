// One contact: details, deals, category and why, sharing, and the mail of all colleagues with it, merged by time.
import { avatar, button, element, link, option, tag } from "./dom.js";
import { compose } from "./composing.js";
import { complain, load, skeleton } from "./states.js";
import { timeline } from "./timeline.js";

// Where a mail of a contact is opened.
export function hashOfMail(contactId, entry, q = "") {
  return `#/contacts/${contactId}/mail/${encodeURIComponent(entry.owner)}/${entry.id}${q ? `?${new URLSearchParams({ q })}` : ""}`;
}

export function contactPage(session, id, { q = "" }) {
  const known = session.crm.contact(id);
  const place = element("div", { className: "contact" });
  const mail = timeline(session, {
    q,
    ask: (query) => session.client.contactEmails(id, query),
    hashOf: (entry) => hashOfMail(id, entry, q),
    hashOfSearch: (wanted) => `#/contacts/${id}${wanted ? `?${new URLSearchParams({ q: wanted })}` : ""}`,
  });
  const facts = element("div", {});
  const fill = async () => facts.replaceChildren(factsOf(session, await mail.first(), id, fill));
  const body = load(session, element("div", {}, skeleton(session, "card"), skeleton(session, "rows", 5)), async () => {
    await fill();
    return element("div", { className: "stack" }, facts, mail.node);
  });
  place.append(element("div", { className: "reading-back only-phone" }, link(session.t("view.contacts"), "#/contacts", { icon: "back", className: "button quiet" })),
    element("header", { className: "contact-head" }, avatar(known?.name ?? "?", "large"),
      element("div", { className: "grow" }, element("h1", { dataset: { focus: "" }, textContent: known?.name ?? session.t("contact.one") }),
        element("div", { className: "quiet small", textContent: (known?.addresses ?? []).map(({ address }) => address.toLowerCase()).join(", ") })),
      known ? button(session.t("contact.write"), () => compose(session, { to: [{ name: known.name, address: known.addresses[0].address }], sent: session.refresh }),
        { icon: "draft", kind: "primary" }) : null), body);
  return place;
}

function factsOf(session, { contact, category, deals, mailboxes }, id, again) {
  const { t, language } = session;
  return element("div", { className: "facts-grid" },
    element("section", { className: "card" }, element("div", { className: "row between" }, element("h2", { textContent: t("contact.deals") }),
      category.category === "none" ? null : tag(t(`category.${category.category}`), category.category)),
    deals.length ? element("ul", {}, deals.map((deal) => element("li", {}, dealRow(session, deal)))) : element("p", { className: "quiet", textContent: t("contact.noDeals") }),
    element("p", { className: "hint", textContent: category.text[language] ?? "" })),
    element("section", { className: "card" }, element("h2", { textContent: t("contact.sharing") }), sharing(session, contact, id, { again, possible: mailboxes.some((one) => one.own && one.state !== "disconnected") }),
      element("ul", { className: "addresses" }, contact.addresses.map((one) => element("li", {}, element("span", { textContent: one.address }),
        element("span", { className: "quiet small", textContent: t("contact.since", { date: session.date(one.added_at) }) }),
        one.confirmed ? tag(t("contact.confirmed"), "good", "check") : null)))));
}

export function dealRow(session, deal) {
  const { t } = session;
  return element("a", { href: `#/deals/${encodeURIComponent(deal.id)}`, className: "deal" }, element("span", { className: "grow" },
    element("strong", { textContent: deal.title }),
    element("span", { className: "quiet small", textContent: deal.closing_date ? t("deal.closes", { date: session.date(deal.closing_date) }) : t("deal.open-ended") })),
  dealTag(session, deal));
}

export function dealTag(session, { state }) {
  return tag(session.t(`deal.${state}`), { won: "good", open: "info", lost: "" }[state]);
}

// Sharing names the addresses that were shown: one that was added meanwhile is not shared unseen.
function sharing(session, contact, id, { again, possible }) {
  const { t, client } = session;
  const toggle = element("input", { type: "checkbox", role: "switch", checked: Boolean(contact.shared), disabled: !possible });
  toggle.addEventListener("change", async () => {
    toggle.disabled = true;
    try {
      const answer = toggle.checked ? await client.share(id, contact.addresses.map(({ address }) => address)) : await client.unshare(id);
      session.say(t(!toggle.checked ? "contact.unshared" : answer.level === "private" ? "contact.sharedLater" : "contact.shared", { name: contact.name }));
      await again();
      document.querySelector(".contact [role=switch]")?.focus();
    } catch (error) {
      toggle.checked = !toggle.checked;
      complain(session, error);
    } finally {
      toggle.disabled = false;
    }
  });
  return option(toggle, t("contact.share", { name: contact.name }), t(possible ? "contact.shareHint" : "contact.shareNotConnected"));
}
