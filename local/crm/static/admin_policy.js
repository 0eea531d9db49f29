// The policy as a form: sharing, domains, times, features. It is replaced as a whole, if nobody was faster.
import { button, element, field } from "./dom.js";
import { focusOn } from "./focus.js";
import { actionButton } from "./states.js";

const LEVELS = ["users_choice", "private", "custom", "public"];
const FEATURES = ["mail", "mailmagnet", "actions", "labels"];
const ROLES = ["sales", "administrator"];

export function policyForm(session, { policy, etag }, again) {
  const { t } = session;
  const parts = [sharing(session, policy), domains(session, policy), times(session, policy), features(session, policy), safety(session, policy)];
  const save = actionButton(session, t("policy.save"), async () => {
    if (!form.reportValidity()) return;
    const body = Object.assign({}, ...parts.map((part) => part.read()));
    try {
      await session.client.changePolicy(body, etag);
      session.say(t("policy.saved"));
    } catch (error) {
      if (error.status !== 412) throw error;
      session.say(t("policy.faster"), { kind: "error" });
    }
    again();
    focusOn(document.querySelector("main h1"));
  }, { kind: "primary", type: "submit" });
  const form = element("form", { className: "stack policy" }, parts.map((part) => part.node), element("div", { className: "row end policy-end" }, save));
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

function card(title, ...children) {
  return element("section", { className: "card stack" }, element("h2", { textContent: title }), ...children);
}

function select(values, current, name) {
  const node = element("select", {});
  for (const value of values) node.add(new Option(name(value), value, false, value === current));
  return node;
}

function sharing(session, policy) {
  const { t } = session;
  const levelName = (level) => t(`admin.level.${level}`);
  const all = select(LEVELS, policy.sharing, levelName);
  const roles = exceptions(session, t("policy.byRole"), ROLES, (role) => t(`role.${role}`), policy.sharing_by_role, t("policy.roleHint"));
  const users = exceptions(session, t("policy.byUser"), session.users.map((one) => one.id), (id) => session.crm.name(id), policy.sharing_by_user, t("policy.userHint"));
  return {
    node: card(t("policy.sharing"), field(t("policy.forAll"), all, t("policy.forAllHint")), roles.node, users.node),
    read: () => ({ sharing: all.value, sharing_by_role: roles.read(), sharing_by_user: users.read() }),
  };
}

// A level for some: one line each. What the CRM does not list (a role of old) stays as it is.
function exceptions(session, title, known, nameOf, held, hint) {
  const { t } = session;
  const rows = element("ul", { className: "exceptions" });
  const choices = [...new Set([...known, ...Object.keys(held)])];
  const add = (who, level) => {
    const person = select(choices, who, nameOf);
    const chosen = select(LEVELS.slice(1), level, (one) => t(`admin.level.${one}`));
    person.setAttribute("aria-label", title);
    chosen.setAttribute("aria-label", t("policy.level"));
    const row = element("li", { className: "row" }, person, chosen,
      button(t("policy.remove"), () => row.remove(), { icon: "close", kind: "quiet icon" }));
    rows.append(row);
    return person;
  };
  for (const [who, level] of Object.entries(held)) add(who, level);
  const more = button(t("policy.add"), () => add(choices[0], "private").focus(), { icon: "plus", kind: "small" });
  return {
    node: element("fieldset", { className: "stack" }, element("legend", { textContent: title }), element("p", { className: "hint", textContent: hint }), rows, element("div", {}, more)),
    read: () => Object.fromEntries([...rows.children].map((row) => [...row.querySelectorAll("select")].map((one) => one.value))),
  };
}

function lines(values) {
  return element("textarea", { value: values.join("\n"), rows: 3, spellcheck: false, autocapitalize: "off" });
}

function read(area) {
  return area.value.split(/[\s,;]+/).filter(Boolean);
}

function domains(session, policy) {
  const { t } = session;
  const inside = lines(policy.internal_domains);
  const out = lines(policy.excluded_domains);
  const mailboxes = lines(policy.mailbox_domains);
  return {
    node: card(t("policy.domains"), field(t("policy.internal"), inside, t("policy.internalHint")), field(t("policy.excluded"), out, t("policy.excludedHint")),
      field(t("policy.mailboxes"), mailboxes, t("policy.mailboxesHint"))),
    read: () => ({ internal_domains: read(inside), excluded_domains: read(out), mailbox_domains: read(mailboxes) }),
  };
}

function times(session, policy) {
  const { t } = session;
  const zones = element("datalist", { id: "time-zones" }, Intl.supportedValuesOf("timeZone").map((name) => element("option", { value: name })));
  const zone = element("input", { type: "text", value: policy.time_zone, autocomplete: "off", spellcheck: false });
  zone.setAttribute("list", zones.id);
  const days = (value, min, max) => element("input", { type: "number", value, min, max, required: true });
  const notices = days(policy.notice_retention_days, 30, 90);
  const audit = days(policy.audit_retention_days, 30, 3650);
  return {
    node: card(t("policy.times"), zones, field(t("policy.zone"), zone, t("policy.zoneHint")), field(t("policy.notices"), notices, t("policy.noticesHint")),
      field(t("policy.auditDays"), audit, t("policy.auditHint"))),
    read: () => ({ time_zone: zone.value.trim(), notice_retention_days: notices.valueAsNumber, audit_retention_days: audit.valueAsNumber }),
  };
}

function option(text, hint, checked, kind = "") {
  const input = element("input", { type: "checkbox", checked });
  if (kind) input.setAttribute("role", "switch");
  const node = element("label", { className: `option ${kind}`.trim() }, input, element("strong", { textContent: text }), element("span", { className: "hint", textContent: hint }));
  return { node, input };
}

function features(session, policy) {
  const { t } = session;
  const boxes = FEATURES.map((name) => ({ name, ...option(t(`policy.feature.${name}`), t(`policy.feature.${name}.hint`), policy.features.includes(name)) }));
  return {
    node: card(t("policy.features"), element("div", {}, boxes.map((one) => one.node))),
    read: () => ({ features: boxes.filter((one) => one.input.checked).map((one) => one.name) }),
  };
}

function safety(session, policy) {
  const { t } = session;
  const names = ["address_time_limit", "file_unverified", "mailbox_must_match_user"];
  const boxes = names.map((name) => ({ name, ...option(t(`policy.${name}`), t(`policy.${name}.hint`), policy[name], "switch") }));
  return {
    node: card(t("policy.safety"), element("div", {}, boxes.map((one) => one.node))),
    read: () => Object.fromEntries(boxes.map((one) => [one.name, one.input.checked])),
  };
}
