// What a mail has besides its text: files, an invitation, a report of what could not be delivered.
import { element, icon, people } from "./dom.js";
import { actionButton } from "./states.js";

const SAVED_MS = 60_000;

// Hands a file to the browser's downloads.
export async function save(download, name = "") {
  const { url, filename, revoke } = await download;
  element("a", { href: url, download: filename || name }).click();
  setTimeout(revoke, SAVED_MS);
}

// `place` is the mail's id, or {contactId, owner, id} of a colleague's.
export function fileList(session, mail, place) {
  const files = (mail.attachments ?? []).filter((one) => !one.inline);
  if (!files.length) return null;
  const chip = (one) => {
    const name = one.filename || session.t("mail.unnamed");
    const node = actionButton(session, name, async () => {
      await save(session.client.attachment(place, one.part_id), name);
    }, { icon: "clip", kind: "file" });
    node.append(element("span", { className: "quiet small", textContent: session.size(one.size_bytes) }));
    return node;
  };
  return element("ul", { className: "files", "aria-label": session.t("mail.files") }, files.map((one) => element("li", {}, chip(one))));
}

export function deliveryNote(session, reports) {
  const row = (report) => element("li", {}, element("strong", {
    textContent: session.t(session.t.has(`delivery.${report.action}`) ? `delivery.${report.action}` : "delivery.other", { address: report.address }) }),
  element("div", { className: "small", textContent: [report.status, report.diagnostic].filter(Boolean).join(" · ") }));
  return element("div", { className: "note bad" }, icon("warning"), element("ul", {}, reports.map(row)));
}

export function invitationNote(session, event) {
  const day = (at) => session.date(at);
  const times = event.starts_at ? [session.whenExactly(event.starts_at), event.ends_at && session.hour(event.ends_at)]
    : [event.starts_on && day(event.starts_on), event.ends_on && day(event.ends_on)];
  return element("div", { className: "note" }, icon("clock"), element("div", {},
    element("strong", { textContent: session.t("invitation.title", { summary: event.summary || session.t("mail.noSubject") }) }),
    element("div", { textContent: times.filter(Boolean).join(" – ") }),
    event.location ? element("div", { textContent: event.location }) : null,
    event.organizer ? element("div", { className: "small", textContent: session.t("invitation.by", { people: people([event.organizer]) }) }) : null));
}
