// Contacts: the list with what MailMagnet knows of each, and the one that is open beside it.
import { avatar, element, icon, tag, time } from "./dom.js";
import { contactPage } from "./contact.js";
import { readMail } from "./reading.js";
import { empty } from "./states.js";

const MOST_ASKED = 100;
// The list stays as it is while its contacts are opened one after the other.
let held = { key: "", node: null };

export async function show(session, { parts: [id, kind, owner, mailId], query }) {
  const key = JSON.stringify([session.user.id, session.language]);
  if (held.key !== key || !id || !held.node) held = { key, node: listPane(session) };
  for (const row of held.node.querySelectorAll(".contact-row")) row.toggleAttribute("aria-current", row.dataset.id === id);
  return element("div", { className: `panes narrow ${id ? "opened" : ""}` }, held.node,
    element("section", { className: "detail", "aria-label": session.t("contact.one") }, detail(session, id, kind, owner, mailId, query)));
}

function detail(session, id, kind, owner, mailId, query) {
  if (!id) {
    return element("div", { className: "nothing-open" },
      empty(session.t("contacts.choose"), session.t("contacts.chooseText"), { icon: "people" }));
  }
  if (kind !== "mail") return contactPage(session, id, query);
  const place = owner === session.user.id ? { id: mailId } : { contactId: id, owner, id: mailId };
  const back = `#/contacts/${id}${query.q ? `?${new URLSearchParams(query)}` : ""}`;
  return readMail(session, place, { back, backLabel: session.crm.contact(id)?.name ?? session.t("view.contacts"),
    changed: (change) => ["archive", "trash"].includes(change) && session.go(back) });
}

function listPane(session) {
  const { t, crm } = session;
  const rows = element("ul", { className: "mails" }, crm.contacts.map((contact) => element("li", {}, contactRow(contact))));
  const filter = element("input", { type: "search", placeholder: t("contacts.filter"), "aria-label": t("contacts.filter") });
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of rows.children) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  addSummaries(session, rows);
  return element("section", { className: "list-pane", "aria-label": t("view.contacts") },
    element("header", { className: "pane-head" }, element("div", { className: "row between" }, element("h1", { textContent: t("view.contacts") }),
      element("span", { className: "quiet small", textContent: t("contacts.count", { count: crm.contacts.length }) })),
    element("div", { className: "search" }, icon("search"), filter)),
    crm.contacts.length ? rows : empty(t("contacts.empty"), "", { icon: "people" }));
}

function contactRow(contact) {
  return element("a", { href: `#/contacts/${encodeURIComponent(contact.id)}`, className: "mail-row contact-row", dataset: { id: contact.id } }, avatar(contact.name),
    element("span", { className: "mail-lines" },
      element("span", { className: "mail-top" }, element("span", { className: "mail-who", textContent: contact.name }), element("span", { className: "last" })),
      element("span", { className: "mail-snippet", textContent: contact.addresses.map(({ address }) => address.toLowerCase()).join(", ") }),
      element("span", { className: "row mail-tags contact-facts" })));
}

// The list stands without its extras: they come from the functions, which may be away or not connected.
async function addSummaries(session, rows) {
  const ids = session.crm.contacts.map(({ id }) => id);
  for (let start = 0; start < ids.length; start += MOST_ASKED) {
    const answer = await session.client.summaries(ids.slice(start, start + MOST_ASKED)).catch(() => ({ contacts: [] }));
    for (const one of answer.contacts) {
      const row = rows.querySelector(`[data-id="${CSS.escape(one.id)}"]`);
      row?.querySelector(".contact-facts").replaceChildren(...facts(session, one));
      if (one.last_received_at) row?.querySelector(".last").replaceChildren(time(session, one.last_received_at));
    }
  }
}

function facts(session, one) {
  return [tag(session.t(`category.${one.category}`), one.category),
    one.unread ? tag(session.t("contacts.unread", { count: one.unread }), "info", "bell") : null].filter(Boolean);
}

