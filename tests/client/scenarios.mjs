// Plays one scenario of gmail-client.js against the running functions and tells in JSON what came of it.
// node scenarios.mjs NAME, and on stdin {urls, token, …}. Trouble comes by the `fetch` that the client is given.
import { GmailClient, Problem } from "./gmail-client.js";

/** Every request as [method, path below the function's address]; `meet(request, number)` may answer in fetch's place. */
function watched(given, meet = () => null) {
  const seen = [];
  const fetching = async (url, request) => {
    seen.push([request.method, new URL(url).pathname.split("/").slice(2).join("/")]);
    return (await meet({ url, ...request }, seen.length)) ?? fetch(url, request);
  };
  const pauses = [];
  const pause = async (seconds, signal) => {
    signal?.throwIfAborted();
    pauses.push(seconds);
  };
  const client = new GmailClient({ urls: given.urls, getToken: async () => given.token, fetch: fetching, pause });
  return { client, seen, pauses };
}

const problem = (status, body, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/problem+json", ...headers } });
const busy = (headers) => problem(503, { code: "instance-busy", title: "Service Unavailable", retryable: true }, headers);
const told = (error) => (error instanceof Problem ? [error.status, error.code, error.retryable, error.retryAfterS] : String(error));
const caught = (promise) => promise.then(() => "no problem", told);

const scenarios = {
  async reading_again(given) {
    const { client, seen, pauses } = watched(given, (_, number) => (number < 3 ? busy({ "Retry-After": String(number) }) : null));
    const { labels } = await client.labels();
    return { tries: seen.length, pauses, inbox: labels.some((one) => one.id === "INBOX") };
  },

  async searching_again(given) {
    const { client, seen } = watched(given, (_, number) => (number === 1 ? Promise.reject(new TypeError("cut")) : null));
    const page = await client.search({ q: "subject:none" }).next();
    return { tries: seen.length, messages: page.messages };
  },

  async waiting_too_long(given) {
    const { client, seen } = watched(given, () => busy({ "Retry-After": "120" }));
    return { problem: await caught(client.labels()), tries: seen.length };
  },

  async giving_up(given) {
    const { client, seen } = watched(given, () => Promise.reject(new TypeError("cut")));
    return { problem: await caught(client.labels()), tries: seen.length };
  },

  async changing_once(given) {
    const { client, seen } = watched(given, () => busy());
    return { problem: await caught(client.changeConnection({ locale: "de" })), tries: seen.length };
  },

  async problems(given) {
    const { client } = watched(given);
    return [
      await caught(client.message("nosuch")),
      await caught(client.search({ page_size: 1000 }).next()),
      await caught(client.policy()),
    ];
  },

  // The answer to the first try is lost after Gmail has the mail.
  async sending_once(given) {
    const keys = new Set();
    const { client, seen } = watched(given, async ({ url, ...request }, number) => {
      keys.add(request.headers["Idempotency-Key"]);
      if (number > 1) return null;
      await fetch(url, request);
      throw new TypeError("cut");
    });
    const progress = [];
    const files = [new File(["%PDF"], "Angebot.pdf", { type: "application/pdf" })];
    const sent = await client.send(given.message, files, { onProgress: (...bytes) => progress.push(bytes) });
    return { state: sent.state, tries: seen.length, keys: keys.size, same: keys.has(sent.key) };
  },

  async paging(given) {
    const { client } = watched(given);
    const subjects = [];
    for await (const page of client.search({ label: "INBOX", page_size: 2 })) {
      subjects.push(page.messages.map((one) => one.subject));
    }
    const contact = [];
    for await (const page of client.contactEmails("mia", { page_size: 2 })) {
      contact.push(...page.entries.map((one) => one.subject));
    }
    return { subjects, contact };
  },

  // A page that fails leaves the pages where they were.
  async page_again(given) {
    const { client } = watched(given, (_, number) => (number === 2 ? problem(400, { code: "any" }) : null));
    const pages = client.search({ label: "INBOX", page_size: 2 });
    const first = await pages.next();
    const failed = await caught(pages.next());
    const second = await pages.next();
    return [first, second].map((page) => page.messages.map((one) => one.subject)).concat([[failed[1]]]);
  },

  async one_new_token(given) {
    const refused = [];
    const getToken = async (old) => {
      refused.push(old ?? "none");
      return old === undefined ? "stale" : given.token;
    };
    const client = new GmailClient({ urls: given.urls, getToken });
    const answers = await Promise.all([client.labels(), client.identities(), client.connection()]);
    const never = new GmailClient({ urls: given.urls, getToken: async () => "stale" });
    return { refused, answers: answers.length, never: await caught(never.labels()) };
  },

  async watching(given) {
    const answers = [];
    const pages = [];
    const { client } = watched(given, async ({ url, ...request }) => {
      const answer = await fetch(url, request);
      answers.push(answer.status);
      return answer;
    });
    await new Promise((resolve) => {
      const watch = client.watchNotices(async (page) => {
        pages.push(page.unread);
        if (pages.length > 1) return resolve(watch.stop());
        while (answers.length < 3) await new Promise((again) => setTimeout(again, 5));
        await client.markRead({ ids: page.notices.slice(0, 1).map((one) => one.id) });
      }, { onProblem: (error) => resolve(pages.push(told(error))), everyS: 1 });
    });
    return { unread: pages, first: answers[0], unchanged: answers.includes(304), others: answers.filter((one) => ![200, 304].includes(one)) };
  },

  async watching_backs_off(given) {
    const { client, pauses } = watched(given, (_, number) =>
      number < 5 ? busy({ "Retry-After": "60" }) : problem(401, { code: "invalid-token" }));
    const problems = [];
    await new Promise((resolve) => {
      const watch = client.watchNotices(() => {}, { everyS: 10, onProblem: (error) => {
        problems.push(error.code);
        if (error.status === 401) resolve(watch.stop());
      } });
    });
    return { problems, pauses };
  },

  // The page could not take what came: it is told of it again, though nothing has changed.
  async watching_again(given) {
    const unread = [];
    const problems = [];
    await new Promise((resolve) => {
      const { client } = watched(given, ({ headers }, number) => {
        if (number === 3) resolve(watch.stop());
        return headers["If-None-Match"] ? new Response(null, { status: 304 })
          : new Response(JSON.stringify({ notices: [], unread: 3 }), { headers: { ETag: '"a"' } });
      });
      const watch = client.watchNotices((page) => {
        unread.push(page.unread);
        if (unread.length === 1) throw new TypeError("not drawn");
      }, { everyS: 1, onProblem: (error) => problems.push(error.message) });
    });
    return { unread, problems };
  },

  // Something before the functions answers with a page of its own.
  async not_json(given) {
    const client = new GmailClient({ urls: given.urls, getToken: async () => given.token, fetch: async () => new Response("<p>Sign in</p>") });
    return [await caught(client.labels()), await caught(client.search({}).next())];
  },

  async downloading(given) {
    const { client } = watched(given);
    const mail = await client.message(given.id);
    const [part] = mail.attachments.filter((one) => !one.inline);
    const file = await client.attachment(given.id, part.part_id);
    const shown = await (await fetch(file.url)).text();
    file.revoke();
    const gone = await fetch(file.url).then(() => "there", () => "gone");
    const source = await client.raw(given.id);
    source.revoke();
    return { filename: file.filename, shown, gone, source: source.filename };
  },

  async inline_images(given) {
    const { client } = watched(given);
    const mail = await client.message(given.id, { images: false });
    const html = await client.inlineImages(mail, given.id);
    return { before: mail.html.includes("cid:"), after: html.includes("cid:"), image: html.match(/data:image\/png;base64,[^"]+/)?.[0] };
  },

  async giving_up_on_wish(given) {
    const { client } = watched(given);
    const name = (error) => error.name;
    const before = await client.labels({ signal: AbortSignal.abort() }).catch(name);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 20);
    const slow = new GmailClient({ urls: given.urls, getToken: async () => given.token, fetch: async () => busy({ "Retry-After": "19" }) });
    return { before, during: await slow.labels({ signal: stop.signal }).catch(name) };
  },

  // Ids of a crafted link, and answers that no function gives.
  async hostile(given) {
    const { client, seen } = watched(given);
    const astray = [await caught(client.message("..")), await caught(client.contactEmail("c1", "..", "m")), await caught(client.draft("."))];
    const asked = seen.length;
    const answered = (response) => watched(given, () => response.clone()).client;
    const nothing = await caught(answered(problem(400, null)).labels());
    const file = new Response("x", { headers: { "Content-Disposition": "attachment; filename*=UTF-8''%E0%A4%A" } });
    const odd = await answered(file).attachment("m", "1");
    odd.revoke();
    const redirects = [];
    await watched(given, (request) => void redirects.push(request.redirect)).client.labels();
    return { astray, asked, nothing, filename: odd.filename, redirects };
  },

  // The wait is longer than a timer can count; one that overflows fires at once, and Node says so.
  async watching_with_patience(given) {
    let asked = 0;
    const fetching = async () => ((asked += 1), busy({ "Retry-After": "99999999" }));
    const client = new GmailClient({ urls: given.urls, getToken: async () => given.token, fetch: fetching });
    const watch = await new Promise((resolve) => {
      const begun = client.watchNotices(() => {}, { onProblem: () => setTimeout(() => resolve(begun), 20) });
    });
    watch.stop();
    return asked;
  },
};

let input = "";
for await (const piece of process.stdin) input += piece;
console.log(JSON.stringify(await scenarios[process.argv[2]](JSON.parse(input))));
