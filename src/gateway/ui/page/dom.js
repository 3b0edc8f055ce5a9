// Elements, made by name. Text is always text: nothing that comes from a caller or a provider is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false).map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

/** An element of HTML. */
export const h = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const s = (tag, attributes, ...children) => put(document.createElementNS(SVG, tag), attributes, children);

/** The element with that id. */
export const $ = (id) => document.getElementById(id);

/** Replaces what is in a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  return put(node, null, children);
}

/** A table, its head as names of columns; those that end with ">" have numbers. */
export function table(caption, columns, rows, attributes) {
  const number = columns.map((name) => name.endsWith(">"));
  const names = columns.map((name) => name.replace(/>$/, ""));
  const cell = (content, at) => {
    const tag = at === 0 ? "th" : "td";
    return h(tag, { scope: at === 0 ? "row" : null, class: number[at] ? "number" : null, "data-name": names[at] }, content);
  };
  return h(
    "table",
    attributes,
    h("caption", { class: "unseen" }, caption),
    h("thead", null, h("tr", null, names.map((name, at) => h("th", { scope: "col", class: number[at] ? "number" : null }, name)))),
    h("tbody", null, rows.map((row) => h("tr", row.attributes || null, (row.cells || row).map(cell)))),
  );
}

/** What is said where there is nothing to show. */
export const empty = (...said) => h("p", { class: "empty" }, said);
