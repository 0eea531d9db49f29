// The CRM's views: contacts with their timeline of mails, the inbox, MailMagnet's notices, one mail.
import { button, element, list, mailFrame, when } from "./dom.js";

const CATEGORIES = {
  closing_this_month: "Closing this month",
  open_deals: "Open deals",
  customers: "Customer",
  none: "",
};

const path = (...parts) => parts.map((part) => `/${encodeURIComponent(part)}`).join("");

function people(addresses) {
  return (addresses ?? []).map((one) => one.name || one.address).join(", ");
}

function mailRow(session, mail, at, author) {
  return element("div", { className: mail.unread ? "unread" : "" },
    element("div", { className: "row" }, button(mail.subject || "(no subject)", () => openMail(session, at)),
      element("span", { textContent: author ?? people([mail.from]) }),
      element("time", { className: "quiet", textContent: when(mail.received_at) })),
    element("div", { className: "quiet", textContent: mail.snippet ?? "" }));
}

async function download(session, at, attachment) {
  const response = await session.api.fetch("mail_proxy", "GET", `${at}/attachments${path(attachment.part_id)}`);
  const url = URL.createObjectURL(await response.blob());
  element("a", { href: url, download: attachment.filename }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function deliveryRow(report) {
  return `${report.action === "failed" ? "Not delivered" : report.action} to ${report.address}: ` +
    [report.status, report.diagnostic].filter(Boolean).join(", ");
}

function invitationCard(event) {
  const times = event.starts_at ? [when(event.starts_at), when(event.ends_at)] : [event.starts_on, event.ends_on];
  return element("p", {}, element("strong", { textContent: `Invitation: ${event.summary || "(no title)"}` }),
    ` ${times.filter(Boolean).join(" – ")} ${event.location}`,
    event.organizer ? ` by ${people([event.organizer])}` : null);
}

function openMail(session, at, remote = false) {
  return session.show(async () => {
    const mail = await session.api.mail("GET", remote ? `${at}?remote=1` : at);
    return element("article", {},
      element("h2", { textContent: mail.subject || "(no subject)" }),
      element("p", { textContent: `From ${people([mail.from])} to ${people(mail.to)}, ${when(mail.received_at)}` }),
      mail.blocked_remote ? button(`Show images (${mail.blocked_remote})`, () => openMail(session, at, true)) : null,
      mail.delivery_report ? list(mail.delivery_report, deliveryRow, "") : null,
      mail.invitation ? invitationCard(mail.invitation) : null,
      mail.html ? mailFrame(mail) : null,
      list(mail.attachments ?? [], (one) => button(one.filename || "attachment",
        () => download(session, at, one).catch((error) => session.say(error.message))), "No attachments."));
  });
}

export async function showInbox(session) {
  const page = await session.api.mail("POST", "/messages/search", { label: "INBOX", page_size: 20 });
  return element("section", {}, element("h2", { textContent: "Inbox" }),
    list(page.messages, (mail) => mailRow(session, mail, `/messages${path(mail.id)}`), "No mail."));
}

export async function showNotices(session) {
  const page = await session.api.mail("GET", "/notices?expand=summary");
  const read = () => session.show(async () => {
    await session.api.mail("POST", "/notices/read", {
      ids: page.notices.map((notice) => notice.id),
    });
    return showNotices(session);
  });
  return element("section", {}, element("h2", { textContent: "Notices" }),
    page.notices.length ? button("Mark all as read", read) : null,
    list(page.notices, (notice) => mailRow(session, { ...notice, ...notice.summary },
      `/messages${path(notice.mail_id)}`, notice.contacts[0]?.name), "No notices."));
}

export async function showContacts(session) {
  const records = await (await fetch(`/records.json?user=${encodeURIComponent(session.user)}`)).json();
  const ids = records.contacts.map((contact) => contact.id);
  // The list stands without its extras: they come from the functions, which may be away or not connected.
  const summary = await session.api.mail("POST", "/contacts/summary", { ids }).catch(() => ({ contacts: [] }));
  const known = new Map((summary.contacts ?? []).map((one) => [one.id, one]));
  return element("section", {}, element("h2", { textContent: "Contacts" }),
    list(records.contacts, (contact) => contactRow(session, contact, known.get(contact.id)), "No contacts."));
}

function contactRow(session, contact, extra) {
  const category = CATEGORIES[extra?.category ?? "none"];
  return element("div", { className: "row" },
    button(contact.name, () => session.show(() => showContact(session, contact.id))),
    element("span", { className: "quiet", textContent: contact.addresses.map((one) => one.address).join(", ") }),
    category ? element("span", { className: "tag", textContent: category }) : null,
    extra?.unread ? element("span", { className: "tag", textContent: `${extra.unread} new` }) : null);
}

async function showContact(session, id) {
  const page = await session.api.mail("POST", `/contacts${path(id)}/emails`, {});
  const share = (method) => () => session.show(async () => {
    await session.api.mail(method, `/contacts${path(id)}/share`);
    return showContact(session, id);
  });
  const place = (mail) => (mail.owner === session.user
    ? `/messages${path(mail.id)}` : `/contacts${path(id)}/emails${path(mail.owner, mail.id)}`);
  return element("section", {},
    element("h2", { textContent: page.contact.name }),
    element("p", { textContent: CATEGORIES[page.category.category] || "No deals" }),
    list(page.deals, (deal) => `${deal.title} – ${deal.state}, ${deal.closing_date ?? "no date"}`, "No deals."),
    element("p", { className: "row" }, button("Share my mail with this contact", share("PUT")),
      button("Stop sharing", share("DELETE"))),
    list(page.entries, (mail) => mailRow(session, mail, place(mail)), "No mail."),
    element("h3", { textContent: "Reply or write" }), composer(session, page.contact));
}

function composer(session, contact) {
  const subject = element("input", { placeholder: "Subject", ariaLabel: "Subject" });
  const text = element("textarea", { ariaLabel: "Text" });
  // One key a mail, kept over retries: a second click never sends a second mail.
  let key = crypto.randomUUID();
  const send = button("Send", async () => {
    send.disabled = true;
    const body = { to: [contact.addresses[0].address], subject: subject.value, text: text.value };
    try {
      await session.api.mail("POST", "/messages", body, { "Idempotency-Key": key });
      key = crypto.randomUUID();
      subject.value = text.value = "";
      session.say("Sent.");
    } catch (error) {
      session.say(error.message);
    } finally {
      send.disabled = false;
    }
  });
  return element("div", {}, element("p", {}, subject), text, element("p", {}, send));
}
