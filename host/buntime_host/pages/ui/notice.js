// @ts-check
/**
 * Short messages at the edge of the page, which screen readers tell as well.
 */
import { h } from "./dom.js";
import { t } from "./texts.js";

const SHOWN_MS = 6000;

const said = h("div", { class: "notices", role: "status", "aria-live": "polite" });
const alarming = h("div", { class: "notices alarming", role: "alert" });

/** The elements that hold them; the shell puts them into the page. */
export const notices = [said, alarming];

/**
 * Say that something is done.
 * @param {string} text
 */
export function say(text) {
  show(said, text, "done");
}

/**
 * Say that something failed. What was given up on purpose is no failure.
 * @param {unknown} error
 */
export function sayError(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  show(alarming, error instanceof Error ? error.message : String(error), "failed");
}

/**
 * Do work, and say so where it fails.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T | undefined>}
 */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    sayError(error);
    return undefined;
  }
}

/**
 * @param {HTMLElement} place
 * @param {string} text
 * @param {string} kind
 */
function show(place, text, kind) {
  const remove = () => notice.remove();
  const close = h("button", { type: "button", "aria-label": t("Dismiss"), onclick: remove }, "×");
  const notice = h("p", { class: `notice ${kind}` }, h("span", {}, text), close);
  place.append(notice);
  setTimeout(remove, SHOWN_MS);
}
