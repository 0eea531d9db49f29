// What a view shows while it loads, when there is nothing, and when something went wrong: always what to do next.
import { button, element, icon, link } from "./dom.js";

const SLOW_MS = 3_500;
const LONGEST_WAIT_S = 300;
const MENDED_IN_SETTINGS = new Set(["not-connected", "reauth-required", "scope-missing", "mailmagnet-required", "feature-not-allowed"]);

// Codes that mean the same to a reader.
const SAME = { "mail-too-large": "message-too-large", "body-too-large": "message-too-large", "connection-changed-meanwhile": "changed",
  "policy-changed-meanwhile": "changed", "addresses-changed": "changed", "terms-not-asked": "changed", "level-not-asked": "changed",
  "code-refused": "invalid-ticket", "invalid-state": "invalid-ticket", "grant-ended-meanwhile": "invalid-ticket",
  "too-many-attachments": "attachment-unreadable", "missing-token": "invalid-token", "scopes-missing": "scope-missing" };

// Grey shapes of what will come, so that nothing jumps: "rows", "card" or "mail".
export function skeleton(session, kind = "rows", count = 8) {
  const line = (width) => element("span", { className: "bone", style: `width:${width}%` });
  const row = (_, index) => element("div", { className: "bone-row" }, element("span", { className: "bone round" }),
    element("div", { className: "bone-lines" }, line(40 + ((index * 17) % 30)), line(60 + ((index * 23) % 35))));
  const shapes = {
    rows: () => Array.from({ length: count }, row),
    card: () => [line(35), line(80), line(65), line(50)],
    mail: () => [line(55), line(30), element("span", { className: "bone block" })],
  };
  return element("div", { className: `skeleton ${kind}`, role: "status", "aria-label": session.t("state.loading") }, shapes[kind]());
}

export function empty(title, text = "", { icon: name = "inbox", action = null } = {}) {
  return element("div", { className: "state" }, element("div", { className: "state-icon" }, icon(name)),
    element("p", { className: "state-title", textContent: title }),
    text ? element("p", { className: "quiet", textContent: text }) : null, action);
}

export function isOffline(error) {
  return error?.code === "network";
}

// An error in the reader's words: {code, kind, icon, title, text}. Codes that have no words of their own fall back on kind.
export function explain(session, error) {
  const { t } = session;
  const code = isOffline(error) ? (navigator.onLine ? "unreachable" : "offline") : (error.code ?? "page-error");
  const known = SAME[code] ?? code;
  const kind = t.has(`problem.${known}.title`) ? known : error.status === 429 ? "rate-limited" : error.retryable ? "temporary" : "general";
  const until = error.retryAfterS ? session.hour(session.now() + error.retryAfterS * 1000) : "";
  const icons = { "rate-limited": "clock", offline: "cloud", unreachable: "cloud", "not-found": "search",
    "not-connected": "mail", "reauth-required": "key", "scope-missing": "key", temporary: "clock" };
  return {
    code,
    kind,
    icon: icons[kind] ?? "warning",
    title: t(`problem.${kind}.title`),
    text: t(until && t.has(`problem.${kind}.until`) ? `problem.${kind}.until` : `problem.${kind}.text`,
      { until, code, detail: error.detail ?? error.message ?? "" }),
  };
}

// A problem in the place of what should be there. Tries again by itself where the answer said when, or back online.
export function problem(session, error, retry) {
  const { t } = session;
  const told = explain(session, error);
  const again = retry ? button(t("state.retry"), retry, { icon: "refresh" }) : null;
  const action = MENDED_IN_SETTINGS.has(told.code)
    ? link(t(`problem.${told.code}.action`), "#/settings", { className: "button primary" })
    : again;
  const node = element("div", { className: "state", role: "alert", dataset: { problem: told.code } },
    element("div", { className: "state-icon warn" }, icon(told.icon)),
    element("p", { className: "state-title", textContent: told.title }),
    element("p", { className: "quiet", textContent: told.text }), action);
  if (retry) tryAgain(node, error, retry);
  return node;
}

function tryAgain(node, error, retry) {
  const ifStillShown = () => node.isConnected && retry();
  if (isOffline(error)) addEventListener("online", ifStillShown, { once: true });
  else if (error.retryAfterS && error.retryAfterS <= LONGEST_WAIT_S) {
    setTimeout(ifStillShown, error.retryAfterS * 1000 + Math.random() * 1000);
  }
}

// A place that shows bones at once, a word when it takes long, then what `work` builds, or the problem.
export function load(session, placeholder, work) {
  const place = element("div", { className: "place", "aria-busy": "true" }, placeholder);
  const run = async () => {
    const slow = setTimeout(() => place.prepend(element("p", { className: "note slow", role: "status" }, icon("clock"),
      session.t("state.slow"))), SLOW_MS);
    try {
      place.replaceChildren(await work());
    } catch (error) {
      place.replaceChildren(problem(session, error, () => {
        place.replaceChildren(placeholder);
        place.setAttribute("aria-busy", "true");
        return run();
      }));
    } finally {
      clearTimeout(slow);
      place.removeAttribute("aria-busy");
      session.focusArrived(place);
    }
  };
  place.finished = run();
  return place;
}

// A button that works: it cannot be pressed twice meanwhile, and what went wrong is said in words.
export function actionButton(session, label, work, options = {}) {
  const node = button(label, async () => {
    node.setAttribute("aria-disabled", "true");
    node.classList.add("busy");
    try {
      await work(node);
    } catch (error) {
      complain(session, error);
    } finally {
      node.removeAttribute("aria-disabled");
      node.classList.remove("busy");
    }
  }, options);
  // `disabled` would take the focus away from who uses the keyboard.
  node.addEventListener("click", (event) => node.getAttribute("aria-disabled") && event.stopImmediatePropagation(), { capture: true });
  return node;
}

export function complain(session, error) {
  const told = explain(session, error);
  session.say(`${told.title} ${told.text}`, { kind: "error" });
}

// A question that must be answered before something is done. Answers whether it was confirmed, and with what.
export function ask(session, { title, body, confirm, danger = false }) {
  return new Promise((resolve) => {
    const dialog = element("dialog", { className: "dialog", "aria-labelledby": "dialog-title" },
      element("form", { method: "dialog" }, element("h2", { id: "dialog-title", textContent: title }), body,
        element("div", { className: "row end" },
          element("button", { className: "button", value: "", textContent: session.t("state.cancel") }),
          element("button", { className: `button ${danger ? "danger" : "primary"}`, value: "yes", textContent: confirm }))));
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
