// The frame around the views: bar, navigation, the reader's menu, what is wrong with the connection as a whole.
import { avatar, button, element, icon, link } from "./dom.js";
import { LANGUAGES } from "./i18n.js";

const SECTIONS = [
  ["contacts", "people"],
  ["inbox", "inbox"],
  ["notices", "bell"],
  ["labels", "tag"],
  ["settings", "gear"],
  ["me", "shield"],
  ["admin", "key"],
];
const WITHIN = { mail: "inbox", drafts: "inbox", deals: "contacts" };
const THEMES = ["auto", "light", "dark"];

// Answers {parts, main, tools, panel}: `tools` takes buttons in the bar, `panel` is the aside on the right.
export function buildFrame(session, { signOut, again }) {
  const { t } = session;
  const main = element("main", { id: "main", className: "main", tabIndex: -1 });
  const panel = element("aside", { id: "inside", className: "panel", hidden: true });
  const tools = element("div", { className: "tools" });
  const skip = link(t("app.skip"), "#main", { className: "skip" });
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  const brand = link(t("app.name"), "#/contacts", { className: "brand" });
  brand.prepend(element("img", { src: "/static/logo.svg", alt: "" }));
  const bar = element("header", { className: "bar" }, brand, tools, userMenu(session, signOut, again));
  const parts = [skip, bar, navigation(session), offlineBanner(session), main, panel];
  return { parts, main, tools, panel };
}

function navigation(session) {
  const allowed = SECTIONS.filter(([view]) => view !== "admin" || session.user.role === "administrator");
  const items = allowed.map(([view, name]) => element("li", { className: `nav-${view}` },
    link("", `#/${view}`, { dataset: { view } })));
  items.forEach((item, index) => item.firstChild.append(icon(allowed[index][1]),
    element("span", { className: "nav-label", textContent: session.t(`nav.${allowed[index][0]}`) })));
  return element("nav", { className: "nav", "aria-label": session.t("app.sections") }, element("ul", {}, items));
}

export function markCurrent(session, view) {
  for (const one of document.querySelectorAll(".nav a")) {
    if (one.dataset.view === (WITHIN[view] ?? view)) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
}

export function setBadge(session, view, count) {
  const place = document.querySelector(`.nav a[data-view="${view}"]`);
  if (!place) return;
  place.querySelector(".badge")?.remove();
  if (count > 0) {
    place.append(element("span", { className: "badge" }, element("span", { "aria-hidden": "true", textContent: count > 99 ? "99+" : count }),
      element("span", { className: "hidden", textContent: session.t("app.unread", { count }) })));
  }
}

function userMenu(session, signOut, again) {
  const { t, user } = session;
  const language = choice(t("app.language"), Object.keys(LANGUAGES), session.language, (code) => LANGUAGES[code], (code) => {
    localStorage.setItem("language", code);
    again();
  });
  const theme = choice(t("app.theme"), THEMES, document.documentElement.dataset.theme, (name) => t(`theme.${name}`), (name) => {
    localStorage.setItem("theme", name);
    document.documentElement.dataset.theme = name;
  });
  const menu = element("div", { className: "menu", id: "user-menu", popover: "auto" },
    element("div", { className: "menu-head" }, avatar(user.name), element("div", {}, element("strong", { textContent: user.name }),
      element("div", { className: "quiet", textContent: t(`role.${user.role}`) }))),
    link(t("view.me"), "#/me", { icon: "shield", className: "menu-item" }),
    user.role === "administrator" ? link(t("view.admin"), "#/admin", { icon: "key", className: "menu-item" }) : null,
    language, theme, button(t("app.signOut"), signOut, { kind: "menu-item", icon: "undo" }));
  menu.addEventListener("click", (event) => event.target.closest("a") && menu.hidePopover());
  const opener = element("button", { type: "button", className: "user", popoverTargetElement: menu, "aria-label": t("app.menu", { name: user.name }) },
    avatar(user.name), element("span", { className: "user-name", textContent: user.name }));
  return element("div", { className: "user-place" }, opener, menu);
}

function choice(label, values, current, name, choose) {
  const select = element("select", {});
  for (const value of values) select.add(new Option(name(value), value, false, value === current));
  select.addEventListener("change", () => choose(select.value));
  return element("label", { className: "menu-choice" }, element("span", { textContent: label }), select);
}

function offlineBanner(session) {
  const banner = element("div", { className: "banner", role: "status" });
  const look = () => {
    banner.hidden = navigator.onLine;
    banner.replaceChildren(...(navigator.onLine ? [] : [icon("cloud"), session.t("app.offline")]));
  };
  for (const kind of ["online", "offline"]) addEventListener(kind, look);
  look();
  return banner;
}
