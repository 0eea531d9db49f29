// Builds elements. Text is always text: nothing here, or in this page, ever parses a string as HTML.
import { icon } from "./icons.js";

export { icon };

// Properties by their name; what has a dash in it (aria-label), and role, are attributes; `dataset` is merged.
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "dataset") Object.assign(node.dataset, value);
    else if (name === "role" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// `options`: icon, kind ("primary", "quiet", "danger", "icon": the label is then read, not seen), and any property.
export function button(label, action, { icon: name, kind = "", ...properties } = {}) {
  const node = element("button", { type: "button", className: `button ${kind}`.trim(), ...properties },
    name ? icon(name) : null, kind.includes("icon") ? null : element("span", { textContent: label }));
  if (kind.includes("icon")) {
    node.setAttribute("aria-label", label);
    node.title = label;
  }
  if (action) node.addEventListener("click", action);
  return node;
}

// A link to another place of this page: `hash` begins with #/.
export function link(label, hash, { icon: name, ...properties } = {}) {
  return element("a", { href: hash, ...properties }, name ? icon(name) : null, name ? element("span", { textContent: label }) : label);
}

export function list(items, render, empty) {
  return items.length
    ? element("ul", { className: "list" }, items.map((item) => element("li", {}, render(item))))
    : element("p", { className: "quiet", textContent: empty });
}

// A field with its label, and a hint that belongs to it.
export function field(label, control, hint = "") {
  control.id ||= `field-${(field.count = (field.count ?? 0) + 1)}`;
  const note = hint ? element("p", { className: "hint", id: `${control.id}-hint`, textContent: hint }) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return element("div", { className: "field" }, element("label", { htmlFor: control.id, textContent: label }), control, note);
}

// One of several, or on and off, with its explanation; the control is called by the title alone.
export function option(input, title, text, extra = null) {
  const hint = element("span", { className: "hint", id: `hint-${(option.count = (option.count ?? 0) + 1)}`, textContent: text });
  input.setAttribute("aria-label", title);
  input.setAttribute("aria-describedby", hint.id);
  return element("label", { className: `option ${input.getAttribute("role") === "switch" ? "switch" : ""}` }, input,
    element("span", { className: "row between" }, element("strong", { textContent: title }), extra), hint);
}

// The time as people say it, with the whole of it for who points at it.
export function time(session, at) {
  return at
    ? element("time", { dateTime: at, title: session.whenExactly(at), textContent: session.when(at) })
    : element("span", { textContent: "–" });
}

export function avatar(name, kind = "") {
  const words = String(name || "?").trim().split(/\s+/);
  const letters = (words[0][0] + (words.length > 1 ? words.at(-1)[0] : "")).toUpperCase();
  const tone = [...String(name)].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 6, 0);
  return element("span", { className: `avatar tone-${tone} ${kind}`.trim(), "aria-hidden": "true", textContent: letters });
}

export function tag(text, kind = "", name = "") {
  return element("span", { className: `tag ${kind}`.trim() }, name ? icon(name) : null, text);
}

export function people(addresses) {
  return (addresses ?? []).map((one) => one.name || one.address).join(", ");
}

const SPACING = "body{margin:16px 20px;line-height:1.5}body>:first-child{margin-top:0}";

// A mail's HTML comes sanitised; this frame is the second wall: no scripts, no forms, an origin of its own. How to show
// the mail, the answer itself says.
export function mailFrame({ html, frame: { csp, sandbox, style } }, title = "Mail") {
  const frame = element("iframe", { title, className: "mail", referrerPolicy: "no-referrer" });
  frame.setAttribute("sandbox", sandbox);
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="${csp}"><style>${SPACING}${style}</style><body>${html}`;
  return frame;
}
