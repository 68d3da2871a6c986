// @ts-check
/**
 * Elements of data. Text goes in as text nodes and attributes alone, never as HTML.
 */

/** @typedef {Node | string | number | null | undefined | false} Plain */
/** @typedef {Plain | Plain[]} Child What an element may hold; nothing is left out. */
/** @typedef {Record<string, unknown>} Attributes `onclick` and the like are listeners; false and null leave one out. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element of HTML.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAll(element, attributes);
  append(element, children);
  return element;
}

/**
 * An element of SVG.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAll(element, attributes);
  append(element, children);
  return element;
}

/**
 * Replace what is within a node. The focus stays where it was, or as near as it can, so that who
 * works by keyboard goes on from there and not from the top of the page.
 * @template {Element} E
 * @param {E} node
 * @param {...Child} children
 * @returns {E}
 */
export function fill(node, ...children) {
  const focused = document.activeElement;
  const isWithin = focused !== node && node.contains(focused);
  node.replaceChildren();
  append(node, children);
  if (focused && isWithin) successor(focused, node)?.focus({ preventScroll: true });
  return node;
}

/**
 * What takes the focus of an element that is gone: the one that is of the same thing, which its
 * label names, else what is around. A button that only says what it does may be of another thing.
 * @param {Element} gone
 * @param {Element} node
 * @returns {HTMLElement | null}
 */
function successor(gone, node) {
  const label = gone.getAttribute("aria-label");
  const same = label && node.querySelector(`[aria-label="${CSS.escape(label)}"]:enabled`);
  return /** @type {HTMLElement | null} */ (same || node.closest("[tabindex]"));
}

/**
 * @param {Element} element
 * @param {Attributes} attributes
 */
function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (name === "value" && "value" in element) {
      element.value = value;
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/**
 * @param {Element} element
 * @param {Child[]} children
 */
function append(element, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "number" ? String(child) : child);
  }
}

let lastId = 0;

/** An id that no other element has: for labels and what they are of. */
export function newId() {
  lastId += 1;
  return `i${lastId}`;
}
