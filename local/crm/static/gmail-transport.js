// @ts-check
// How gmail-client.js asks: the user's token, problem+json as errors, retries, pages, files, progress of uploads.

/** @typedef {import("./gmail-api").paths} Paths */
/** @typedef {import("./gmail-api").components["schemas"]} Schemas */
/** @typedef {"get" | "put" | "post" | "delete" | "patch"} Method */
/** @typedef {{ signal?: AbortSignal }} Options */
/** @typedef {(sentBytes: number, totalBytes: number) => void} Progress */
/** @typedef {{ blob: Blob, url: string, filename: string, revoke: () => void }} Download `url` is the blob's; `revoke()` lets go of it */
/**
 * @template {keyof Paths} P @template {Method} M
 * @typedef {Paths[P] extends { [m in M]: { requestBody: { content: { "application/json": infer B } } } } ? B : undefined} Body
 */
/**
 * @template {keyof Paths} P @template {Method} M
 * @typedef {Paths[P] extends { [m in M]: { responses: { 200: { content: { "application/json": infer A } } } } } ? A
 *   : Paths[P] extends { [m in M]: { responses: { 201: { content: { "application/json": infer C } } } } } ? C : null} Answer
 */
/**
 * @typedef {object} Details
 * @property {Record<string, string>} [path] the values of the path's `{names}`
 * @property {object} [query] what is undefined is left out
 * @property {Record<string, string>} [headers]
 * @property {boolean} [safe] whether it may be tried again; a GET always may
 * @property {AbortSignal} [signal]
 * @property {Progress} [onProgress]
 */
/**
 * @typedef {object} Setup
 * @property {{ oauth_callback: string, mail_proxy: string }} urls the functions' addresses, without a slash at the end
 * @property {(refused?: string) => Promise<string>} getToken the CRM's token of its user; `refused` is one to replace
 * @property {string} [language] of words for people: `de` or `en`
 * @property {typeof fetch} [fetch]
 * @property {(seconds: number, signal?: AbortSignal) => Promise<void>} [pause] rejects when the signal aborts
 */

const MOST_TRIES = 4;
// Whoever would have to wait for longer is told, and decides.
const LONGEST_WAIT_S = 20;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const PASSING = [429, 502, 503, 504];

/** What went wrong. Decide by `code`, which is stable (`network`: no answer came); `title` and `detail` are English. */
export class Problem extends Error {
  /** @param {Partial<Schemas["Problem"]> & Record<string, unknown>} told @param {number} status @param {number | null} retryAfterS */
  constructor(told, status, retryAfterS) {
    super(told.detail || told.title || `The server answered ${status}.`);
    this.name = "Problem";
    this.status = status;
    this.code = told.code ?? "unknown";
    this.title = told.title ?? "";
    this.detail = told.detail ?? "";
    this.retryable = told.retryable ?? PASSING.includes(status);
    /** Not before so many seconds, where that is known. */
    this.retryAfterS = retryAfterS;
    /** All that the problem says, by name. */
    this.members = told;
  }
}

/**
 * A list, page by page: `next()` until it is null, or `for await`. A page that failed can be asked for again.
 * @template {object} Page
 */
export class Pages {
  /** @type {string | null} */ #token = "";
  /** @type {(token: string) => Promise<Page>} */ #load;

  /** @param {(token: string) => Promise<Page>} load */
  constructor(load) {
    this.#load = load;
  }

  /** Whether there may be more: a page may be short, or empty, and not the last. */
  get hasMore() {
    return this.#token !== null;
  }

  /** @returns {Promise<Page | null>} the next page, null behind the last */
  async next() {
    if (this.#token === null) return null;
    const page = await this.#load(this.#token);
    this.#token = ("next_page_token" in page && String(page.next_page_token)) || null;
    return page;
  }

  /** @returns {AsyncGenerator<Page>} */
  async *[Symbol.asyncIterator]() {
    for (let page = await this.next(); page; page = await this.next()) yield page;
  }
}

/** @param {number} seconds @param {AbortSignal} [signal] @returns {Promise<void>} */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal?.reason));
    // A timer that is set for longer than it can count fires at once.
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), Math.min(seconds * 1000, LONGEST_TIMER_MS));
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

export class Transport {
  /** @type {Promise<string> | null} */ #token = null;

  /** @param {Setup} setup */
  constructor({ urls, getToken, language = "en", fetch = globalThis.fetch.bind(globalThis), pause = sleep }) {
    this.urls = urls;
    this.language = language;
    this.getToken = getToken;
    this.fetch = fetch;
    this.pause = pause;
  }

  /**
   * The answer's JSON, null where it has none.
   * @template {Method} M @template {keyof Paths} P
   * @param {M} method @param {P} path @param {Body<P, M> | FormData | undefined} [body] @param {Details} [details]
   * @returns {Promise<Answer<P, M>>}
   */
  async json(method, path, body, details) {
    const response = await this.send(method, path, body, details);
    return response.status === 204 ? /** @type {any} */ (null) : jsonOf(response, details?.signal);
  }

  /**
   * @template {Method} M @template {keyof Paths} P
   * @param {M} method @param {P} path @param {object} query @param {Details} [details]
   * @returns {Pages<Answer<P, M> & object>}
   */
  pages(method, path, query, details) {
    return new Pages(async (token) => {
      const asked = token ? { ...query, page_token: token } : query;
      // A POST that lists only reads: its terms travel in the body, as platforms log URLs.
      const isGet = method === "get";
      const more = isGet ? { ...details, query: asked } : { ...details, safe: true };
      return jsonOf(await this.send(method, path, isGet ? undefined : asked, more), details?.signal);
    });
  }

  /** @param {keyof Paths} path @param {Record<string, string>} names @param {Options} [options] @returns {Promise<Download>} */
  async download(path, names, options) {
    const response = await this.send("get", path, undefined, { ...options, path: names });
    const blob = await response.blob();
    const url = URL.createObjectURL(blob);
    return { blob, url, filename: filenameOf(response), revoke: () => URL.revokeObjectURL(url) };
  }

  /**
   * The answer, 2xx or 304, after as many tries as are safe. Throws a Problem, or the signal's reason.
   * @param {Method} method @param {keyof Paths} path @param {unknown} [body] @param {Details} [details]
   */
  async send(method, path, body, details = {}) {
    const isSafe = details.safe ?? method === "get";
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#authorised(method, path, body, details);
      } catch (error) {
        if (!(error instanceof Problem && error.retryable && isSafe && tries < MOST_TRIES)) throw error;
        const waitS = error.retryAfterS ?? 0.5 * 2 ** tries * (0.5 + Math.random());
        if (waitS > LONGEST_WAIT_S) throw error;
        await this.pause(waitS, details.signal);
      }
    }
  }

  /** Once more with a new token where the first was refused. @param {Method} method @param {keyof Paths} path @param {unknown} body @param {Details} details */
  async #authorised(method, path, body, details) {
    const held = (this.#token ??= this.#fetched(this.getToken()));
    const token = await held;
    try {
      return await this.#once(method, path, body, details, token);
    } catch (error) {
      if (!(error instanceof Problem && error.status === 401)) throw error;
      // Of many requests that are refused at once, one asks for a new token.
      if (this.#token === held) this.#token = this.#fetched(this.getToken(token));
      return this.#once(method, path, body, details, await (this.#token ?? this.getToken(token)));
    }
  }

  /** @param {Promise<string>} token */
  #fetched(token) {
    // One that could not be had is asked for again next time.
    token.catch(() => {
      if (this.#token === token) this.#token = null;
    });
    return token;
  }

  /** @param {Method} method @param {keyof Paths} path @param {unknown} body @param {Details} details @param {string} token */
  async #once(method, path, body, { path: names, query, headers, signal, onProgress }, token) {
    const isJson = body !== undefined && !(body instanceof FormData);
    const request = {
      method: method.toUpperCase(),
      headers: {
        Authorization: `Bearer ${token}`,
        "Accept-Language": this.language,
        ...(isJson ? { "Content-Type": "application/json" } : {}),
        ...headers,
      },
      body: isJson ? JSON.stringify(body) : /** @type {FormData | undefined} */ (body),
      signal,
      // The functions never redirect: the token goes to them alone.
      redirect: /** @type {const} */ ("error"),
    };
    const url = this.#url(path, names, query);
    // Of an upload's progress XMLHttpRequest alone tells.
    const asked = onProgress && "XMLHttpRequest" in globalThis ? upload(url, request, onProgress) : this.fetch(url, request);
    const response = await asked.catch((error) => {
      if (signal?.aborted) throw error;
      throw new Problem({ code: "network", title: "No answer came.", retryable: true }, 0, null);
    });
    if (!response.ok && response.status !== 304) throw await problemOf(response);
    return response;
  }

  /** @param {string} path @param {Record<string, string>} names @param {object} query */
  #url(path, names = {}, query = {}) {
    const [, name, rest] = /** @type {RegExpMatchArray} */ (path.match(/^\/(\w+)(\/.*)$/));
    const filled = rest.replace(/{(\w+)}/g, (_, one) => segmentOf(names[one]));
    const given = Object.entries(query).filter(([, value]) => value !== undefined);
    const terms = new URLSearchParams(given.map(([key, value]) => [key, String(value)]));
    return `${this.urls[/** @type {"mail_proxy"} */ (name)]}${filled}${terms.size ? `?${terms}` : ""}`;
  }
}

/** One segment of a path; an id that would lead to another path (`..`, which no encoding hides) is of nothing. @param {string} id */
function segmentOf(id) {
  if (/^\.{0,2}$/.test(id)) throw new Problem({ code: "not-found", title: "There is no such id." }, 404, null);
  return encodeURIComponent(id);
}

/**
 * What the answer says. One that says nothing a program can read (a proxy's page) or ends too soon is a Problem, too.
 * @param {Response} response @param {AbortSignal} [signal] @returns {Promise<any>}
 */
export async function jsonOf(response, signal) {
  return response.json().catch((error) => {
    if (signal?.aborted) throw error;
    if (error instanceof SyntaxError) throw new Problem({ title: "The answer is not JSON." }, response.status, null);
    throw new Problem({ code: "network", title: "The answer was cut off.", retryable: true }, 0, null);
  });
}

/** @param {Response} response */
async function problemOf(response) {
  const answer = await response.json().catch(() => null);
  const told = answer && typeof answer === "object" ? answer : {};
  const after = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new Problem(told, response.status, Number.isNaN(after) ? null : after);
}

/** The name that Content-Disposition (RFC 6266) gives the file. @param {Response} response */
function filenameOf(response) {
  const told = response.headers.get("Content-Disposition") ?? "";
  const encoded = told.match(/filename\*=UTF-8''([^;]+)/i)?.[1];
  if (encoded) return decoded(encoded);
  return (told.match(/filename="((?:[^"\\]|\\.)*)"/i)?.[1] ?? "file").replace(/\\(.)/g, "$1");
}

/** @param {string} text as it is where it cannot be decoded */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * As fetch does, and tells of its progress.
 * @param {string} url @param {{ method: string, headers: Record<string, string>, body?: XMLHttpRequestBodyInit, signal?: AbortSignal }} request
 * @param {Progress} onProgress @returns {Promise<Response>}
 */
function upload(url, { method, headers, body, signal }, onProgress) {
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    asked.open(method, url);
    asked.responseType = "blob";
    for (const [name, value] of Object.entries(headers)) asked.setRequestHeader(name, value);
    asked.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    asked.addEventListener("load", () => {
      const told = new Headers();
      for (const line of asked.getAllResponseHeaders().trim().split("\r\n")) {
        const [name, ...rest] = line.split(":");
        told.append(name, rest.join(":").trim());
      }
      resolve(new Response(asked.status === 204 ? null : asked.response, { status: asked.status, headers: told }));
    });
    asked.addEventListener("error", () => reject(new TypeError("No answer came.")));
    asked.addEventListener("abort", () => reject(signal?.reason));
    signal?.addEventListener("abort", () => asked.abort(), { once: true });
    signal?.throwIfAborted();
    asked.send(body);
  });
}
