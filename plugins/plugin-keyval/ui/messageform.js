// @ts-check
/**
 * What is said of a message: its value and how it is delivered.
 */
import { field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { parseKey } from "./key.js";
import { valueField } from "./valuefield.js";

/**
 * @typedef {object} MessageForm
 * @property {HTMLElement} element
 * @property {() => {value: string, options: Record<string, unknown>}} read the value as JSON, and what was said besides; raises an `Error`
 * @property {() => void} clear so that the next value can be typed
 */

/** @returns {MessageForm} */
export function messageForm() {
  const value = valueField(t("Message as JSON"), "", { rows: 3 });
  const text = () => h("input", { type: "text", autocomplete: "off" });
  const [delay, backoff, undelivered, id] = [text(), text(), text(), text()];
  const priority = h("input", { type: "number", min: -10, max: 10 });

  function read() {
    const options = {
      delay: delay.value.trim(),
      id: id.value.trim(),
      priority: priority.value === "" ? "" : Number(priority.value),
      backoffSchedule: listed(backoff.value, (part) => part),
      keysIfUndelivered: listed(undelivered.value, parseKey),
    };
    return { value: value.read(), options: said(options) };
  }

  const element = h(
    "div",
    { class: "stack" },
    value.element,
    h(
      "div",
      { class: "row" },
      field(t("Delay"), delay, t("As 30s, 1.5h or 7d")),
      field(t("Priority"), priority, t("From -10 to 10")),
      field(t("Id"), id, t("Messages of one id are sent once")),
      field(t("Pauses before further deliveries"), backoff, t("As 1s, 10s, 1m; none for a single delivery")),
      field(t("Keys that get it if it is given up"), undelivered, t("As failed/1, failed/2")),
    ),
  );
  return { element, read, clear: () => value.change("") };
}

/**
 * Those options that are not empty texts.
 * @param {Record<string, unknown>} options
 */
export function said(options) {
  return Object.fromEntries(Object.entries(options).filter(([, option]) => option !== ""));
}

/**
 * What stands between commas; the empty text for nothing, so that it is left out.
 * @template T
 * @param {string} text
 * @param {(part: string) => T} read
 * @returns {T[] | ""}
 */
export function listed(text, read) {
  if (text.trim() === "") return "";
  if (text.trim() === "none") return [];
  return text.split(",").map((part) => read(part.trim()));
}
