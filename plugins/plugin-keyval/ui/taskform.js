// @ts-check
/**
 * What is said of a task: its name, its payload, and when and how it is run.
 */
import { field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { listed, said } from "./messageform.js";
import { valueField } from "./valuefield.js";

/**
 * @typedef {object} TaskForm
 * @property {HTMLElement} element
 * @property {() => Record<string, string>} read members of a task, as texts of JSON; raises an `Error`
 */

/** @returns {TaskForm} */
export function taskForm() {
  const name = h("input", { type: "text", autocomplete: "off" });
  const payload = valueField(t("Payload as JSON"), "", { rows: 3, optional: true });
  const text = () => h("input", { type: "text", autocomplete: "off" });
  const number = (/** @type {number} */ min, /** @type {number} */ max) => h("input", { type: "number", min, max });
  const [delay, id, unique, sequence, after] = [text(), text(), text(), text(), text()];
  const [parent, backoff, timeout, keep] = [text(), text(), text(), text()];
  const [priority, retries] = [number(-10, 10), number(0, 1000)];

  function read() {
    if (name.value.trim() === "") throw new Error(t("A name is needed"));
    const options = said({
      name: name.value.trim(),
      delay: delay.value.trim(),
      id: id.value.trim(),
      unique: unique.value.trim(),
      sequence: sequence.value.trim(),
      after: listed(after.value, (one) => one),
      parent: parent.value.trim(),
      priority: priority.value === "" ? "" : Number(priority.value),
      maxRetries: retries.value === "" ? "" : Number(retries.value),
      backoffSchedule: listed(backoff.value, (pause) => pause),
      timeout: timeout.value.trim(),
      keepResult: keep.value.trim(),
    });
    const members = Object.fromEntries(Object.entries(options).map(([member, value]) => [member, JSON.stringify(value)]));
    const value = payload.read();
    return value === "" ? members : { ...members, payload: value };
  }

  const span = t("As 30s, 1.5h or 7d");
  const element = h(
    "div",
    { class: "stack" },
    field(t("Name"), name),
    payload.element,
    h(
      "details",
      {},
      h("summary", {}, t("When and how it is run")),
      h(
        "div",
        { class: "row" },
        field(t("Delay"), delay, span),
        field(t("Priority"), priority, t("From -10 to 10")),
        field(t("Attempts at the most"), retries),
        field(t("Pauses before further attempts"), backoff, t("As 1s, 10s, 1m")),
        field(t("Time of an attempt"), timeout, span),
        field(t("Its result is kept for"), keep, span),
        field(t("Id"), id, t("Tasks of one id are made once")),
        field(t("Unique"), unique, t("One at a time of this text")),
        field(t("Sequence"), sequence, t("One after the other of this text")),
        field(t("After"), after, t("Ids of tasks that come before, with commas")),
        field(t("Parent"), parent, t("Id of the task that it belongs to")),
      ),
    ),
  );
  return { element, read };
}
