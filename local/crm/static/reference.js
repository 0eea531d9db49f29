// The reference: what the two public functions say of themselves (GET /openapi.json), laid out for people.
import { element } from "./dom.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const PROBLEM = "application/problem+json";

const text = (tag, words, properties = {}) => element(tag, { textContent: words, ...properties });
const code = (words) => text("code", words);
const anchor = (name, method, path) => `${name}-${method}${path.replace(/\W+/g, "-")}`;
// Markdown's backticks, single or double, are all that the descriptions use.
const prose = (words = "") => words.split(/(`+[^`]+`+)/).map((one) => (one.startsWith("`") ? code(one.replaceAll("`", "")) : one));

function resolve(document, thing) {
  if (!thing?.$ref) return thing;
  return thing.$ref.split("/").slice(1).reduce((found, key) => found[key], document);
}

// A schema in few words: "list of Recipient or null", "text (date-time)".
function kindOf(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(" or ");
  if (schema.type === "array") return `list of ${schema.items ? kindOf(schema.items) : "anything"}`;
  if (schema.type === "object") return "object";
  const words = { string: "text", integer: "whole number", boolean: "yes or no", null: "null" };
  return `${words[schema.type] ?? schema.type ?? "anything"}${schema.format ? ` (${schema.format})` : ""}`;
}

function limits(schema = {}) {
  const told = {
    minimum: "at least", maximum: "at most", minLength: "characters at least", maxLength: "characters at most",
    minItems: "entries at least", maxItems: "entries at most", pattern: "like", default: "else",
  };
  return Object.entries(told).filter(([key]) => schema[key] !== undefined && schema[key] !== null && schema[key] !== "")
    .map(([key, words]) => `${words} ${JSON.stringify(schema[key])}`).join(", ");
}

function table(head, rows) {
  return element("div", { className: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, head.map((one) => text("th", one, { scope: "col" })))),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, cell)))))));
}

function fields(document, schema) {
  const { properties = {}, required = [], description, allOf } = resolve(document, schema) ?? {};
  if (allOf) return allOf.map((one) => fields(document, one));
  const rows = Object.entries(properties).map(([name, one]) =>
    [code(name), kindOf(one), required.includes(name) ? "always" : "", limits(one)]);
  return [description ? element("p", {}, prose(description)) : null,
    rows.length ? table(["Field", "Type", "", "Limits"], rows) : null];
}

function example(content) {
  if (content.example === undefined) return null;
  const shown = typeof content.example === "string" ? content.example : JSON.stringify(content.example, null, 2);
  return element("pre", { tabIndex: 0 }, text("code", shown));
}

function contents(document, content = {}) {
  return Object.entries(content).map(([media, one]) => element("div", { className: "stack" },
    element("p", { className: "small quiet" }, code(media), one.schema?.$ref ? ` ${kindOf(one.schema)}` : ""), example(one),
    one.schema?.$ref || one.schema?.properties
      ? element("details", {}, text("summary", "Fields"), fields(document, one.schema)) : null));
}

function parameters(list) {
  const rows = list.map((one) => [code(one.name), one.in, one.required ? "needed" : "",
    [kindOf(one.schema), one.description ?? "", limits(one.schema)].filter(Boolean).join(". "), code(one.example ?? "")]);
  return [text("h4", "Parameters"), table(["Name", "In", "", "What", "Example"], rows)];
}

function problems(document, responses) {
  const meanings = new Map(document.components.schemas.ProblemCode.anyOf.map((one) => [one.const, one.description]));
  const rows = Object.entries(responses).flatMap(([status, answer]) =>
    (answer.content?.[PROBLEM]?.schema?.allOf?.[1].properties.code.enum ?? []).map((one) =>
      [status, code(one), prose((meanings.get(one) ?? "").replace(/^[\d, ]+: /, ""))]));
  return rows.length ? element("details", {}, text("summary", `Problems (${rows.length})`), table(["Status", "Code", "Meaning"], rows)) : null;
}

function answers(document, responses) {
  return Object.entries(responses).filter(([status]) => status < "4").map(([status, answer]) => {
    const headers = Object.keys(answer.headers ?? {});
    return element("div", { className: "stack" },
      element("p", {}, element("strong", { textContent: status }), ` ${answer.description}`,
        headers.length ? ` – with ${headers.join(", ")}` : ""),
      contents(document, answer.content));
  });
}

function route(document, name, path, method, operation) {
  const callers = { crm: "The user's token.", google: "A service account of Google's alone." };
  const who = operation.security.length ? callers[Object.keys(operation.security[0])[0]] : "Anyone.";
  return element("article", { className: "route", id: anchor(name, method, path) },
    element("h3", {}, text("span", method.toUpperCase(), { className: `method ${method}` }), path),
    element("p", {}, prose(operation.summary)),
    operation.description ? element("p", { className: "quiet" }, prose(operation.description)) : null,
    text("p", who, { className: "small quiet" }),
    operation.parameters ? parameters(operation.parameters) : null,
    operation.requestBody ? [text("h4", "Request"), ...contents(document, operation.requestBody.content)] : null,
    text("h4", "Answer"), answers(document, operation.responses), problems(document, operation.responses));
}

function routesOf(document) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => [path, method, methods[method]]));
}

async function read(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return answer.json();
}

async function show() {
  const urls = await read("/config.json");
  const names = ["mail_proxy", "oauth_callback"];
  const documents = await Promise.all(names.map((name) => read(`${urls[name]}/openapi.json`)));
  const main = document.getElementById("routes");
  const toc = document.getElementById("toc");
  documents.forEach((described, number) => {
    const name = names[number];
    const routes = routesOf(described);
    toc.append(text("h2", name), element("ul", {}, routes.map(([path, method]) => element("li", {},
      element("a", { href: `#${anchor(name, method, path)}` }, text("span", method.toUpperCase(), { className: `method ${method}` }), path)))));
    main.append(text("h2", name), element("p", { className: "quiet" }, described.info.description, " ", code(urls[name])),
      ...routes.map(([path, method, operation]) => route(described, name, path, method, operation)));
  });
  document.getElementById("status").textContent = "Generated from the code: the functions describe themselves.";
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

show().catch((error) => {
  document.getElementById("status").textContent = `The description could not be had: ${error.message}`;
});
