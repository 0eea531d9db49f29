// For administrators: the policy, everyone's connections and who has not accepted, the audit.
import { avatar, element, icon, link, tag, time } from "./dom.js";
import { policyForm } from "./admin_policy.js";
import { auditList } from "./audit_list.js";
import { focusOn } from "./focus.js";
import { moreOf } from "./paging.js";
import { actionButton, ask, empty, load, skeleton } from "./states.js";

const MOST_NAMED = 50;
const TABS = ["policy", "connections", "audit"];
const WORDS = { healthy: "good", degraded: "warn", broken: "bad" };

export async function show(session, { parts: [wanted] }) {
  const { t } = session;
  if (session.user.role !== "administrator") {
    return element("section", { className: "page" }, element("h1", { textContent: t("view.admin") }),
      empty(t("admin.notYou"), t("admin.notYouText"), { icon: "lock" }));
  }
  const tab = TABS.includes(wanted) ? wanted : TABS[0];
  const views = { policy, connections, audit };
  return element("section", { className: "page wide" }, element("h1", { textContent: t("view.admin") }),
    element("nav", { className: "chips", "aria-label": t("admin.parts") }, TABS.map((name) =>
      link(t(`admin.${name}`), `#/admin/${name}`, { className: "chip", "aria-current": name === tab ? "true" : undefined }))),
    views[tab](session));
}

function policy(session) {
  const place = element("div", {});
  const again = () => place.replaceChildren(load(session, skeleton(session, "card"), async () => {
    const { client } = session;
    const [held, waiting] = await Promise.all([client.policy(), notAccepted(session)]);
    return element("div", { className: "stack" }, acceptance(session, held.policy, waiting), policyForm(session, held, again));
  }));
  again();
  return place;
}

// Whom the policy asks for more than they have accepted yet.
async function notAccepted(session) {
  const found = [];
  for await (const page of session.client.connections()) {
    found.push(...page.connections.filter(isAsked));
    if (found.length >= MOST_NAMED) break;
  }
  return found.slice(0, MOST_NAMED);
}

function isAsked({ sharing }) {
  return Boolean(sharing?.asked || sharing?.asked_terms);
}

function acceptance(session, held, waiting) {
  const { t } = session;
  if (!held.not_accepted) return element("p", { className: "note good" }, icon("check"), element("div", { textContent: t("admin.allAccepted") }));
  return element("div", { className: "note warn" }, icon("clock"), element("div", {},
    element("strong", { textContent: t(held.not_accepted_is_partial ? "admin.notAcceptedAtLeast" : "admin.notAccepted", { count: held.not_accepted }) }),
    element("p", { className: "small", textContent: t("admin.notAcceptedText") }),
    element("ul", { className: "row" }, waiting.map((one) => element("li", { className: "tag warn", textContent: one.name || session.crm.name(one.user_id) })))));
}

function connections(session) {
  const { t } = session;
  const place = element("div", {});
  const again = () => place.replaceChildren(load(session, skeleton(session, "rows", 4), async () => {
    const pages = session.client.connections();
    const first = await pages.next();
    if (!first.connections.length) return empty(t("admin.nobody"), t("admin.nobodyText"), { icon: "people" });
    const rows = element("ul", { className: "card flush connections" });
    const add = (page) => rows.append(...page.connections.map((one) => element("li", {}, connection(session, one, again))));
    add(first);
    return element("div", {}, rows, moreOf(session, pages, add));
  }));
  again();
  return place;
}

function connection(session, one, again) {
  const { t } = session;
  const name = one.name || session.crm.name(one.user_id);
  const sharing = one.sharing;
  const features = ["mailmagnet", "labels"].filter((feature) => one[feature] !== "off")
    .map((feature) => tag(`${t(`admin.${feature}`)}: ${t(`admin.state.${one[feature]}`)}`, one[feature] === "failing" ? "bad" : ""));
  return element("div", { className: "connection", dataset: { user: one.user_id } }, avatar(name),
    element("div", { className: "grow" },
      element("div", { className: "row" }, element("strong", { textContent: name }), element("span", { className: "quiet small", textContent: one.address })),
      element("div", { className: "row connection-tags" }, tag(t(`admin.health.${one.health.word}`), WORDS[one.health.word]), ...features,
        sharing ? tag(t("admin.shares", { level: t(`admin.level.${sharing.effective}`) })) : null,
        isAsked(one) ? tag(t("admin.asked"), "warn", "clock") : null),
      one.health.advice && one.health.word !== "healthy" ? element("p", { className: "small", textContent: one.health.advice }) : null,
      element("p", { className: "quiet small" }, t("admin.since"), " ", time(session, one.connected_at))),
    actionButton(session, t("admin.deactivate"), () => deactivate(session, one, name, again), { kind: "danger small" }));
}

async function deactivate(session, one, name, again) {
  const { t } = session;
  const labels = element("input", { type: "checkbox" });
  const sure = await ask(session, {
    title: t("admin.deactivateTitle", { name }),
    body: element("div", { className: "stack" }, element("p", { textContent: t("admin.deactivateText", { name }) }),
      element("label", { className: "row" }, labels, element("span", { textContent: t("admin.deactivateLabels") }))),
    confirm: t("admin.deactivate"),
    danger: true,
  });
  if (!sure) return;
  await session.client.deactivateUser(one.user_id, { labels: labels.checked ? "remove" : "keep" });
  session.say(t("admin.deactivated", { name }));
  again();
  focusOn(document.querySelector("main h1"));
}

function audit(session) {
  return element("section", { className: "card" }, element("p", { className: "quiet small", textContent: session.t("admin.auditText") }),
    load(session, skeleton(session, "rows", 8), async () => {
      const pages = session.client.audit();
      const first = await pages.next();
      return auditList(session, first.records, pages);
    }));
}
