// Audit records in words: who did what to whom, and when. For administrators, and for who looks up their own.
import { element, time } from "./dom.js";
import { moreOf } from "./paging.js";

// `pages` are those that follow.
export function auditList(session, records, pages = null) {
  const { t } = session;
  if (!records.length) return element("p", { className: "quiet", textContent: t("audit.none") });
  const rows = element("ul", { className: "audit" });
  const add = (list) => rows.append(...list.map((one) => element("li", {}, entry(session, one))));
  add(records);
  return element("div", {}, rows, moreOf(session, pages, (page) => add(page.records)));
}

function entry(session, one) {
  const { t } = session;
  const who = (id) => (t.has(`audit.actor.${id}`) ? t(`audit.actor.${id}`) : session.crm.name(id));
  const contact = one.contact_id ? session.crm.contact(one.contact_id)?.name ?? one.contact_id : "";
  const known = t.has(`audit.${one.action}`) || t.has(`audit.${one.action}.one`);
  const text = t(known ? `audit.${one.action}` : "audit.other",
    { actor: who(one.actor), subject: who(one.subject), contact, count: one.count, action: one.action });
  return element("div", { className: "audit-line" }, time(session, one.at), element("div", {},
    element("span", { textContent: text }), one.what ? element("div", { className: "quiet small" }, element("code", { textContent: one.what })) : null));
}
