// @ts-check
// What a front end writes, for tsc alone: the right use has types, and the wrong one is an error.
import { GmailClient, Problem } from "./gmail-client.js";

const client = new GmailClient({ urls: { oauth_callback: "https://a", mail_proxy: "https://b" }, getToken: async () => "token" });

/** @returns {Promise<string[]>} */
export async function right() {
  const subjects = [];
  for await (const page of client.search({ label: "INBOX" })) subjects.push(...page.messages.map((mail) => mail.subject));
  const page = await client.contactEmails("mia", { page_size: 5 }).next();
  /** @type {"closing_this_month" | "open_deals" | "customers" | "none" | undefined} */
  const category = page?.category.category;
  const sent = await client.send({ to: [{ address: "mia@customer.example" }], text: "Hello" }, [new File([], "a.txt")]);
  const { policy, etag } = await client.policy();
  await client.changePolicy({ ...policy, sharing: "private" }, etag);
  await client.changeConnection({ mailmagnet: true });
  const nothing = await client.modify(["id"], "archive");
  const watch = client.watchNotices((notices) => subjects.push(String(notices.unread)));
  watch.stop();
  const mail = await client.message("id");
  const frame = mail.frame?.sandbox;
  return [...subjects, category ?? "", sent.key, sent.state, String(nothing === null), mail.html, frame ?? ""];
}

export async function wrong() {
  // @ts-expect-error no such action
  await client.modify(["id"], "burn");
  // @ts-expect-error no such field
  await client.search({ query: "from:mia" });
  // @ts-expect-error recipients are objects
  await client.send({ to: ["mia@customer.example"] });
  // @ts-expect-error answers have no such field
  (await client.message("id")).body;
  // @ts-expect-error one of the two functions is missing
  new GmailClient({ urls: { mail_proxy: "https://b" }, getToken: async () => "token" });
  // @ts-expect-error codes are text
  return new Problem({}, 400, null).code === 400;
}
