// Below a list that comes page by page: a button that adds the next page, as long as there is one.
import { element } from "./dom.js";
import { actionButton } from "./states.js";

export function moreOf(session, pages, add) {
  const place = element("div", { className: "more" });
  const offer = () => place.replaceChildren(...(pages?.hasMore ? [actionButton(session, session.t("state.more"), async () => {
    const page = await pages.next();
    if (page) add(page);
    offer();
  }, { kind: "quiet" })] : []));
  offer();
  return place;
}
