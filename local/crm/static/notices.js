// MailMagnet's notices: the list of customers' mail as it comes, and the badge that tells of it within seconds.
import { avatar, element, link, tag, time } from "./dom.js";
import { keepingFocus } from "./focus.js";
import { moreOf } from "./paging.js";
import { actionButton, empty, explain, load, skeleton } from "./states.js";

// Asking again costs one read in Firestore while nothing is new. A CRM with many users asks every half minute.
const EVERY_S = 3;
const LOOK_AGAIN_MS = 8_000;
const PAGE = 20;

let current = null;

// Watches until `signal` aborts, and rests while nobody looks. Who is not connected is asked for nothing but that.
export function watch(session, signal) {
  let running = null;
  let looking = null;
  const known = { ids: null };
  const rest = () => {
    running?.stop();
    clearTimeout(looking);
    running = null;
  };
  const begin = async () => {
    rest();
    if (signal.aborted || document.hidden) return;
    const connected = await session.client.connection({ signal }).then((one) => one.status !== "absent", () => false);
    if (signal.aborted || running) return;
    if (!connected) {
      looking = setTimeout(begin, LOOK_AGAIN_MS);
      return;
    }
    running = session.client.watchNotices((page) => {
      session.badge("notices", page.unread);
      tellNew(session, page, known);
      current?.(page);
    }, { everyS: EVERY_S, unread: true, onProblem: (problem) => {
      // It goes on by itself, later and later. Without a connection there is nothing to go on with.
      if (problem.code === "not-connected") begin();
    } });
  };
  document.addEventListener("visibilitychange", begin, { signal });
  signal.addEventListener("abort", rest);
  begin();
}

function tellNew(session, page, known) {
  const before = known.ids;
  known.ids = new Set([...(before ?? []), ...page.notices.map((one) => one.id)]);
  // What was there when the page was opened is no news.
  const fresh = before ? page.notices.filter((one) => !before.has(one.id)) : [];
  if (!fresh.length) return;
  const [newest] = fresh;
  const told = newest.kind === "mail" ? "notices.new" : "notices.newFailed";
  const hash = newest.kind === "mail" && fresh.length === 1 ? `#/mail/${newest.mail_id}` : "#/notices";
  session.say(session.t(told, { count: fresh.length, name: nameOf(session, newest) }), {
    action: { label: session.t("notices.open"), run: () => session.go(hash) },
  });
}

export async function show(session, { query }) {
  const { t } = session;
  const unread = query.all === undefined;
  const place = element("div", {});
  const fill = () => {
    const view = load(session, skeleton(session, "rows", 6), () => list(session, unread, again));
    place.replaceChildren(view);
    return view.finished;
  };
  // The list is renewed in its place, without bones: nothing jumps while somebody reads.
  const again = async () => {
    const renewed = await list(session, unread, again);
    await keepingFocus(place, () => place.replaceChildren(renewed));
  };
  const section = element("section", { className: "page" },
    element("div", { className: "row between" }, element("h1", { textContent: t("view.notices") }),
      element("nav", { className: "chips", "aria-label": t("notices.which") }, chip(t("notices.unread"), "#/notices", unread),
        chip(t("notices.all"), "#/notices?all=1", !unread))),
    place);
  current = () => (section.isConnected ? again().catch(() => {}) : undefined);
  fill();
  return section;
}

function chip(text, hash, isCurrent) {
  return link(text, hash, { className: "chip", "aria-current": isCurrent ? "true" : undefined });
}

async function list(session, unread, again) {
  const { t } = session;
  const pages = session.client.notices({ expand: "summary", page_size: PAGE, ...(unread ? { unread } : {}) });
  const first = await pages.next();
  session.badge("notices", first.unread);
  // What was planned and did not go is told without MailMagnet, too.
  if (!first.notices.length && !first.mailmagnet) return off(session);
  if (!first.notices.length) return empty(t(unread ? "notices.none" : "notices.noneAtAll"), t("notices.noneText"), { icon: "bell" });
  const rows = element("ul", { className: "card flush notices" });
  const add = (page) => rows.append(...page.notices.map((one) => element("li", {}, row(session, one, again))));
  add(first);
  const all = first.unread ? actionButton(session, t("notices.readAll"), async () => {
    while ((await session.client.markRead({ until: first.notices[0].received_at })).more);
    await again();
  }, { icon: "check", kind: "small" }) : null;
  return element("div", { className: "stack" }, element("div", { className: "row between" },
    element("p", { className: "quiet", role: "status", textContent: t("notices.count", { count: first.unread }) }), all), rows, moreOf(session, pages, add));
}

function off(session) {
  const { t } = session;
  return empty(t("problem.mailmagnet-required.title"), t("notices.off"),
    { icon: "bell", action: link(t("problem.mailmagnet-required.action"), "#/settings", { className: "button primary" }) });
}

function nameOf(session, notice) {
  return notice.contacts.map((one) => one.name).join(", ") || notice.from_address;
}

function failedText(session, { problem }) {
  const { kind, title } = explain(session, { code: problem || "general" });
  return kind === "general" ? session.t("notices.failedUnknown") : session.t("notices.failedText", { reason: title });
}

function row(session, notice, again) {
  const { t } = session;
  const failed = notice.kind !== "mail";
  const name = failed ? t("notices.failed") : nameOf(session, notice);
  const subject = failed ? failedText(session, notice) : notice.summary?.subject ?? t(notice.gone ? "notices.gone" : "notices.noSummary");
  const target = failed ? "#/drafts" : `#/mail/${encodeURIComponent(notice.mail_id)}`;
  const body = element(notice.gone ? "div" : "a", { className: "notice-body", ...(notice.gone ? {} : { href: target }) },
    element("span", { className: "notice-top" }, element("strong", { textContent: name }), time(session, notice.received_at)),
    element("span", { className: "notice-subject", textContent: subject }),
    element("span", { className: "quiet small notice-snippet", textContent: notice.summary?.snippet ?? "" }));
  const read = actionButton(session, t("notices.read"), async () => {
    await session.client.markRead({ ids: [notice.id] });
    await again();
  }, { icon: "check", kind: "quiet icon" });
  return element("div", { className: `notice ${notice.seen ? "" : "unread"}`, dataset: { id: notice.mail_id || notice.id } },
    avatar(name), element("div", { className: "grow" }, body, failed ? null : marks(session, notice)), notice.seen ? null : read);
}

function marks(session, notice) {
  const { t } = session;
  return element("div", { className: "row notice-marks" },
    ...notice.contacts.map((one) => link(one.name, `#/contacts/${encodeURIComponent(one.id)}`, { className: "tag" })),
    tag(t(`place.${notice.place}`), notice.place), notice.pinned ? tag(t("labels.pinned"), "", "pin") : null,
    notice.unverified ? tag(t("notices.unverified"), "warn", "warning") : null,
    link(t("labels.why"), `#/labels/why/${encodeURIComponent(notice.mail_id)}`, { className: "small" }));
}
