// @ts-check
/**
 * Atomic: checks and mutations that are done together, or not at all.
 */
import { api, apiUrl } from "../.well-known/buntime/ui/api.js";
import { field } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { guardForm } from "../.well-known/buntime/ui/drafts.js";
import { copy } from "../.well-known/buntime/ui/files.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { pretty } from "./json.js";
import { keyText } from "./key.js";
import { chips, keyField } from "./keyfield.js";
import { messageForm } from "./messageform.js";
import { mayAny } from "./rights.js";
import { curlOfCommit } from "./snippets.js";
import { objectText, readEntry } from "./store.js";
import { taskForm } from "./taskform.js";
import { valueField } from "./valuefield.js";

/** @typedef {import("./key.js").Key} Key */

const TYPES = ["set", "delete", "sum", "max", "min", "append", "prepend", "patch", "touch", "persist"];
const OTHERS = { enqueue: message, task, consumer };
const WITHOUT_VALUE = ["delete", "touch", "persist"];
const WITHOUT_LIFE = ["delete", "persist"];

/**
 * @typedef {object} Step a row of the form
 * @property {HTMLElement} element
 * @property {() => string} read the text of JSON that the API gets; raises an `Error`
 */

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openAtomic({ signal, somebody }) {
  /** @type {Step[]} */
  const checks = [];
  /** @type {Step[]} */
  const mutations = [];
  const places = { checks: h("div", { class: "stack" }), mutations: h("div", { class: "stack" }) };
  const problem = h("p", { class: "problem", role: "alert" });
  const preview = h("pre", { hidden: true, tabindex: 0 });
  const result = h("div", { role: "status" });

  /**
   * @param {Step[]} steps
   * @param {HTMLElement} place
   * @param {Step} step
   */
  function add(steps, place, step) {
    const remove = h("button", { type: "button", onclick: drop }, t("Remove"));
    const row = h("div", { class: "card" }, step.element, h("div", { class: "actions" }, remove));
    function drop() {
      steps.splice(steps.indexOf(step), 1);
      row.remove();
    }
    steps.push(step);
    place.append(row);
  }

  function text() {
    const all = (/** @type {Step[]} */ steps) => `[${steps.map((step) => step.read()).join(", ")}]`;
    return objectText({ checks: all(checks), mutations: all(mutations), results: "true" });
  }

  /** @param {() => Promise<void> | void} work */
  async function guarded(work) {
    problem.textContent = "";
    fill(result);
    try {
      await work();
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  function show() {
    preview.textContent = pretty(text());
    preview.hidden = false;
  }

  async function commit() {
    const body = text();
    const answer = JSON.parse(await api("atomic", { method: "POST", text: body, raw: true }));
    if (answer.ok) draft.forget();
    fill(result, answer.ok ? done(answer) : await refused(JSON.parse(body).checks));
  }

  add(mutations, places.mutations, mutation());
  const form = h(
    "form",
    { class: "stack", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
    h("h2", {}, t("Checks")),
    places.checks,
    h("div", {}, h("button", { type: "button", onclick: () => add(checks, places.checks, check()) }, t("Add a check"))),
    h("h2", {}, t("Mutations")),
    places.mutations,
    h("div", {}, h("button", { type: "button", onclick: () => add(mutations, places.mutations, mutation()) }, t("Add a mutation"))),
    problem,
    preview,
    result,
    h(
      "div",
      { class: "toolbar" },
      h("button", { type: "button", onclick: () => void guarded(show) }, t("Preview")),
      h("button", { type: "button", onclick: () => void guarded(() => copy(curlOfCommit(apiUrl("atomic").href, text()))) }, t("Copy as curl")),
      ["write", "queue:send", "task:send", "consume"].some((action) => mayAny(somebody, action))
        ? h("button", { type: "button", class: "primary", onclick: () => void guarded(commit) }, t("Commit"))
        : null,
    ),
  );
  const draft = guardForm(form, signal);
  return form;
}

/** @returns {Step} */
function check() {
  const key = keyField(t("Key"), "");
  const versionstamp = h("input", { type: "text", class: "mono", autocomplete: "off" });
  return {
    element: h(
      "div",
      { class: "row" },
      key.element,
      field(t("Versionstamp"), versionstamp, t("Empty: the key must not exist")),
    ),
    read: () => JSON.stringify({ key: needed(key.read()), versionstamp: versionstamp.value.trim() || null }),
  };
}

/** @returns {Step} */
function mutation() {
  const type = h("select", {}, [...TYPES, ...Object.keys(OTHERS)].map((name) => h("option", { value: name }, name)));
  const entry = ofEntry(type);
  /** @type {Record<string, Step>} */
  const others = {};
  const place = h("div", { class: "stack" }, entry.element);

  /** @returns {Step} */
  function chosen() {
    const make = OTHERS[/** @type {keyof typeof OTHERS} */ (type.value)];
    return make === undefined ? entry : (others[type.value] ??= make());
  }

  type.addEventListener("change", () => fill(place, chosen().element));
  return { element: h("div", { class: "stack" }, field(t("Mutation"), type), place), read: () => chosen().read() };
}

/**
 * A mutation of an entry.
 * @param {HTMLSelectElement} type
 * @returns {Step}
 */
function ofEntry(type) {
  const key = keyField(t("Key"), "");
  const value = valueField(t("Value as JSON"), "", { rows: 3, optional: true });
  const life = h("input", { type: "text", autocomplete: "off" });
  const lifeField = field(t("Expires in"), life, t("As 30s, 1.5h or 7d"));
  type.addEventListener("change", () => {
    value.element.hidden = WITHOUT_VALUE.includes(type.value);
    lifeField.hidden = WITHOUT_LIFE.includes(type.value);
  });

  function read() {
    const hasValue = !WITHOUT_VALUE.includes(type.value);
    const given = hasValue ? value.read() : null;
    if (given === "") throw new Error(t("{type} needs a value", { type: type.value }));
    const expiresIn = WITHOUT_LIFE.includes(type.value) ? "" : life.value.trim();
    return objectText({
      type: JSON.stringify(type.value),
      key: keyText(needed(key.read())),
      value: given,
      expiresIn: expiresIn === "" ? null : JSON.stringify(expiresIn),
    });
  }

  return {
    element: h(
      "div",
      { class: "stack" },
      h("div", { class: "row" }, key.element, lifeField),
      value.element,
    ),
    read,
  };
}

/** @returns {Step} */
function message() {
  const queue = h("input", { type: "text", autocomplete: "off" });
  const form = messageForm();
  const element = h("div", { class: "stack" }, field(t("Queue"), queue, t("Empty for the one without a name")), form.element);
  const read = () => {
    const { value, options } = form.read();
    const members = Object.entries({ queue: queue.value, ...options }).map(([name, option]) => [name, JSON.stringify(option)]);
    return objectText({ type: '"enqueue"', value, ...Object.fromEntries(members) });
  };
  return { element, read };
}

/** @returns {Step} */
function task() {
  const form = taskForm();
  return { element: form.element, read: () => objectText({ type: '"task"', ...form.read() }) };
}

/** @returns {Step} */
function consumer() {
  const text = () => h("input", { type: "text", class: "mono", autocomplete: "off" });
  const [name, token] = [text(), text()];
  const upTo = h("input", { type: "number", min: 0 });
  const element = h(
    "div",
    { class: "row" },
    field(t("Consumer"), name),
    field(t("Token"), token, t("That of its fetch")),
    field(t("It is done up to"), upTo),
  );
  const read = () => {
    if (upTo.value === "") throw new Error(t("A position is needed"));
    const members = { type: "consumer", name: name.value.trim(), token: token.value.trim(), upTo: Number(upTo.value) };
    return JSON.stringify(members);
  };
  return { element, read };
}

/** @param {Key} key */
function needed(key) {
  if (key.length === 0) throw new Error(t("A key is needed"));
  return key;
}

/** @param {{versionstamp: string, results?: unknown[]}} answer */
function done({ versionstamp, results = [] }) {
  return [
    h("p", {}, h("span", { class: "badge good" }, t("done")), " ", h("code", {}, versionstamp)),
    results.length > 0 ? h("pre", { tabindex: 0 }, JSON.stringify(results, null, 2)) : null,
  ];
}

/**
 * Say which checks do not hold, as far as it is so now.
 * @param {{key: Key, versionstamp: string | null}[]} checks
 */
async function refused(checks) {
  const found = await Promise.all(
    checks.map(async ({ key, versionstamp }) => {
      const now = (await readEntry(key))?.versionstamp ?? null;
      return now === versionstamp ? null : { key, now };
    }),
  );
  const failed = found.filter((one) => one !== null);
  return [
    h("p", {}, h("span", { class: "badge bad" }, t("conflict")), " ", t("Nothing was written: these checks do not hold")),
    h("ul", {}, failed.map(({ key, now }) => h("li", {}, chips(key), " ", h("code", {}, now ?? t("there is no such entry"))))),
  ];
}
