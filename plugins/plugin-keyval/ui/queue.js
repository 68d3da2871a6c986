// @ts-check
/**
 * Queues: what waits, what failed, and how they deliver. Nothing here takes a message.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask, field, sendingForm } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count, span, when } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { refreshed } from "../.well-known/buntime/ui/refreshed.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { elementsOf, membersOf } from "./json.js";
import { messageForm } from "./messageform.js";
import { limitedTo, mayNamed } from "./rights.js";
import { objectText } from "./store.js";

/** @typedef {{queue: string, pending: number, processing: number, dlq: number, total: number, paused: boolean}} Queue */
/** @typedef {Record<string, string>} Raw members as texts of JSON */
/** @typedef {import("../.well-known/buntime/ui/shell.js").Opened} Opened */

const LOOK_SECONDS = 3;
const SHOWN = 20;
const CUT = 200;

/** @param {Opened} opened */
export async function openQueue({ query, signal, somebody }) {
  const queue = query.get("queue") ?? "";
  const rights = {
    send: mayNamed(somebody, "queue:send", queue),
    admin: mayNamed(somebody, "queue:admin", queue),
    all: mayNamed(somebody, "queue:admin", ""),
  };
  const letters = { queue, offset: Math.max(0, Number(query.get("letters")) || 0) };
  const shown = rights.admin ? refreshed(() => drawn(letters, rights, again, signal), LOOK_SECONDS, signal) : null;

  /** Look at once, since something was done. */
  async function again() {
    await shown?.again();
  }

  return h(
    "div",
    { class: "stack" },
    chooser(queue),
    rights.send ? sender(queue, again, signal) : null,
    shown === null ? limitedTo(somebody, "queue:admin") : shown.element,
  );
}

/** @param {string} queue */
function chooser(queue) {
  const name = h("input", { type: "text", value: queue, autocomplete: "off" });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void go("queue", { queue: name.value });
  };
  return h(
    "form",
    { class: "row", onsubmit: submit },
    field(t("Queue"), name, t("Empty for the one without a name")),
    h("button", { type: "submit" }, t("Show")),
  );
}

/** @typedef {{queue: string, offset: number}} Letters a page of the dead letters of a queue */

/**
 * @param {Letters} wanted
 * @param {{admin: boolean, all: boolean}} rights
 * @param {() => Promise<void>} again
 * @param {AbortSignal} signal
 */
async function drawn(wanted, rights, again, signal) {
  const { queue, offset } = wanted;
  const query = { queue: queue || null };
  const [stats, options, peeked, letters, queues] = await Promise.all([
    api("queue/stats", { query, signal }),
    api("queue/options", { query, signal }),
    api("queue/peek", { query: { ...query, limit: SHOWN }, signal, raw: true }),
    api("queue/dlq", { query: { ...query, limit: SHOWN, offset }, signal, raw: true }),
    rights.all ? api("queue/queues", { signal }) : null,
  ]);
  const messages = elementsOf(membersOf(peeked).messages).map(membersOf);
  return [
    numbers(stats, messages),
    controls(queue, options.paused, again),
    h("h2", {}, t("The next messages")),
    stats.pending + stats.processing > SHOWN ? h("p", { class: "hint" }, t("The first {count} of them", { count: SHOWN })) : null,
    waiting(messages),
    h("h2", {}, t("Dead letters")),
    dead(queue, elementsOf(letters).map(membersOf), again),
    pager(wanted, stats.dlq),
    queues === null ? null : h("h2", {}, t("All queues")),
    queues === null ? null : overview(queues.queues),
  ];
}

/**
 * @param {{pending: number, processing: number, dlq: number}} stats
 * @param {Raw[]} messages
 */
function numbers(stats, messages) {
  const times = messages.map(({ createdAt }) => Number(createdAt));
  const oldest = times.length > 0 ? span(Math.max(0, Date.now() - Math.min(...times))) : "–";
  /** @type {[string, string][]} */
  const shown = [
    [t("Messages waiting"), count(stats.pending)],
    [t("Messages in work"), count(stats.processing)],
    [t("Dead letters"), count(stats.dlq)],
    [t("Age of the oldest of the next"), oldest],
  ];
  return h(
    "dl",
    { class: "cards" },
    shown.map(([title, text]) => h("div", { class: "card" }, h("dt", {}, title), h("dd", {}, text))),
  );
}

/**
 * @param {string} queue
 * @param {boolean} isPaused
 * @param {() => Promise<void>} again
 */
function controls(queue, isPaused, again) {
  const json = queue === "" ? {} : { queue };

  async function pauseOrResume() {
    await attempt(async () => {
      await api(isPaused ? "queue/resume" : "queue/pause", { method: "POST", json });
      say(isPaused ? t("Messages are delivered again") : t("No messages are delivered any more"));
    });
    await again();
  }

  async function purge() {
    const isDone = await ask({
      title: t("Remove all messages of this queue?"),
      content: h("p", {}, t("Those in work, too. Dead letters stay.")),
      action: t("Remove"),
      dangerous: true,
      submit: async () => {
        const { deletedCount } = await api("queue/messages", { method: "DELETE", query: { queue: queue || null } });
        say(t("{count} messages removed", { count: count(deletedCount) }));
      },
    });
    if (isDone) await again();
  }

  return h(
    "div",
    { class: "toolbar" },
    isPaused ? h("span", { class: "badge bad" }, t("paused")) : null,
    h("button", { type: "button", onclick: () => void pauseOrResume() }, isPaused ? t("Resume") : t("Pause")),
    h("button", { type: "button", class: "danger", onclick: () => void purge() }, t("Remove all messages")),
  );
}

/** @param {Raw[]} messages */
function waiting(messages) {
  return table(
    t("The next messages"),
    [
      { title: t("Id"), heads: true, cell: ({ id }) => h("code", {}, JSON.parse(id)) },
      { title: t("Value"), cell: ({ value }) => h("code", { class: "cut" }, value.slice(0, CUT)) },
      { title: t("State"), cell: ({ state }) => JSON.parse(state) },
      { title: t("Ready at"), cell: ({ readyAt }) => when(Number(readyAt)) },
      { title: t("Attempts"), numeric: true, cell: ({ attempts, maxAttempts }) => `${attempts} / ${maxAttempts}` },
      { title: t("Priority"), numeric: true, cell: ({ priority }) => priority },
    ],
    messages,
    t("No messages"),
  );
}

/**
 * @param {string} queue
 * @param {Raw[]} letters
 * @param {() => Promise<void>} again
 */
function dead(queue, letters, again) {
  const query = { queue: queue || null };
  const json = queue === "" ? {} : { queue };

  /** @param {string} id */
  const requeue = async (id) => {
    await attempt(async () => {
      await api(`queue/dlq/${encodeURIComponent(id)}/requeue`, { method: "POST", json });
      say(t("Sent again"));
    });
    await again();
  };

  /** @param {string} id */
  const remove = async (id) => {
    await attempt(() => api(`queue/dlq/${encodeURIComponent(id)}`, { method: "DELETE", query }));
    await again();
  };

  const purge = async () => {
    const isDone = await ask({
      title: t("Delete all dead letters of this queue?"),
      action: t("Delete"),
      dangerous: true,
      submit: async () => void (await api("queue/dlq", { method: "DELETE", query })),
    });
    if (isDone) await again();
  };

  const rows = table(
    t("Dead letters"),
    [
      { title: t("Id"), heads: true, cell: ({ id }) => h("code", {}, JSON.parse(id)) },
      { title: t("Value"), cell: ({ value }) => h("code", { class: "cut" }, value.slice(0, CUT)) },
      { title: t("Error"), cell: ({ errorMessage }) => JSON.parse(errorMessage) },
      { title: t("Failed at"), cell: ({ failedAt }) => when(Number(failedAt)) },
      { title: t("Attempts"), numeric: true, cell: ({ attempts }) => attempts },
      {
        title: "",
        cell: ({ id }) => [
          h("button", { type: "button", onclick: () => void requeue(JSON.parse(id)) }, t("Send again")),
          " ",
          h("button", { type: "button", onclick: () => void remove(JSON.parse(id)) }, t("Delete")),
        ],
      },
    ],
    letters,
    t("No dead letters"),
  );
  const all = h("button", { type: "button", class: "danger", onclick: () => void purge() }, t("Delete all dead letters"));
  return h("div", { class: "stack" }, rows, letters.length > 0 ? h("div", {}, all) : null);
}

/**
 * The way to the other dead letters.
 * @param {Letters} shown
 * @param {number} all how many there are
 */
function pager({ queue, offset }, all) {
  const next = offset + SHOWN;
  return h(
    "div",
    { class: "toolbar" },
    offset > 0 ? h("a", { class: "button", href: addressOf("queue", { queue }) }, t("First page")) : null,
    next < all ? h("a", { class: "button", href: addressOf("queue", { queue, letters: String(next) }) }, t("Next page")) : null,
  );
}

/** @param {Queue[]} queues */
function overview(queues) {
  return table(
    t("All queues"),
    [
      {
        title: t("Queue"),
        heads: true,
        cell: ({ queue }) => h("a", { href: addressOf("queue", { queue }) }, queue || t("(without a name)")),
      },
      { title: t("Messages waiting"), numeric: true, cell: ({ pending }) => count(pending) },
      { title: t("Messages in work"), numeric: true, cell: ({ processing }) => count(processing) },
      { title: t("Dead letters"), numeric: true, cell: ({ dlq }) => count(dlq) },
      { title: t("State"), cell: ({ paused }) => (paused ? t("paused") : "") },
    ],
    queues,
    t("No queue is in use"),
  );
}

/**
 * @param {string} queue
 * @param {() => Promise<void>} sent
 * @param {AbortSignal} signal
 */
function sender(queue, sent, signal) {
  const message = messageForm();
  const submit = async (/** @type {() => void} */ forget) => {
    const { value, options } = message.read();
    const text = objectText({ value, options: JSON.stringify({ queue, ...options }) });
    const { id } = await api("queue/enqueue", { method: "POST", text });
    say(t("Sent as {id}", { id }));
    message.clear();
    forget();
    await sent();
  };
  const form = sendingForm("stack", signal, submit, (problem) => [
    message.element,
    problem,
    h("div", {}, h("button", { type: "submit", class: "primary" }, t("Send"))),
  ]);
  return h("details", {}, h("summary", {}, t("Send a message")), form);
}
