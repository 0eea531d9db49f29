// Keeps the keyboard's place when a part of a view is built anew.

// The focus goes to a heading, so that a reader hears where it is, and nothing scrolls.
export function focusOn(node) {
  if (!node) return;
  node.tabIndex = -1;
  node.focus({ preventScroll: true });
}

// `renew` replaces what is in `place`; who had the focus in a row of it (data-id) has it in the same row afterwards, or in
// the one that took its place.
export async function keepingFocus(place, renew) {
  const rows = () => [...place.querySelectorAll("[data-id]")];
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const before = focused?.closest("[data-id]");
  const at = before ? rows().indexOf(before) : -1;
  const tag = focused?.tagName;
  await renew();
  if (!focused || (document.activeElement !== document.body && document.activeElement?.isConnected)) return;
  const row = rows().find((one) => one.dataset.id === before?.dataset.id) ?? rows()[Math.min(at, rows().length - 1)];
  const target = row?.querySelector(tag === "BUTTON" ? "button" : "a") ?? row?.querySelector("a, button");
  if (target) target.focus({ preventScroll: true });
  else focusOn(document.querySelector("main h1"));
}
