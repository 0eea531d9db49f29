// @ts-check
// Gmail inside any CRM: what a front end needs to work with the two public functions. Nothing to build or install; it
// wants only gmail-transport.js beside it. For types: docs/integrate.md, section 4.
//
//   const client = new GmailClient({ urls: { oauth_callback, mail_proxy }, getToken: async () => token });
//   for await (const page of client.search({ label: "INBOX" })) page.messages.forEach((mail) => show(mail.subject));
//
// Every method takes `{ signal }` (an AbortSignal) last and throws a Problem. What is safe is tried again, a few times
// and not before Retry-After: reading, searching, and sending, which under one key happens once. Words are the API's own.

import { Pages, Problem, Transport, jsonOf } from "./gmail-transport.js";

export { Pages, Problem };

/** @typedef {import("./gmail-transport.js").Schemas} Schemas */
/** @typedef {import("./gmail-transport.js").Options} Options */
/** @typedef {import("./gmail-transport.js").Setup} Setup */
/** @typedef {{ onProgress?: import("./gmail-transport.js").Progress }} Upload */
/** @typedef {{ remote?: boolean, images?: boolean }} Look `remote`: with remote images; `images: false`: without inline ones */
/** @typedef {File | { file: Blob, name?: string, contentId?: string }} Attached `contentId`: the HTML shows it as `cid:…` */
/** @typedef {string | { contactId: string, owner: string, id: string }} Place one's own mail by id, or one of a contact */
/** @typedef {Omit<Schemas["EmailsBody"], "page_token">} EmailsQuery */

/** The JSON alone, or beside the files. @template T @param {T} message @param {Attached[]} files @returns {T | FormData} */
function parcel(message, files) {
  if (!files.length) return message;
  const form = new FormData();
  form.append("message", new Blob([JSON.stringify(message)], { type: "application/json" }));
  for (const one of files) {
    const { file, name, contentId } = one instanceof Blob ? { file: one, name: one.name, contentId: "" } : one;
    form.append(contentId ? `cid:${contentId}` : "file", file, name ?? (file instanceof File ? file.name : "file"));
  }
  return form;
}

/** @param {Blob} blob @param {string} type */
async function dataUrl(blob, type) {
  let bytes = "";
  for (const byte of new Uint8Array(await blob.arrayBuffer())) bytes += String.fromCharCode(byte);
  return `data:${type};base64,${btoa(bytes)}`;
}

export class GmailClient {
  /** @type {Transport} */ #api;

  /** @param {Setup} setup */
  constructor(setup) {
    this.#api = new Transport(setup);
  }

  // The connection

  /** Starts consent: open the answer's `url` in a popup that the click itself has opened. @param {Schemas["AuthorizeBody"]} body @param {Options} [options] */
  authorize = (body, options) => this.#api.json("post", "/oauth_callback/authorize", body, options);
  /** Makes the connection, with the ticket that the popup handed over. @param {string} ticket @param {Options} [options] */
  claim = (ticket, options) => this.#api.json("post", "/oauth_callback/connection", { ticket }, options);
  /** Status, features, sharing, MailMagnet, labels, health. @param {Options} [options] */
  connection = (options) => this.#api.json("get", "/oauth_callback/connection", undefined, options);
  /** @param {Schemas["ConnectionPatch"]} patch what to change; the rest stays @param {Options} [options] */
  changeConnection = (patch, options) => this.#api.json("patch", "/oauth_callback/connection", patch, options);
  /** @param {Options & { labels?: "keep" | "remove" }} [options] */
  deactivate = ({ labels = "keep", ...options } = {}) =>
    this.#api.json("delete", "/oauth_callback/connection", undefined, { ...options, query: { labels } });
  /** What is held about the user, page by page. @param {Options} [options] */
  data = (options) => this.#api.pages("get", "/oauth_callback/connection/data", {}, options);

  // For administrators

  /** @param {Options} [options] @returns {Promise<{ policy: Schemas["PolicyAnswer"], etag: string }>} */
  async policy(options) {
    const response = await this.#api.send("get", "/oauth_callback/policy", undefined, options);
    return { policy: await response.json(), etag: response.headers.get("ETag") ?? "" };
  }
  /** Replaces it; `etag` (of `policy()`): only if it is still the one that was read, else 412. @param {Schemas["PolicyBody"]} policy @param {string} [etag] @param {Options} [options] */
  changePolicy = (policy, etag, options) =>
    this.#api.json("put", "/oauth_callback/policy", policy, { ...options, headers: etag ? { "If-Match": etag } : {} });
  /** @param {Options} [options] */
  audit = (options) => this.#api.pages("get", "/oauth_callback/audit", {}, options);
  /** Everyone's connection. @param {Options} [options] */
  connections = (options) => this.#api.pages("get", "/oauth_callback/connections", {}, options);
  /** @param {string} user @param {Options & { labels?: "keep" | "remove" }} [options] */
  deactivateUser = (user, { labels = "keep", ...options } = {}) =>
    this.#api.json("delete", "/oauth_callback/connections/{user}", undefined, { ...options, path: { user }, query: { labels } });

  // Reading

  /** The user's own mail, newest first. @param {Omit<Schemas["SearchBody"], "page_token">} [query] @param {Options} [options] */
  search = (query = {}, options) => this.#api.pages("post", "/mail_proxy/messages/search", query, options);
  /** @param {string} id @param {Look & Options} [options] `remote`: with remote images */
  message = (id, { remote, images, ...options } = {}) =>
    this.#api.json("get", "/mail_proxy/messages/{id}", undefined, { ...options, path: { id }, query: { remote, images } });
  /** @param {string} id @param {Look & Options} [options] */
  thread = (id, { remote, images, ...options } = {}) =>
    this.#api.json("get", "/mail_proxy/threads/{id}", undefined, { ...options, path: { id }, query: { remote, images } });
  /** The mail's source. @param {string} id @param {Options} [options] */
  raw = (id, options) => this.#api.download("/mail_proxy/messages/{id}/raw", { id }, options);
  /** One part of a mail, as a file with a blob URL: call `revoke()` when it is shown no more. @param {Place} place @param {string} partId @param {Options} [options] */
  attachment = (place, partId, options) =>
    typeof place === "string"
      ? this.#api.download("/mail_proxy/messages/{id}/attachments/{part_id}", { id: place, part_id: partId }, options)
      : this.#api.download("/mail_proxy/contacts/{id}/emails/{owner}/{message_id}/attachments/{part_id}",
        { id: place.contactId, owner: place.owner, message_id: place.id, part_id: partId }, options);
  /**
   * The mail's HTML with the inline images that the answer left out, as `data:` URLs: a mail's frame has an origin of its
   * own and loads no `blob:` of the page. One that cannot be had stays out.
   * @param {Schemas["MessageAnswer"]} mail @param {Place} place @param {Options} [options] @returns {Promise<string>}
   */
  async inlineImages(mail, place, options) {
    let html = mail.html;
    for (const { part_id, content_type } of mail.attachments) {
      if (!html.includes(`"cid:${part_id}"`) || !/^image\/(png|jpeg|gif|webp)$/.test(content_type)) continue;
      const image = await this.attachment(place, part_id, options).catch(() => null);
      if (image) html = html.replaceAll(`"cid:${part_id}"`, `"${await dataUrl(image.blob, content_type)}"`);
      image?.revoke();
    }
    return html;
  }
  /** @param {string[]} ids @param {Schemas["ModifyBody"]["action"]} action @param {Options} [options] */
  modify = (ids, action, options) => this.#api.json("post", "/mail_proxy/messages/modify", { ids, action }, options);
  /** @param {Options} [options] */
  labels = (options) => this.#api.json("get", "/mail_proxy/labels", undefined, options);

  // A contact in context

  /** Details, category, deals and every mail with it that the user may see. @param {string} id @param {Omit<Schemas["EmailsBody"], "page_token">} [query] @param {Options} [options] */
  contactEmails = (id, query = {}, options) =>
    this.#api.pages("post", "/mail_proxy/contacts/{id}/emails", query, { ...options, path: { id } });
  /** @param {string} id @param {Omit<Schemas["EmailsBody"], "page_token">} [query] @param {Options} [options] */
  dealEmails = (id, query = {}, options) =>
    this.#api.pages("post", "/mail_proxy/deals/{id}/emails", query, { ...options, path: { id } });
  /** A colleague's mail of a contact. @param {string} contactId @param {string} owner @param {string} id @param {Look & Options} [options] */
  contactEmail = (contactId, owner, id, { remote, images, ...options } = {}) =>
    this.#api.json("get", "/mail_proxy/contacts/{id}/emails/{owner}/{message_id}", undefined,
      { ...options, path: { id: contactId, owner, message_id: id }, query: { remote, images } });
  /** For lists: category, unread notices, last mail. @param {string[]} ids at most 100 @param {Options} [options] */
  summaries = (ids, options) => this.#api.json("post", "/mail_proxy/contacts/summary", { ids }, { ...options, safe: true });
  /** @param {string} id @param {string[]} [addresses] those that the user was shown @param {Options} [options] */
  share = (id, addresses, options) =>
    this.#api.json("put", "/mail_proxy/contacts/{id}/share", addresses ? { addresses } : {}, { ...options, path: { id } });
  /** @param {string} id @param {Options} [options] */
  unshare = (id, options) => this.#api.json("delete", "/mail_proxy/contacts/{id}/share", undefined, { ...options, path: { id } });

  // Writing

  /** @param {Options} [options] */
  identities = (options) => this.#api.json("get", "/mail_proxy/identities", undefined, options);
  /**
   * Sends once, however often it is tried: keep `key` for a mail until its fate is known. `pending` means: ask `sendState`.
   * @param {Schemas["SendBody"]} message @param {Attached[]} [files] @param {Options & Upload & { key?: string }} [options]
   */
  async send(message, files = [], { key = crypto.randomUUID(), ...options } = {}) {
    const keyed = { ...options, headers: { "Idempotency-Key": key }, safe: true };
    return { key, ...(await this.#api.json("post", "/mail_proxy/messages", parcel(message, files), keyed)) };
  }
  /** @param {string} key @param {Options} [options] */
  sendState = (key, options) => this.#api.json("get", "/mail_proxy/sends/{key}", undefined, { ...options, path: { key } });
  /** @param {string} key @param {string} sendAt RFC 3339 @param {Options} [options] */
  moveSend = (key, sendAt, options) =>
    this.#api.json("patch", "/mail_proxy/sends/{key}", { send_at: sendAt }, { ...options, path: { key } });
  /** Cancels one that waits; it stays among the drafts. @param {string} key @param {Options} [options] */
  cancelSend = (key, options) => this.#api.json("delete", "/mail_proxy/sends/{key}", undefined, { ...options, path: { key } });
  /** @param {{ page_size?: number }} [query] @param {Options} [options] */
  drafts = (query = {}, options) => this.#api.pages("get", "/mail_proxy/drafts", query, options);
  /** @param {string} id @param {Options} [options] */
  draft = (id, options) => this.#api.json("get", "/mail_proxy/drafts/{id}", undefined, { ...options, path: { id } });
  /** Saves a new draft, or over `id`. @param {Schemas["DraftBody"]} message @param {Attached[]} [files] @param {Options & Upload & { id?: string }} [options] @returns {Promise<Schemas["DraftSaved"]>} */
  saveDraft = (message, files = [], { id, ...options } = {}) =>
    id ? this.#api.json("put", "/mail_proxy/drafts/{id}", parcel(message, files), { ...options, path: { id } })
      : this.#api.json("post", "/mail_proxy/drafts", parcel(message, files), options);
  /** @param {string} id @param {Options} [options] */
  deleteDraft = (id, options) => this.#api.json("delete", "/mail_proxy/drafts/{id}", undefined, { ...options, path: { id } });
  /** @param {string} id @param {Options & { key?: string }} [options] */
  async sendDraft(id, { key = crypto.randomUUID(), ...options } = {}) {
    const keyed = { ...options, path: { id }, headers: { "Idempotency-Key": key }, safe: true };
    return { key, ...(await this.#api.json("post", "/mail_proxy/drafts/{id}/send", undefined, keyed)) };
  }

  // MailMagnet and labels

  /** @param {{ unread?: boolean, expand?: "summary", page_size?: number }} [query] @param {Options} [options] */
  notices = (query = {}, options) => this.#api.pages("get", "/mail_proxy/notices", query, options);
  /** @param {Schemas["ReadBody"]} which `{ ids }` or `{ until }` @param {Options} [options] */
  markRead = (which, options) => this.#api.json("post", "/mail_proxy/notices/read", which, options);
  /** Why a mail is where it is. @param {string} id @param {Options} [options] */
  category = (id, options) => this.#api.json("get", "/mail_proxy/messages/{id}/category", undefined, { ...options, path: { id } });
  /** @param {string} id @param {Options} [options] */
  releasePin = (id, options) => this.#api.json("delete", "/mail_proxy/messages/{id}/pin", undefined, { ...options, path: { id } });
  /** @param {Options} [options] */
  sweepPreview = (options) => this.#api.json("get", "/mail_proxy/sweep/preview", undefined, options);
  /** @param {Options} [options] */
  sweeps = (options) => this.#api.pages("get", "/mail_proxy/sweeps", {}, options);
  /** @param {string} id @param {Options} [options] */
  undo = (id, options) => this.#api.json("post", "/mail_proxy/sweeps/{id}/undo", undefined, { ...options, path: { id } });

  /**
   * Tells of the first page of notices, now and whenever it changes; what has not changed costs next to nothing (ETag).
   * @param {(page: Schemas["NoticesAnswer"]) => void} onPage
   * @param {{ unread?: boolean, expand?: "summary", page_size?: number, everyS?: number, onProblem?: (problem: unknown) => void }} [options]
   * @returns {{ stop: () => void }}
   */
  watchNotices(onPage, { everyS = 30, onProblem = () => {}, ...query } = {}) {
    const stopped = new AbortController();
    this.#watch(onPage, onProblem, everyS, query, stopped.signal).catch(onProblem);
    return { stop: () => stopped.abort() };
  }

  /** @param {(page: any) => void} onPage @param {(problem: unknown) => void} onProblem @param {number} everyS @param {object} query @param {AbortSignal} signal */
  async #watch(onPage, onProblem, everyS, query, signal) {
    let etag = "";
    for (let failures = 0; !signal.aborted; ) {
      let waitS = everyS;
      try {
        const headers = /** @type {Record<string, string>} */ (etag ? { "If-None-Match": etag } : {});
        const response = await this.#api.send("get", "/mail_proxy/notices", undefined, { query, headers, signal });
        failures = 0;
        if (response.status !== 304) {
          onPage(await jsonOf(response, signal));
          // Kept only now: what the page could not take it is told again.
          etag = response.headers.get("ETag") ?? "";
        }
      } catch (error) {
        if (signal.aborted) return;
        onProblem(error);
        failures += 1;
        waitS = Math.max(Math.min(everyS * 2 ** failures, 300), (error instanceof Problem && error.retryAfterS) || 0);
      }
      await this.#api.pause(waitS, signal).catch(() => {});
    }
  }
}
