// Builds elements. Text is always text: nothing here, or in this page, ever parses a string as HTML.

export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function button(label, action) {
  const node = element("button", { type: "button", textContent: label });
  node.addEventListener("click", action);
  return node;
}

export function list(items, render, empty) {
  return items.length
    ? element("ul", {}, ...items.map((item) => element("li", {}, render(item))))
    : element("p", { className: "quiet", textContent: empty });
}

export function when(time) {
  return time ? new Date(time).toLocaleString() : "–";
}

// A mail's HTML comes sanitised; this frame is the second wall: no scripts, no forms, an origin of its own.
const FRAME_POLICY =
  "default-src 'none'; img-src data: https:; style-src 'unsafe-inline'; font-src 'none'; form-action 'none'";

export function mailFrame(html) {
  const frame = element("iframe", { title: "Mail", className: "mail", referrerPolicy: "no-referrer" });
  frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="${FRAME_POLICY}"><body>${html}`;
  return frame;
}
