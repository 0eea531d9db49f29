// The side panel's buttons: a customer writes, a deal is won, time passes, Google says no.
import { element } from "./dom.js";
import { actionButton } from "./states.js";

const TIMES = [["sweep", "tag"], ["day", "clock"], ["month", "clock"]];
const TROUBLES = [["revoke", "key"], ["quota", "warning"], ["slow", "clock"], ["outage", "cloud"]];

class Refused extends Error {}

async function ask(path, body) {
  const response = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer.message);
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
    const answer = await ask(`/inside/do/${name}`, { user: session.user.id, ...more() });
    session.say(t(`inside.did.${name}`, { ...answer, person: session.user.name }));
    await Promise.all([session.crm.refresh(), again()]);
    // A mail shows by itself, as a notice; what else has changed is looked up anew.
    if (name !== "mail") session.refresh();
  };
  const pressed = ([name, icon]) => actionButton(session, t(`inside.deed.${name}`), press(name), { icon, kind: "small", dataset: { deed: name } });
  const mail = choose(t("inside.mail"), choices.mails.map((one) => [one.id, t(`inside.mail.${one.id}`)]), place.dataset.mail);
  const deal = choose(t("inside.deal"), choices.deals.map((one) => [one.id, `${one.title} (${t(`inside.state.${one.state}`)})`]),
    place.dataset.deal ?? choices.deals.find((one) => one.state === "open")?.id);
  mail.addEventListener("change", () => { place.dataset.mail = mail.value; });
  deal.addEventListener("change", () => { place.dataset.deal = deal.value; });
  const focused = document.activeElement?.dataset?.deed;
  place.replaceChildren(
    element("div", { className: "deed" }, mail, actionButton(session, t("inside.deed.mail"), press("mail", () => ({ mail: mail.value })),
      { icon: "mail", kind: "small primary", dataset: { deed: "mail" } })),
    element("div", { className: "deed" }, deal, actionButton(session, t("inside.deed.deal"), press("deal", () => ({ deal: deal.value, state: "won" })),
      { icon: "star", kind: "small", dataset: { deed: "deal" } })),
    element("div", { className: "row" }, TIMES.map(pressed)),
    element("div", { className: "row" }, TROUBLES.map(pressed)),
    element("div", { className: `row mend ${choices.troubles.length ? "wrong" : ""}` }, pressed(["mend", "refresh"]),
      element("span", { className: "small quiet", textContent: choices.troubles.length ? t("inside.wrong") : "" })));
  if (focused) place.querySelector(`[data-deed="${focused}"]`)?.focus();
}

function choose(label, options, chosen) {
  const select = element("select", { "aria-label": label });
  for (const [value, text] of options) select.add(new Option(text, value, false, value === chosen));
  return select;
}
