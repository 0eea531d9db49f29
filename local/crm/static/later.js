// Sending later: the menu with its times, and what this browser knows of the mails that wait.
import { button, element, field } from "./dom.js";
import { actionButton } from "./states.js";

const MORNING = 8;

function morning(session, daysOn) {
  const day = new Date(session.now());
  day.setDate(day.getDate() + daysOn);
  day.setHours(MORNING, 0, 0, 0);
  return day;
}

const untilMonday = (session) => (8 - new Date(session.now()).getDay()) % 7 || 7;

// A `datetime-local` field takes the local time, without a zone.
function localValue(day) {
  return new Date(day.getTime() - day.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function laterMenu(session, choose) {
  const { t } = session;
  const own = element("input", { type: "datetime-local", value: localValue(morning(session, 1)), min: localValue(new Date(session.now())) });
  const at = (day) => {
    menu.hidePopover();
    return choose(day.toISOString());
  };
  const preset = (label, day) => button(`${label}, ${session.when(day)}`, () => at(day), { kind: "menu-item", icon: "clock" });
  const menu = element("div", { className: "menu later", popover: "auto" }, preset(t("later.tomorrow"), morning(session, 1)), preset(t("later.monday"), morning(session, untilMonday(session))),
    element("div", { className: "later-own" }, field(t("later.own"), own),
      actionButton(session, t("later.send"), () => own.value && at(new Date(own.value)), {})));
  const opener = element("button", { type: "button", className: "button quiet", popoverTargetElement: menu, textContent: t("compose.later") });
  return element("span", {}, opener, menu);
}

// Only their keys and times are kept, nothing of the mail.
const name = (session) => `scheduled:${session.user.id}`;

export function remembered(session) {
  return JSON.parse(localStorage.getItem(name(session)) ?? "[]");
}

export function remember(session, one) {
  localStorage.setItem(name(session), JSON.stringify([...remembered(session).filter(({ key }) => key !== one.key), one].slice(-50)));
}

export function forget(session, key) {
  localStorage.setItem(name(session), JSON.stringify(remembered(session).filter((one) => one.key !== key)));
}
