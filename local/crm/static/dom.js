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

// A mail's HTML comes sanitised; this frame is the second wall: no scripts, no forms, an origin of its own. How to show
// the mail, the answer itself says.
export function mailFrame({ html, frame: { csp, sandbox, style } }) {
  const frame = element("iframe", { title: "Mail", className: "mail", referrerPolicy: "no-referrer" });
  frame.setAttribute("sandbox", sandbox);
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="${csp}"><style>${style}</style><body>${html}`;
  return frame;
}
