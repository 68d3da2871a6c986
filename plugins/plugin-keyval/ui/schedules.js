// @ts-check
/**
 * Schedules: tasks that are started at times.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask, field, ticked } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, span, when } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { addressOf } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { elementsOf, membersOf, pretty } from "./json.js";
import { limitedTo, mayAny, mayNamed } from "./rights.js";
import { objectText } from "./store.js";
import { valueField } from "./valuefield.js";

/** @typedef {import("./tasks.js").Raw} Raw */

const LOOK_SECONDS = 5;
const PAGE = 100;
const MISSED = ["skip", "once", "all"];
const EXAMPLE = '{"name": "send-report", "payload": {"to": "ada"}}';

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openSchedules({ query, signal, somebody }) {
  const after = query.get("after");
  const mayMake = mayAny(somebody, "schedule") && mayAny(somebody, "task:send");
  const list = mayNamed(somebody, "schedule", "") ? refreshed(draw, LOOK_SECONDS, signal) : null;

  async function draw() {
    const page = await api("schedules", { query: { after, limit: PAGE }, signal, raw: true });
    const schedules = elementsOf(membersOf(page).schedules).map(membersOf);
    const last = schedules.length === PAGE ? JSON.parse(schedules[PAGE - 1].name) : null;
    return [
      schedules.length === 0 && !after ? h("p", { class: "hint" }, t("Nothing is started at times yet")) : listed(schedules, mayMake, work),
      last === null ? null : h("p", {}, h("a", { class: "button", href: addressOf("schedules", { after: last }) }, t("Next page"))),
    ];
  }

  /** @param {() => Promise<unknown>} change */
  async function work(change) {
    const isDone = await attempt(change);
    if (isDone !== false) await list?.again();
  }

  const add = h("button", { type: "button", class: "primary", onclick: () => void work(() => edit(null)) }, t("New schedule"));
  return h(
    "div",
    { class: "stack" },
    mayMake ? h("div", { class: "toolbar" }, add) : null,
    list === null ? limitedTo(somebody, "schedule") : list.element,
  );
}

/**
 * @param {Raw[]} schedules
 * @param {boolean} mayMake
 * @param {(change: () => Promise<unknown>) => Promise<void>} work
 */
function listed(schedules, mayMake, work) {
  const read = (/** @type {string} */ text) => JSON.parse(text);
  return table(
    t("Schedules"),
    [
      { title: t("Name"), heads: true, cell: ({ name, paused }) => [read(name), paused === "true" ? h("span", { class: "badge bad" }, t("paused")) : null] },
      { title: t("When"), cell: timesOf },
      { title: t("Task"), cell: ({ task }) => h("code", { class: "cut" }, task) },
      { title: t("Next times"), cell: ({ next }) => read(next).slice(0, 3).map((/** @type {number} */ at) => h("div", {}, when(at))) },
      {
        title: t("Last time"),
        cell: ({ lastAt, lastTask }) => [
          when(read(lastAt)),
          read(lastTask) === null ? null : h("small", {}, h("a", { href: addressOf("task", { id: read(lastTask) }) }, t("Its task"))),
        ],
      },
      { title: t("Started"), numeric: true, cell: ({ fires }) => count(read(fires)) },
      { title: t("Actions"), cell: (schedule) => actions(schedule, mayMake, work) },
    ],
    schedules,
  );
}

/** @param {Raw} schedule */
function timesOf({ cron, every, timezone, missed }) {
  const text = cron === undefined ? t("every {span}", { span: span(JSON.parse(every)) }) : `${JSON.parse(cron)} (${JSON.parse(timezone)})`;
  return [h("code", {}, text), h("small", {}, t("missed: {rule}", { rule: JSON.parse(missed) }))];
}

/**
 * @param {Raw} schedule
 * @param {boolean} mayMake
 * @param {(change: () => Promise<unknown>) => Promise<void>} work
 */
function actions(schedule, mayMake, work) {
  const name = JSON.parse(schedule.name);
  const isPaused = schedule.paused === "true";
  const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => Promise<unknown>} */ change) =>
    h("button", { type: "button", "aria-label": label, onclick: () => void work(change) }, text);
  const pause = () => write(name, { ...givenOf(schedule), paused: String(!isPaused) });
  return [
    button(t("Run now"), t("Run now: {name}", { name }), () => run(name)),
    ...(mayMake
      ? [
          isPaused ? button(t("Resume"), t("Resume {name}", { name }), pause) : button(t("Pause"), t("Pause {name}", { name }), pause),
          button(t("Edit"), t("Edit {name}", { name }), () => edit(schedule)),
        ]
      : []),
    button(t("Delete"), t("Delete {name}", { name }), () => remove(name)),
  ];
}

/** @param {string} name */
function pathOf(name) {
  return `schedules/${encodeURIComponent(name)}`;
}

/** @param {string} name */
async function run(name) {
  const { taskId } = await api(`${pathOf(name)}/run`, { method: "POST" });
  say(t("Started as {id}", { id: taskId }));
}

/** @param {string} name */
function remove(name) {
  return ask({
    title: t("Delete the schedule {name}?", { name }),
    content: h("p", {}, t("Tasks that it has started stay.")),
    action: t("Delete"),
    dangerous: true,
    submit: async () => void (await api(pathOf(name), { method: "DELETE" })),
  });
}

/**
 * Those members of a schedule that somebody says.
 * @param {Raw} schedule
 * @returns {Record<string, string>}
 */
function givenOf(schedule) {
  const names = ["task", ...("cron" in schedule ? ["cron", "timezone"] : ["every"]), "missed", "paused"];
  return Object.fromEntries(names.map((name) => [name, schedule[name]]));
}

/**
 * @param {string} name
 * @param {Record<string, string>} members as texts of JSON
 */
function write(name, members) {
  return api(pathOf(name), { method: "PUT", text: objectText(members) });
}

/**
 * Ask for a schedule, or for changes of one.
 * @param {Raw | null} given
 */
function edit(given) {
  const read = (/** @type {string} */ name) => (given === null || given[name] === undefined ? "" : JSON.parse(given[name]));
  const text = (/** @type {string} */ value) => h("input", { type: "text", value, autocomplete: "off", spellcheck: "false" });
  const name = text(read("name"));
  name.readOnly = given !== null;
  const cron = text(read("cron"));
  const every = text(read("every") === "" ? "" : String(read("every")));
  const timezone = text(read("timezone") || "UTC");
  const missed = h("select", {}, MISSED.map((rule) => h("option", { value: rule, selected: rule === read("missed") }, rule)));
  const paused = h("input", { checked: read("paused") === true });
  const task = valueField(t("Task as JSON"), given === null ? EXAMPLE : pretty(given.task), { rows: 5 });
  return ask({
    title: given === null ? t("New schedule") : t("Edit {name}", { name: read("name") }),
    content: [
      field(t("Name"), name),
      h(
        "div",
        { class: "row" },
        field(t("Cron expression"), cron, t("Minute, hour, day, month, day of the week: 0 9 * * MON-FRI")),
        field(t("Or a pause"), every, t("As 10m, from one time to the next")),
        field(t("Time zone"), timezone, t("That of the cron expression, as Europe/Lisbon")),
        field(t("Times that were missed"), missed, t("skip them, run once for all, or all of them")),
      ),
      task.element,
      ticked(t("It starts nothing for now"), paused),
    ],
    action: t("Save"),
    wide: true,
    submit: async () => {
      if (name.value.trim() === "") return t("A name is needed");
      await write(name.value.trim(), {
        ...(cron.value.trim() === "" ? {} : { cron: JSON.stringify(cron.value.trim()), timezone: JSON.stringify(timezone.value.trim() || "UTC") }),
        ...(every.value.trim() === "" ? {} : { every: pauseText(every.value.trim()) }),
        missed: JSON.stringify(missed.value),
        paused: String(paused.checked),
        task: task.read(),
      });
      say(t("Saved"));
    },
  });
}

/**
 * A pause as JSON: a number is milliseconds.
 * @param {string} text
 */
function pauseText(text) {
  return /^\d+$/.test(text) ? text : JSON.stringify(text);
}
