// The few things that are done to the document. Text only ever becomes text: nothing here makes markup of it.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; null and undefined are left out, and so is a child that is false or "". */
export function element(name, attributes = {}, ...children) {
  return furnished(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, name), attributes, children);
}

function furnished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children.filter(Boolean));
  return node;
}

/** Set or remove an attribute, if it is another one than before. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

/** Set a text, if it is another one than before: selections and the cursors of screen readers stay where they are. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Make the children of `parent` those of `items`, in their order, and keep the elements of those that were there.
 * `make(item)` makes an element, `update(node, item)` shows what an item is now.
 */
export function reconcile(parent, items, keyOf, make, update) {
  const before = [...parent.children].filter((child) => child.dataset.key !== undefined);
  const known = new Map(before.map((child) => [child.dataset.key, child]));
  const kept = new Set();
  let place = before[0] ?? null;
  for (const item of items) {
    const key = keyOf(item);
    let node = known.get(key);
    if (node === undefined || kept.has(node)) {
      node = make(item);
      node.dataset.key = key;
    }
    kept.add(node);
    update(node, item);
    if (node === place) place = node.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of before) if (!kept.has(node)) node.remove();
}

/** A row of a table with `count` cells; in a table that a phone stacks, each cell carries its column's name. */
export function row(names, { header = 0, numbers = 0 } = {}) {
  const cells = names.map((name, index) =>
    element(index === header ? "th" : "td", {
      scope: index === header ? "row" : null,
      role: index === header ? "rowheader" : "cell",
      "data-label": name,
      class: index >= names.length - numbers ? "number" : null,
    }),
  );
  return element("tr", { role: "row" }, ...cells);
}

/** Fill a row's cells with texts; null leaves a cell as it is. */
export function fill(tr, texts) {
  texts.forEach((text, index) => {
    if (text !== null) setText(tr.cells[index], text);
  });
}

/** Tell those who do not see: once, when what they rely on has changed. */
export function announce(text) {
  byId("announcements").textContent = text;
}

/** Put a text on the clipboard; without leave for that (plain HTTP), by way of a selection. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = element("textarea", { class: "unseen", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
