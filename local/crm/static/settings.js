// Gmail settings: connect in a popup, sharing, MailMagnet, labels, deactivate.
import { button, element, when } from "./dom.js";

const FEATURES = ["mail", "mailmagnet", "actions", "labels"];
const LEVELS = { private: "Only me", custom: "Contacts that I share", public: "All contacts" };

let waiting = null;

// Opens Google's page and waits for the ticket; the popup is opened by the click itself, or the browser blocks it.
async function connect(session) {
  const popup = window.open("", "gmail-consent", "width=560,height=760");
  if (!popup) {
    session.say("Allow popups for this page, then try again.");
    return;
  }
  // A popup that was closed never answers: a new attempt takes its place, so that one answer is claimed once.
  waiting?.close();
  const channel = (waiting = new BroadcastChannel("gmail-connection"));
  try {
    const answered = new Promise((resolve) => channel.addEventListener("message", resolve, { once: true }));
    const { url } = await session.api.connection("POST", "/authorize", {
      return_to: `${location.origin}/connected`,
      features: FEATURES,
    });
    popup.location.replace(url);
    const { data } = await answered;
    if (!data.ticket) {
      session.say(`Not connected (${data.error ?? "cancelled"}).`);
      return;
    }
    await session.api.connection("POST", "/connection", { ticket: data.ticket });
    await session.show(() => showSettings(session));
  } finally {
    channel.close();
    popup.close();
  }
}

function change(session, body) {
  return session.show(async () => {
    await session.api.connection("PATCH", "/connection", body);
    return showSettings(session);
  });
}

function sharing(session, connection) {
  const select = element("select", { id: "sharing" });
  for (const [level, label] of Object.entries(LEVELS)) {
    select.add(new Option(label, level, false, level === connection.sharing.level));
  }
  select.addEventListener("change", () => change(session, { sharing: select.value }));
  return element("p", {}, element("label", {}, "Colleagues see my mail with: ", select));
}

// What the administrators' policy asks for is shown in full, and accepted just as it was shown.
function asked(session, { asked: level, asked_terms: wider, terms: held }) {
  if (!level && !wider) return null;
  const terms = wider ?? held;
  const kept = (names) => names.join(", ") || "none";
  return element("div", { className: "asked" },
    element("p", { textContent: "Your administrators ask you to share more:" }),
    level ? element("p", { textContent: `Level: ${LEVELS[level]}` }) : null,
    element("p", { textContent: `Domains kept out: ${kept([...terms.internal_domains, ...terms.excluded_domains])}; `
      + `mail older than a contact's address: ${terms.address_time_limit ? "kept back" : "shown"}` }),
    button("Accept", () => change(session, {
      ...(level ? { accepted_level: level } : {}),
      accepted_terms: terms,
    })));
}

function toggle(session, connection, name, label) {
  const state = connection[name].state;
  const next = state === "off";
  return element("p", { className: "row" }, `${label}: ${state}`,
    button(next ? "Turn on" : "Turn off", () => change(session, { [name]: next })));
}

function deactivate(session) {
  return button("Deactivate", () => {
    if (confirm("Disconnect Gmail? Notices and shares are deleted; your mail and labels stay in Gmail.")) {
      session.show(async () => {
        await session.api.connection("DELETE", "/connection");
        return showSettings(session);
      });
    }
  });
}

export async function showSettings(session) {
  const connection = await session.api.connection("GET", "/connection");
  const start = () => connect(session).catch((error) => session.say(error.message));
  const heading = element("h2", { textContent: "Gmail" });
  if (connection.status === "absent") {
    return element("section", {}, heading, element("p", { textContent: "Not connected." }), button("Connect Gmail", start));
  }
  const broken = connection.status === "reauth_required";
  return element("section", {}, heading,
    element("p", { textContent: `${connection.address} – ${connection.status.replaceAll("_", " ")}` }),
    broken ? button("Connect again", start) : null,
    connection.sharing ? sharing(session, connection) : null,
    connection.sharing ? asked(session, connection.sharing) : null,
    toggle(session, connection, "mailmagnet", "MailMagnet"),
    toggle(session, connection, "labels", "Labels"),
    element("p", { className: "quiet", textContent: `Last sweep: ${when(connection.labels.last_sweep_at)}` }),
    deactivate(session));
}
