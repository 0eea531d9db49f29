// Drafts, and the mails that wait for their time: each can be gone on with, moved, cancelled or deleted.
import { element, icon, link, people, time } from "./dom.js";
import { compose } from "./composing.js";
import { forget, remembered } from "./later.js";
import { moreButton } from "./inbox.js";
import { actionButton, empty, load, skeleton } from "./states.js";

export async function show(session) {
  const { t } = session;
  const rows = element("ul", { className: "list card flush" });
  const more = element("div", { className: "more" });
  const pages = session.client.drafts({ page_size: 20 });
  const waiting = new Map(remembered(session).map((one) => [one.draftId, one]));
  const next = async () => {
    const page = await pages.next();
    rows.append(...page.drafts.map((draft) => element("li", {}, draftRow(session, draft, waiting.get(draft.id)))));
    more.replaceChildren(...(pages.hasMore ? [moreButton(session, next)] : []));
    return rows.children.length ? element("div", { className: "stack" }, rows, more) : empty(t("drafts.empty"), t("drafts.emptyText"), { icon: "draft" });
  };
  return element("section", { className: "page" },
    element("div", { className: "back" }, link(t("view.inbox"), "#/inbox", { icon: "back", className: "button quiet" })),
    element("h1", { textContent: t("view.drafts") }), load(session, skeleton(session, "rows", 4), next));
}

function draftRow(session, draft, scheduled) {
  const { t, client } = session;
  const mail = draft.message;
  const remove = actionButton(session, t("drafts.delete"), async () => {
    await client.deleteDraft(draft.id);
    session.refresh();
  }, { icon: "trash", kind: "quiet icon" });
  const cancel = scheduled ? actionButton(session, t("drafts.cancel"), async () => {
    await client.cancelSend(scheduled.key);
    forget(session, scheduled.key);
    session.refresh();
  }, { kind: "small" }) : null;
  const open = actionButton(session, t("drafts.open"), async () => {
    compose(session, { draft: await client.draft(draft.id), sent: session.refresh });
  }, { icon: "draft" });
  return element("div", { className: "row" },
    element("div", { className: "grow" }, element("strong", { textContent: mail?.subject || t("mail.noSubject") }),
      element("div", { className: "quiet small" }, mail ? people(mail.to) || t("mail.nobody") : t("drafts.unreadable"), " · ", mail ? time(session, mail.received_at) : ""),
      scheduled ? element("div", { className: "row small" }, icon("clock"), t("drafts.scheduled", { at: session.whenExactly(scheduled.at) })) : null),
    cancel ?? open, scheduled ? null : remove);
}
