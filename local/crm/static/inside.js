// The side panel: what just happened inside, and buttons that make something happen. For this demo alone, on one machine:
// a CRM has no such thing. What it shows are names (methods, documents, fields), never anything of a mail.
import { button, element, icon } from "./dom.js";
import { deeds } from "./inside_deeds.js";
import { watch } from "./notices.js";

const EVERY_MS = 1000;
const MOST_LINES = 250;
const PHONE_PX = 760;
const ICONS = { request: "user", gmail: "mail", oauth: "key", secret: "lock", firestore: "book", task_created: "plus",
  task_run: "check", push: "bell", job: "clock", webhook: "send", done: "star" };
const SUMS = ["gmail", "units", "firestore", "tasks", "pushes", "polls"];

// Begins with each sign-in. Where there is nothing to see inside (Google's own Gmail), only the notices are watched.
export async function start(session, { panel, tools }) {
  const { signal } = session.ended;
  watch(session, signal);
  const { inside } = await (await fetch("/config.json")).json();
  if (!inside || signal.aborted) return;
  const { t } = session;
  const opener = button(t("inside.open"), () => toggle(panel.hidden), { icon: "inside", className: "button quiet inside-opener", "aria-controls": panel.id });
  const toggle = (open) => {
    panel.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    localStorage.setItem("inside", open ? "open" : "closed");
    // On a phone it covers everything: what is under it is out of reach, too.
    for (const one of panel.parentNode.querySelectorAll(":scope > .bar, :scope > .nav, :scope > main")) one.inert = open && innerWidth <= PHONE_PX;
    if (open) panel.querySelector("h2").focus();
    else if (panel.contains(document.activeElement) || document.activeElement === document.body) opener.focus();
  };
  tools.prepend(opener);
  panel.setAttribute("aria-label", t("inside.title"));
  panel.replaceChildren(...content(session, panel, signal, () => toggle(false)));
  panel.addEventListener("keydown", (event) => event.key === "Escape" && toggle(false));
  panel.hidden = !wantsOpen();
  opener.setAttribute("aria-expanded", String(!panel.hidden));
}

function wantsOpen() {
  return (localStorage.getItem("inside") ?? (innerWidth >= 1400 ? "open" : "closed")) === "open" && innerWidth > PHONE_PX;
}

// The local clock runs ahead of the real one once time was made to pass: the hour alone says what came after what.
function clock(language) {
  return (clock[language] ??= new Intl.DateTimeFormat(language, { timeStyle: "medium" }));
}

function content(session, panel, signal, close) {
  const { t } = session;
  const now = element("span", { className: "quiet small" });
  const sums = element("dl", { className: "sums" });
  const feed = element("ol", { className: "feed", tabIndex: 0, "aria-label": t("inside.feed") });
  const story = new Story(session, feed, sums);
  const clear = button(t("inside.clear"), () => story.clear(), { kind: "quiet small" });
  follow(panel, signal, (told) => {
    now.textContent = t("inside.clock", { at: `${session.date(told.now)}, ${clock(session.language).format(new Date(told.now))}` });
    story.add(told);
  });
  return [
    element("header", { className: "panel-head" }, element("div", { className: "grow" },
      element("h2", { tabIndex: -1, textContent: t("inside.title") }), now),
    button(t("state.close"), close, { icon: "close", kind: "quiet icon" })),
    deeds(session, signal),
    element("div", { className: "row between feed-head" }, element("h3", { textContent: t("inside.feed") }), clear),
    sums, feed];
}

// Asks once a second while somebody looks. What cannot be reached is asked for again, later.
async function follow(panel, signal, tell) {
  let mark = null;
  while (!signal.aborted) {
    let pause = EVERY_MS;
    if (!panel.hidden && !document.hidden) {
      try {
        const response = await fetch(`/inside/happenings.json?since=${mark ?? 0}`, { signal });
        const told = await response.json();
        // What was before this page is old news: it is counted from now on.
        tell(mark === null ? { ...told, happenings: told.happenings.slice(-30), missed: 0 } : told);
        mark = told.mark;
      } catch {
        pause = 5 * EVERY_MS;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// The feed, newest first, and its sums. What comes again and again becomes one line with a count.
class Story {
  constructor(session, feed, sums) {
    Object.assign(this, { session, feed, sums, counts: {}, last: null });
    this.clear();
  }

  clear() {
    this.counts = Object.fromEntries(SUMS.map((name) => [name, 0]));
    this.last = null;
    this.feed.replaceChildren(element("li", { className: "quiet small feed-empty", textContent: this.session.t("inside.nothing") }));
    this.showSums();
  }

  add({ happenings, missed }) {
    if (!happenings.length) return;
    this.feed.querySelector(".feed-empty")?.remove();
    if (missed > 0) this.feed.prepend(element("li", { className: "quiet small", textContent: this.session.t("inside.missed", { count: missed }) }));
    for (const one of happenings) this.addOne(one);
    while (this.feed.children.length > MOST_LINES) this.feed.lastChild.remove();
    this.showSums();
  }

  addOne(one) {
    const { counts } = this;
    // A question whose answer is "as before" (304) costs one read: it is counted, and shows no line.
    if (one.kind === "request" && one.status === 304) {
      counts.polls += 1;
      return;
    }
    counts.gmail += one.kind === "gmail" ? 1 : 0;
    counts.units += one.units;
    counts.firestore += one.kind === "firestore" ? 1 : 0;
    counts.tasks += one.kind === "task_run" ? 1 : 0;
    counts.pushes += one.kind === "push" ? 1 : 0;
    const key = [one.kind, one.what, one.where, one.status, one.fields.join()].join("|");
    if (this.last?.key === key) {
      this.last.times += 1;
      this.last.count.textContent = `×${this.last.times}`;
      return;
    }
    const count = element("span", { className: "feed-times" });
    this.last = { key, times: 1, count };
    this.feed.prepend(line(this.session, one, count));
  }

  showSums() {
    this.sums.replaceChildren(...SUMS.map((name) => element("div", {},
      element("dt", { textContent: this.session.t(`inside.sum.${name}`) }), element("dd", { textContent: this.counts[name] }))));
  }
}

function line(session, one, count) {
  const { t } = session;
  const failed = one.status >= 400 || (one.kind === "task_run" && one.status === 0);
  const notes = [
    one.units ? t("inside.units", { count: one.units }) : "",
    ["gmail", "request"].includes(one.kind) && one.ms ? `${one.ms} ms` : "",
    one.status && one.kind !== "firestore" ? String(one.status) : "",
  ].filter(Boolean).join(" · ");
  const what = one.kind === "done" ? t(`inside.deed.${one.what}`) : one.what;
  return element("li", { className: `feed-line ${one.kind} ${failed ? "failed" : ""}`.trim(), dataset: { kind: one.kind } },
    icon(ICONS[one.kind]), element("div", { className: "feed-text" },
      element("div", { className: "feed-what" }, element("span", { className: "feed-kind", textContent: t(`inside.kind.${one.kind}`) }),
        element("code", { textContent: what }), count),
      one.where ? element("code", { className: "feed-where", textContent: one.where }) : null,
      one.fields.length ? element("div", { className: "feed-fields", textContent: one.fields.join(", ") }) : null,
      element("div", { className: "feed-notes" }, element("time", { dateTime: one.at, textContent: clock(session.language).format(new Date(one.at)) }), notes ? ` · ${notes}` : "")));
}
