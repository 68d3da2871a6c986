// @ts-check
/**
 * Tasks: how many have which state, the newest of them, and a way to make one.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { field, sendingForm } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, when } from "../.well-known/buntime/ui/format.js";
import { say } from "../.well-known/buntime/ui/notice.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { elementsOf, membersOf } from "./json.js";
import { limitedTo, mayAny, mayNamed } from "./rights.js";
import { objectText } from "./store.js";
import { taskForm } from "./taskform.js";

/** @typedef {Record<string, string>} Raw members as texts of JSON */

const STATUSES = ["pending", "running", "completed", "failed", "cancelled"];
const LOOK_SECONDS = 3;
const PAGE = 30;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openTasks({ query, signal, somebody }) {
  const name = query.get("name") ?? "";
  const status = query.get("status") ?? "";
  const cursor = query.get("cursor");
  const mayList = mayNamed(somebody, "task:admin", name);
  const wanted = { name: name || null, status: status || null, cursor, limit: PAGE };
  const list = mayList ? refreshed(() => drawn(wanted, signal), LOOK_SECONDS, signal) : null;
  return h(
    "div",
    { class: "stack" },
    chooser(name, status),
    mayAny(somebody, "task:send") ? sender(async () => void (await list?.again()), signal) : null,
    list === null ? limitedTo(somebody, "task:admin") : list.element,
  );
}

/**
 * @param {string} name
 * @param {string} status
 */
function chooser(name, status) {
  const named = h("input", { type: "text", value: name, autocomplete: "off" });
  const chosen = h(
    "select",
    {},
    ["", ...STATUSES].map((value) => h("option", { value, selected: value === status }, value || t("all"))),
  );
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void go("tasks", { name: named.value.trim(), status: chosen.value });
  };
  return h(
    "form",
    { class: "row", onsubmit: submit },
    field(t("Name of the tasks"), named, t("Empty for all")),
    field(t("State"), chosen),
    h("button", { type: "submit" }, t("Show")),
  );
}

/**
 * @param {() => Promise<void>} sent
 * @param {AbortSignal} signal
 */
function sender(sent, signal) {
  const task = taskForm();
  const submit = async (/** @type {() => void} */ forget) => {
    const { id } = await api("tasks", { method: "POST", text: objectText(task.read()) });
    forget();
    say(t("Made as {id}", { id }));
    await sent();
  };
  const form = sendingForm("stack", signal, submit, (problem) => [
    task.element,
    problem,
    h("div", {}, h("button", { type: "submit", class: "primary" }, t("Make"))),
  ]);
  return h("details", {}, h("summary", {}, t("Make a task")), form);
}

/**
 * @param {{name: string | null, status: string | null, cursor: string | null, limit: number}} wanted
 * @param {AbortSignal} signal
 */
async function drawn(wanted, signal) {
  const { name, status } = wanted;
  const [stats, page] = await Promise.all([
    api("tasks/stats", { query: { name }, signal }),
    api("tasks", { query: wanted, signal, raw: true }),
  ]);
  const { tasks, cursor } = membersOf(page);
  const next = JSON.parse(cursor);
  return [
    counts(stats.tasks),
    h("h2", {}, t("The newest")),
    newest(elementsOf(tasks).map(membersOf)),
    h(
      "div",
      { class: "toolbar" },
      wanted.cursor ? h("a", { class: "button", href: addressOf("tasks", { name, status }) }, t("First page")) : null,
      next ? h("a", { class: "button", href: addressOf("tasks", { name, status, cursor: next }) }, t("Next page")) : null,
    ),
  ];
}

/** @param {Record<string, Record<string, number>>} stats by name and state */
function counts(stats) {
  return table(
    t("Tasks by name"),
    [
      { title: t("Name"), heads: true, cell: ([name]) => h("a", { href: addressOf("tasks", { name }) }, name) },
      ...STATUSES.map((status) => ({
        title: status,
        numeric: true,
        cell: (/** @type {[string, Record<string, number>]} */ [name, numbers]) =>
          numbers[status] ? h("a", { href: addressOf("tasks", { name, status }) }, count(numbers[status])) : "–",
      })),
    ],
    Object.entries(stats),
    t("No tasks"),
  );
}

/** @param {Raw[]} tasks */
function newest(tasks) {
  const time = (/** @type {string} */ text) => when(JSON.parse(text));
  return table(
    t("Tasks"),
    [
      {
        title: t("Id"),
        heads: true,
        cell: ({ id }) => h("a", { href: addressOf("task", { id: JSON.parse(id) }) }, h("code", {}, JSON.parse(id))),
      },
      { title: t("Name"), cell: ({ name }) => JSON.parse(name) },
      { title: t("State"), cell: ({ status }) => stateOf(JSON.parse(status)) },
      { title: t("Attempts"), numeric: true, cell: ({ attempts, maxRetries }) => `${attempts} / ${maxRetries}` },
      { title: t("Not before"), cell: ({ scheduledFor }) => time(scheduledFor) },
      { title: t("Over since"), cell: ({ completedAt }) => time(completedAt) },
      { title: t("Error"), cell: ({ lastError }) => JSON.parse(lastError) },
    ],
    tasks,
    t("No tasks"),
  );
}

/**
 * The state of a task, as the API calls it.
 * @param {string} status
 */
export function stateOf(status) {
  const kind = status === "completed" ? " good" : status === "failed" ? " bad" : "";
  return h("span", { class: `badge${kind}` }, status);
}
