// The demo CRM's page: who is signed in, and which view is shown. The views are in views.js and settings.js.
import { Api } from "./api.js";
import { showSettings } from "./settings.js";
import { showContacts, showInbox, showNotices } from "./views.js";

const VIEWS = { contacts: showContacts, inbox: showInbox, notices: showNotices, settings: showSettings };
const main = document.getElementById("main");
const status = document.getElementById("status");

const session = { user: "", api: null, say, show };
let current = "contacts";

function say(text) {
  status.textContent = text;
}

// Shows what a view builds. A view that was left in the meantime does not appear any more.
async function show(build) {
  const turn = (show.turn = (show.turn ?? 0) + 1);
  say("");
  try {
    const content = await build();
    if (turn === show.turn) {
      main.replaceChildren(content);
    }
  } catch (error) {
    if (turn === show.turn) {
      main.replaceChildren();
      say(error.code === undefined ? "The functions cannot be reached." : `${error.message} (${error.code})`);
    }
  }
}

function open(view) {
  current = view;
  for (const button of document.querySelectorAll("[data-view]")) {
    button.toggleAttribute("aria-current", button.dataset.view === view);
  }
  return show(() => VIEWS[view](session));
}

async function signIn(config, user) {
  const response = await fetch("/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  const { token } = await response.json();
  session.user = user;
  session.api = new Api(config, token);
  return open(current);
}

async function start() {
  const config = await (await fetch("/config.json")).json();
  const select = document.getElementById("user");
  for (const user of config.users) {
    select.add(new Option(`${user.name} (${user.role})`, user.id));
  }
  select.addEventListener("change", () => signIn(config, select.value));
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => open(button.dataset.view));
  }
  await signIn(config, config.users[0].id);
}

start();
