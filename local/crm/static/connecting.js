// Connecting Gmail: what is wanted, Google's page in a popup, the one-time ticket, the claim.
import { button, element, icon } from "./dom.js";
import { ask, complain } from "./states.js";

export const FEATURES = ["mail", "mailmagnet", "actions", "labels"];

// A popup that was closed never answers: a new attempt takes its place, so that one answer is claimed once.
let waiting = null;

// Must be called in the click itself, or the browser blocks the popup. Answers true once the connection stands.
export async function connect(session, features, place) {
  waiting?.close();
  const popup = window.open("", "gmail-consent", "width=560,height=760");
  const channel = (waiting = new BroadcastChannel("gmail-connection"));
  const answered = new Promise((resolve) => channel.addEventListener("message", ({ data }) => resolve(data), { once: true }));
  const cancelled = new Promise((resolve) => place.replaceChildren(waitingNote(session, popup, () => resolve(null))));
  try {
    const { url } = await session.client.authorize({ return_to: `${location.origin}/connected`, features });
    if (popup) popup.location.replace(url);
    else place.replaceChildren(blockedNote(session, url));
    const answer = await Promise.race([answered, cancelled]);
    if (!answer) return false;
    if (answer.ticket) {
      await session.client.claim(answer.ticket);
      return true;
    }
    place.replaceChildren(deniedNote(session, answer.error));
    return null;
  } finally {
    if (waiting === channel) waiting = null;
    channel.close();
    popup?.close();
  }
}

function waitingNote(session, popup, cancel) {
  return element("div", { className: "note", role: "status" }, icon("key"), element("div", { textContent: session.t("connect.waiting") }),
    popup ? button(session.t("connect.show"), () => popup.focus(), { kind: "small" }) : null,
    button(session.t("state.cancel"), cancel, { kind: "small" }));
}

// The popup was blocked: the reader's own click on this link opens Google's page all the same.
function blockedNote(session, url) {
  return element("div", { className: "note warn", role: "alert" }, icon("warning"), element("div", { textContent: session.t("connect.blocked") }),
    element("a", { href: url, target: "gmail-consent", rel: "noopener", className: "button primary small", textContent: session.t("connect.open") }));
}

function deniedNote(session, code) {
  const { t } = session;
  const key = t.has(`connect.error.${code}`) ? `connect.error.${code}` : "connect.error.other";
  return element("div", { className: "note warn", role: "alert" }, icon("warning"), element("div", { textContent: t(key, { code: code ?? "" }) }));
}

// A button that connects with these features; afterwards `done` is called.
export function connectButton(session, label, features, done, options = {}) {
  const place = element("div", { className: "connect-place" });
  const node = button(label, async () => {
    node.disabled = true;
    try {
      const connected = await connect(session, typeof features === "function" ? features() : features, place);
      if (connected) {
        session.say(session.t("connect.done"));
        done();
      } else if (connected === false) place.replaceChildren();
    } catch (error) {
      place.replaceChildren();
      complain(session, error);
    } finally {
      node.disabled = false;
    }
  }, { icon: "mail", kind: "primary", ...options });
  return element("div", { className: "stack" }, element("div", { className: "row" }, node), place);
}

// Ends the connection, after saying what that means.
export async function deactivate(session, connection) {
  const { t } = session;
  const labels = element("input", { type: "checkbox" });
  const body = element("div", { className: "stack" }, element("ul", { className: "bullets" },
    ["stop", "revoke", "delete", "keep"].map((what) => element("li", { textContent: t(`deactivate.${what}`) }))),
  connection.labels.state === "off" ? null : element("label", { className: "row" }, labels, t("deactivate.labels")));
  const confirmed = await ask(session, { title: t("deactivate.title", { address: connection.address }), body, confirm: t("deactivate.confirm"), danger: true });
  if (!confirmed) return;
  await session.client.deactivate({ labels: labels.checked ? "remove" : "keep" });
  session.say(t("deactivate.done"));
  session.refresh();
}
