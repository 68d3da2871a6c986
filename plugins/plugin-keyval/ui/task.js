// @ts-check
/**
 * One task: what it is about, how far it is, and what became of it.
 */
import { ApiError, api } from "../.well-known/buntime/ui/api.js";
import { ask } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, span, when } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { membersOf } from "./json.js";
import { mayNamed } from "./rights.js";
import { shownJson } from "./shownjson.js";
import { stateOf } from "./tasks.js";

/** @typedef {import("./tasks.js").Raw} Raw */

const LOOK_SECONDS = 2;
const OPEN = ["pending", "running"];

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openTask({ query, signal, somebody }) {
  const id = query.get("id") ?? "";
  const path = `tasks/${encodeURIComponent(id)}`;
  const mayManage = mayNamed(somebody, "task:admin", "");
  const shown = refreshed(draw, LOOK_SECONDS, signal);

  async function draw() {
    try {
      const task = membersOf(await api(path, { signal, raw: true }));
      return [facts(task), mayManage ? buttons(JSON.parse(task.status)) : null, contents(task)];
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return h("p", {}, t("There is no such task, or it is not kept any more"));
      throw error;
    }
  }

  /** @param {string} status */
  function buttons(status) {
    const isOpen = OPEN.includes(status);
    return h(
      "div",
      { class: "toolbar" },
      isOpen ? h("button", { type: "button", onclick: () => void change("cancel", t("It is cancelled")) }, t("Cancel the task")) : null,
      !isOpen && status !== "completed" ? h("button", { type: "button", onclick: () => void change("retry", t("It runs again")) }, t("Run again")) : null,
      h("button", { type: "button", class: "danger", onclick: () => void remove() }, t("Delete")),
    );
  }

  /**
   * @param {string} what
   * @param {string} done
   */
  async function change(what, done) {
    await attempt(async () => {
      await api(`${path}/${what}`, { method: "POST" });
      say(done);
    });
    await shown.again();
  }

  async function remove() {
    const isDone = await ask({
      title: t("Delete the task {id}?", { id }),
      action: t("Delete"),
      dangerous: true,
      submit: async () => void (await api(path, { method: "DELETE" })),
    });
    if (isDone) await go("tasks", {}, { replaces: true });
  }

  return h("div", { class: "stack" }, shown.element, h("p", {}, h("a", { href: addressOf("tasks") }, t("All tasks"))));
}

/** @param {Raw} task */
function facts(task) {
  const read = (/** @type {string} */ name) => JSON.parse(task[name]);
  const words = (/** @type {string[]} */ names) => names.map((name) => read(name)).filter(Boolean).join(", ") || "–";
  /** @type {[string, import("../.well-known/buntime/ui/dom.js").Child][]} */
  const known = [
    [t("Name"), read("name")],
    [t("State"), stateOf(read("status"))],
    [t("Attempts"), `${count(read("attempts"))} / ${count(read("maxRetries"))}`],
    [t("Created at"), when(read("created"))],
    [t("Not before"), when(read("scheduledFor"))],
    [t("Begun at"), when(read("startedAt"))],
    [t("Over since"), when(read("completedAt"))],
    [t("Time of an attempt"), span(read("timeout"))],
    [t("Priority"), read("priority")],
    [t("Unique, sequence"), words(["unique", "sequence"])],
    [t("Runner"), read("lockedBy") ?? "–"],
    [t("After"), links(read("after"))],
    [t("Parent"), links(read("parent") === null ? [] : [read("parent")])],
  ];
  return h(
    "dl",
    { class: "cards small" },
    known.map(([title, content]) => h("div", { class: "card" }, h("dt", {}, title), h("dd", {}, content))),
  );
}

/** @param {string[]} ids */
function links(ids) {
  if (ids.length === 0) return "–";
  return ids.flatMap((id) => [h("a", { href: addressOf("task", { id }) }, id), " "]);
}

/** @param {Raw} task */
function contents({ payload, result, progress, lastError }) {
  /** @type {[string, string][]} */
  const known = [
    [t("Payload"), payload],
    [t("Progress"), progress],
    [t("Result"), result],
  ];
  return h(
    "div",
    { class: "stack" },
    lastError === "null" ? null : [h("h2", {}, t("Error")), h("pre", { tabindex: 0 }, JSON.parse(lastError))],
    known.filter(([, text]) => text !== "null").flatMap(([title, text]) => [h("h2", {}, title), shownJson(text)]),
  );
}
