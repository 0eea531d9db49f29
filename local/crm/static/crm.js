// The demo CRM's page: signs in, keeps the frame around the views, and shows the view that the address names.
//
// A view is a module with `show(session, params) -> Node` (or a promise of one); params = {parts, query}: what stands in
// the address behind the view's name. It may return at once and fill itself (`load` in states.js). The session:
//   user {id, name, role}, users, client (gmail-client.js), crm {contacts, deals, contact(id), name(userId), refresh()},
//   t(key, values), language, now(), when/whenExactly/hour/date(time), size(bytes),
//   say(text, {kind: "error", action: {label, run}}), go(hash), refresh(), badge(view, count), focusArrived(place), ended (aborted when the person leaves).
import { GmailClient } from "./gmail-client.js";
import { button, element } from "./dom.js";
import { dates, preferredLanguage, size, translator } from "./i18n.js";
import { buildFrame, markCurrent, setBadge } from "./shell.js";
import { signInPage } from "./signin.js";
import { complain, problem } from "./states.js";

const VIEWS = {
  contacts: () => import("./contacts.js"),
  deals: () => import("./deals.js"),
  inbox: () => import("./inbox.js"),
  mail: () => import("./inbox.js"),
  drafts: () => import("./drafts.js"),
  notices: () => import("./notices.js"),
  labels: () => import("./labels.js"),
  settings: () => import("./settings.js"),
  admin: () => import("./admin.js"),
  me: () => import("./me.js"),
};
const TOKEN_KEPT_MS = 240_000;
const SAID_MS = 8_000;

const app = document.getElementById("app");
let session = null;
let main = null;
let turn = 0;

// What cannot be decoded is nothing: a link that somebody has crafted leaves no blank page.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

export function parseHash(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...parts] = path.split("/").map(decoded);
  return { view, params: { parts: parts.filter(Boolean), query: Object.fromEntries(new URLSearchParams(query)) } };
}

// Shows what the address names. A view that was left in the meantime does not appear any more.
async function show({ focus = true } = {}) {
  if (!session) return;
  const mine = ++turn;
  const { view, params } = parseHash(location.hash);
  if (!Object.hasOwn(VIEWS, view)) {
    location.replace("#/contacts");
    return;
  }
  markCurrent(session, view);
  document.title = `${session.t(`view.${view}`)} – ${session.t("app.name")}`;
  const content = await build(view, params);
  if (mine !== turn) return;
  session.focusWanted = focus;
  main.dataset.shown = location.hash;
  main.replaceChildren(content);
  main.scrollTop = 0;
  if (focus) focusHeading(main);
}

async function build(view, params) {
  try {
    return await (await VIEWS[view]()).show(session, params);
  } catch (error) {
    return element("section", { className: "page" }, problem(session, error, () => show()));
  }
}

function focusHeading(place) {
  // Of two panes the one that opens is meant, even if it is still loading.
  const heading = place.querySelector("[data-focus]") ?? place.querySelector(".opened .detail h1, .page h1, .panes:not(.opened) h1");
  if (heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  } else {
    main.focus({ preventScroll: true });
  }
}

// What came later takes the focus only if nothing else was chosen meanwhile.
function focusArrived(place) {
  const nothingChosen = [document.body, main].includes(document.activeElement);
  if (session?.focusWanted && nothingChosen && place.querySelector("[data-focus], h1")) focusHeading(main);
}

function say(text, { kind = "", action = null } = {}) {
  const toast = element("div", { className: `toast ${kind}`.trim() }, element("span", { textContent: text }));
  const leave = () => toast.remove();
  if (action) {
    toast.append(button(action.label, () => {
      leave();
      Promise.resolve(action.run()).catch((error) => complain(session, error));
    }, { kind: "quiet" }));
  }
  toast.append(button(session.t("state.close"), leave, { icon: "close", kind: "quiet icon" }));
  const toasts = document.getElementById("toasts");
  toasts.append(toast);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(leave, kind === "error" || action ? SAID_MS * 2 : SAID_MS);
}

// The CRM's token of who is signed in, kept for a while; one that was refused is replaced. When it was made tells the
// CRM's time: the demo's clock can be moved.
function tokens(user, tellTime) {
  let held = null;
  return async (refused) => {
    if (!held || held.token === refused || Date.now() - held.at > TOKEN_KEPT_MS) {
      const answer = await fetch("/session", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ user }),
      });
      held = { token: (await answer.json()).token, at: Date.now() };
      tellTime(JSON.parse(atob(held.token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).iat * 1000);
    }
    return held.token;
  };
}

async function fetchRecords(user, users) {
  const records = await (await fetch(`/records.json?user=${encodeURIComponent(user)}`)).json();
  return {
    ...records,
    contact: (id) => records.contacts.find((one) => one.id === id) ?? null,
    name: (id) => users.find((one) => one.id === id)?.name ?? id,
    refresh: async () => {
      session.crm = await fetchRecords(user, users);
    },
  };
}

async function signIn(config, user) {
  const language = preferredLanguage();
  document.documentElement.lang = language;
  const { oauth_callback, mail_proxy, users } = config;
  session?.ended.abort();
  let aheadMs = 0;
  const now = () => Date.now() + aheadMs;
  const getToken = tokens(user.id, (time) => { aheadMs = time - Date.now(); });
  session = {
    ended: new AbortController(),
    user,
    users,
    language,
    t: translator(language),
    now,
    ...dates(language, now),
    size: (bytes) => size(language, bytes),
    client: new GmailClient({ urls: { oauth_callback, mail_proxy }, getToken, language }),
    crm: await fetchRecords(user.id, users),
    say,
    focusArrived,
    go: (hash) => { location.hash = hash; },
    refresh: () => show({ focus: false }),
    badge: (view, count) => setBadge(session, view, count),
  };
  sessionStorage.setItem("user", user.id);
  document.getElementById("composer").replaceChildren();
  const frame = buildFrame(session, { signOut: () => signOut(config), again: () => signIn(config, user) });
  main = frame.main;
  app.replaceChildren(...frame.parts);
  await show({ focus: false });
  import("./inside.js").then((inside) => inside.start(session, frame), () => {});
}

function signOut(config) {
  session?.ended.abort();
  session = null;
  turn += 1;
  sessionStorage.removeItem("user");
  document.getElementById("composer").replaceChildren();
  choosePerson(config);
}

function choosePerson(config) {
  const language = preferredLanguage();
  document.documentElement.lang = language;
  app.replaceChildren(signInPage(translator(language), config.users, (user) => signIn(config, user), () => choosePerson(config)));
  app.querySelector("h1").focus();
}

async function start() {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "auto";
  const config = await (await fetch("/config.json")).json();
  addEventListener("hashchange", () => show());
  const known = config.users.find((user) => user.id === sessionStorage.getItem("user"));
  await (known ? signIn(config, known) : choosePerson(config));
}

start().catch((error) => {
  app.replaceChildren(element("main", { className: "page" }, element("h1", { textContent: "Demo CRM" }),
    element("p", { role: "alert", textContent: `The page could not start: ${error.message}` }),
    button("Try again", () => location.reload(), { kind: "primary" })));
});
