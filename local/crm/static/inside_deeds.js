// The side panel's buttons: a customer writes, a deal is won, time passes, Google says no.
import { element } from "./dom.js";
import { actionButton } from "./states.js";

const PLAIN = [["sweep", "tag"], ["revoke", "key"], ["day", "clock"], ["quota", "warning"], ["month", "clock"], ["slow", "clock"],
  ["answer", "reply"], ["outage", "cloud"], ["mend", "refresh"]];
const MAIL = new Set(["mail", "answer"]);
const BUSY = 409;

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, body) {
  const response = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Refused(response.status, answer.message);
  return answer;
}

export function deeds(session, signal) {
  const place = element("div", { className: "deeds" });
  fill(session, place, signal).catch(() => {});
  return place;
}

async function fill(session, place, signal) {
  const choices = await ask("/inside/choices.json");
  if (signal.aborted) return;
  const { t } = session;
  const again = () => fill(session, place, signal);
  const press = (name, more = () => ({})) => async () => {
    try {
      const answer = await ask(`/inside/do/${name}`, { user: session.user.id, ...more() });
      session.say(t(`inside.did.${name}`, { ...answer, person: session.user.name }));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      session.say(error.status === BUSY ? t("inside.busy") : t("inside.refused", { message: error.message }), { kind: "error" });
    }
    await Promise.all([session.crm.refresh(), again()]);
    // A mail shows by itself, as a notice; what else has changed is looked up anew.
    if (!MAIL.has(name)) session.refresh();
  };
  const pressed = ([name, icon]) => actionButton(session, t(`inside.deed.${name}`), press(name), { icon, kind: "small", dataset: { deed: name } });
  const chosen = (name, options, current) => {
    const select = element("select", { id: `deed-${name}` }, options.map(([value, text]) => new Option(text, value, false, value === current)));
    select.addEventListener("change", () => { place.dataset[name] = select.value; });
    const body = () => ({ [name]: select.value });
    return element("div", { className: "deed" }, element("label", { htmlFor: select.id, textContent: t(`inside.deed.${name}`) }),
      element("div", { className: "deed-row" }, select, actionButton(session, t(`inside.go.${name}`), press(name, body),
        { kind: name === "mail" ? "small primary" : "small", dataset: { deed: name }, "aria-describedby": select.id })));
  };
  const focused = document.activeElement?.dataset?.deed;
  place.replaceChildren(
    chosen("mail", choices.mails.map((one) => [one.id, t(`inside.mail.${one.id}`)]), place.dataset.mail),
    chosen("deal", choices.deals.map((one) => [one.id, `${one.title} (${t(`inside.state.${one.state}`)})`]),
      place.dataset.deal ?? choices.deals.find((one) => one.state === "open")?.id),
    element("div", { className: "deed-grid" }, PLAIN.map(pressed)),
    element("p", { className: "small wrong", role: "status", textContent: choices.troubles.length ? t("inside.wrong") : "" }));
  if (focused) place.querySelector(`[data-deed="${focused}"]`)?.focus();
}
