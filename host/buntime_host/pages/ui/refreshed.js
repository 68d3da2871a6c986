// @ts-check
/**
 * Content that is drawn anew now and then, while somebody looks.
 */
import { fill, h } from "./dom.js";
import { repeat } from "./live.js";
import { attempt } from "./notice.js";

/**
 * @typedef {object} Refreshed
 * @property {HTMLElement} element
 * @property {() => Promise<void>} again draws it at once, since something was done
 */

/**
 * Draw now, and again after each pause; what fails is said above what was there before.
 * @param {() => Promise<import("./dom.js").Child>} draw
 * @param {number} seconds the pause between two times
 * @param {AbortSignal} signal says that it is over
 * @returns {Refreshed}
 */
export function refreshed(draw, seconds, signal) {
  const place = h("div", { class: "stack", tabindex: -1 });
  const problem = h("p", { class: "problem", role: "status" });

  async function look(isAsked = false) {
    try {
      const content = await draw();
      // What somebody is about to press must not go away under the hand.
      if (isAsked || !isHeld()) fill(place, content);
      problem.textContent = "";
    } catch (error) {
      if (!signal.aborted) problem.textContent = error instanceof Error ? error.message : "";
      throw error;
    }
  }

  function isHeld() {
    return place !== document.activeElement && place.contains(document.activeElement);
  }

  async function again() {
    await attempt(() => look(true));
  }

  void repeat(() => look(), seconds, signal);
  return { element: h("div", { class: "stack" }, problem, place), again };
}
