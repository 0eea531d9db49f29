// Gmail settings: connecting, the permissions, who sees one's mail, MailMagnet, labels, the end of it.
import { element, field, icon, option, tag } from "./dom.js";
import { connectButton, deactivate, FEATURES } from "./connecting.js";
import { actionButton, load, skeleton } from "./states.js";

const LEVELS = ["private", "custom", "public"];
const STARTING_LOOK_MS = 4_000;

export async function show(session) {
  const place = load(session, skeleton(session, "card"), async () => {
    const connection = await session.client.connection();
    return connection.status === "absent" ? setup(session, connection) : settings(session, connection);
  });
  return element("section", { className: "page" }, element("h1", { textContent: session.t("view.settings") }), place);
}

// Not connected yet: what it can do, what Google will ask, and one button.
function setup(session, connection) {
  const { t } = session;
  const forbidden = new Set(connection.features.missing.filter((one) => one.reason === "feature-not-allowed").map((one) => one.feature));
  const boxes = FEATURES.map((name) => ({ name, box: element("input", { type: "checkbox", checked: !forbidden.has(name), disabled: name === "mail" || forbidden.has(name) }) }));
  const row = ({ name, box }) => option(box, t(`feature.${name}`), t(forbidden.has(name) ? "problem.feature-not-allowed.text" : `feature.${name}.text`));
  const wanted = () => boxes.filter(({ box }) => box.checked).map(({ name }) => name);
  return element("div", { className: "stack" },
    element("p", { className: "quiet", textContent: t("setup.text") }),
    connection.revocation_owed_until ? element("p", { className: "note" }, icon("clock"), t("setup.revoking")) : null,
    element("section", { className: "card stack" }, step(1, t("setup.step1")), element("fieldset", {}, element("legend", { className: "hidden", textContent: t("setup.step1") }), boxes.map(row))),
    element("section", { className: "card stack" }, step(2, t("setup.step2")), element("p", { className: "quiet", textContent: t("setup.step2Text") }),
      connectButton(session, t("connect.button"), wanted, session.refresh)),
    element("section", { className: "card" }, step(3, t("setup.step3")), element("p", { className: "quiet", textContent: t("setup.step3Text") })),
    element("p", { className: "note good" }, icon("shield"), element("div", { textContent: t("setup.promise") })));
}

function step(number, title) {
  return element("h2", { className: "step" }, element("span", { className: "step-number", "aria-hidden": "true", textContent: number }), title);
}

function settings(session, connection) {
  const { t } = session;
  if ([connection.mailmagnet.state, connection.labels.state].includes("starting")) lookAgain(session);
  return element("div", { className: "stack" }, account(session, connection), asked(session, connection.sharing), form(session, connection),
    element("section", { className: "card stack" }, element("h2", { textContent: t("deactivate.heading") }), element("p", { className: "quiet", textContent: t("deactivate.text") }),
      element("div", {}, actionButton(session, t("deactivate.button"), () => deactivate(session, connection), { kind: "danger" }))));
}

// What follows at Gmail is a task's; until then the feature is starting, and this page looks again.
function lookAgain(session) {
  setTimeout(() => location.hash === "#/settings" && !document.querySelector("dialog[open]") && !document.querySelector(".settings.touched") && session.refresh(), STARTING_LOOK_MS);
}

function account(session, connection) {
  const { t } = session;
  const broken = connection.status === "reauth_required";
  const word = connection.health?.word ?? "healthy";
  const kinds = { healthy: "good", degraded: "warn", broken: "bad" };
  const reauth = t.has(`reauth.${connection.reauth_reason}`) ? `reauth.${connection.reauth_reason}` : "problem.reauth-required.text";
  return element("section", { className: "card stack" },
    element("div", { className: "row between" }, element("div", {}, element("h2", { textContent: connection.address }),
      element("p", { className: "quiet small", textContent: t("settings.since", { date: session.date(connection.connected_at) }) })),
    tag(t(`health.${word}`), kinds[word], word === "healthy" ? "check" : "warning")),
    broken ? element("div", { className: "note bad", role: "alert" }, icon("key"), element("div", { textContent: t(reauth) })) : null,
    broken ? connectButton(session, t("problem.reauth-required.action"), connection.features.granted.length ? connection.features.granted : FEATURES, session.refresh) : null,
    !broken && connection.health?.advice && word !== "healthy" ? element("p", { className: "note warn" }, icon("warning"), connection.health.advice) : null,
    connection.rate_limited_until ? element("p", { className: "note warn" }, icon("clock"), t("problem.rate-limited.until", { until: session.hour(connection.rate_limited_until) })) : null,
    element("ul", { className: "features" }, connection.features.granted.map((name) => element("li", {}, icon("check"), t(`feature.${name}`)))),
    broken ? null : missing(session, connection.features.missing));
}

// What was not allowed at Google is asked for in one go.
function missing(session, features) {
  const { t } = session;
  const repairable = features.filter((one) => one.repair);
  const row = ({ feature, reason }) => element("li", { textContent:
    t(reason === "scope-missing" ? "settings.missing" : "settings.notAllowed", { feature: t(`feature.${feature}`) }) });
  if (!features.length) return null;
  return element("div", { className: "stack missing" },
    element("div", { className: "note warn" }, icon("key"), element("ul", {}, features.map(row))),
    repairable.length ? connectButton(session, t("problem.scope-missing.action"), repairable.flatMap((one) => one.repair.features), session.refresh,
      { kind: "", icon: "key" }) : null);
}

// What the administrators' policy asks for is shown in full, and accepted just as it was shown.
export function asked(session, sharing) {
  if (!sharing?.asked && !sharing?.asked_terms) return null;
  const { t } = session;
  const terms = sharing.asked_terms ?? sharing.terms;
  const kept = [...terms.internal_domains, ...terms.excluded_domains].join(", ") || t("settings.noDomains");
  return element("section", { className: "card stack asked" }, element("h2", { textContent: t("asked.title") }),
    element("ul", { className: "bullets" }, sharing.asked ? element("li", { textContent: t("asked.level", { level: t(`sharing.${sharing.asked}`) }) }) : null,
      element("li", { textContent: t("asked.domains", { domains: kept }) }), element("li", { textContent: t(terms.address_time_limit ? "asked.limit" : "asked.noLimit") })),
    element("div", {}, actionButton(session, t("asked.accept"), async () => {
      await session.client.changeConnection({ ...(sharing.asked ? { accepted_level: sharing.asked } : {}), accepted_terms: terms });
      session.say(t("state.saved"));
      session.refresh();
    }, { kind: "primary", icon: "check" })));
}

function form(session, connection) {
  const { t } = session;
  const { sharing, mailmagnet, labels, features } = connection;
  const may = (name) => features.granted.includes(name) && connection.status === "connected";
  const levels = LEVELS.map((level) => element("input", { type: "radio", name: "sharing", value: level, checked: level === sharing.level, disabled: Boolean(sharing.set_by_policy) }));
  const domains = element("input", { value: connection.excluded_domains.join(", "), autocomplete: "off" });
  const magnet = toggle(mailmagnet.state !== "off", !may("mailmagnet"));
  const sorting = toggle(labels.state !== "off", !may("labels") || Boolean(labels.elsewhere));
  magnet.addEventListener("change", () => { if (!magnet.checked) sorting.checked = false; });
  sorting.addEventListener("change", () => { if (sorting.checked) magnet.checked = true; });
  const locale = element("select", {}, ["de", "en"].map((code) => new Option(t(`locale.${code}`), code, false, code === connection.locale)));
  const read = () => ({ sharing: levels.find((one) => one.checked)?.value, mailmagnet: magnet.checked, labels: sorting.checked, locale: locale.value,
    excluded_domains: domains.value.split(/[\s,;]+/).filter(Boolean) });
  const before = read();
  const save = actionButton(session, t("settings.save"), () => saveChanges(session, before, read()), { kind: "primary", icon: "check" });
  const node = element("form", { className: "settings stack" },
    element("section", { className: "card stack" }, element("fieldset", {}, element("legend", {}, element("h2", { textContent: t("settings.sharing") })),
      element("p", { className: "hint", textContent: t("settings.sharingText") }),
      levels.map((input) => option(input, t(`sharing.${input.value}`), t(`sharing.${input.value}.text`)))),
      sharing.set_by_policy ? element("p", { className: "note" }, icon("lock"), t("settings.byPolicy", { level: t(`sharing.${sharing.effective}`) })) : null,
      field(t("settings.domains"), domains, t("settings.domainsText"))),
    element("section", { className: "card stack" }, element("h2", { textContent: t("settings.automatic") }),
      option(magnet, t("feature.mailmagnet"), t("settings.mailmagnetText"), stateTag(session, mailmagnet)),
      option(sorting, t("feature.labels"), labels.elsewhere ? t("problem.labels-elsewhere.text") : t("settings.labelsText"), stateTag(session, labels)),
      field(t("settings.locale"), locale)),
    element("div", { className: "row save-row" }, save, labels.last_sweep_at ? element("span", { className: "quiet small", textContent: t("settings.lastSweep", { at: session.when(labels.last_sweep_at) }) }) : null));
  node.addEventListener("input", () => node.classList.add("touched"));
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    save.click();
  });
  return node;
}

async function saveChanges(session, before, now) {
  const changed = Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])));
  if (Object.keys(changed).length) await session.client.changeConnection(changed);
  session.say(session.t("state.saved"));
  session.refresh();
}

function toggle(checked, disabled) {
  return element("input", { type: "checkbox", role: "switch", checked, disabled });
}

function stateTag(session, { state, reason }) {
  const kinds = { on: "good", starting: "info", failing: "bad", off: "" };
  const node = tag(session.t(`feature.state.${state}`), kinds[state]);
  if (reason) node.title = reason;
  return node;
}
