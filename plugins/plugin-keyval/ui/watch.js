// @ts-check
/**
 * Watch: changes of keys as they come.
 */
import { field, ticked } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { save } from "../.well-known/buntime/ui/files.js";
import { when } from "../.well-known/buntime/ui/format.js";
import { sleep, untilSeen } from "../.well-known/buntime/ui/live.js";
import { go } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { KeyVal, encode } from "./client.js";
import { parseKey } from "./key.js";
import { chips } from "./keyfield.js";
import { firstPrefix } from "./rights.js";

/** @typedef {import("./client.js").Change} Change */
/** @typedef {{at: number, key: string, value: string | null}} Seen `key` and `value` as JSON */

const KEPT = 500;
const KNOWN = 10_000;
const CUT = 200;
const STATES = { connecting: "connecting", open: "connected", waiting: "waiting to connect again", ended: "ended" };

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openWatch({ query, signal, somebody }) {
  const text = query.get("keys") ?? firstPrefix(somebody);
  const isExact = query.get("exact") === "true";
  if (!query.has("keys")) return form(text, isExact);
  const keys = keysOf(text);
  /** @type {Seen[]} */
  const seen = [];
  const rows = h("tbody", {});
  const state = h("span", { role: "status", class: "badge" });
  let isPaused = false;

  /** @param {Change[]} changes */
  function note(changes) {
    const at = Date.now();
    for (const { key, value, versionstamp } of changes) {
      seen.push({ at, key: encode(key), value: versionstamp === null ? null : encode(value) });
    }
    seen.splice(0, seen.length - KEPT);
    if (!isPaused) draw();
  }

  function draw() {
    fill(rows, seen.toReversed().map(row));
  }

  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: toggle }, t("Pause"));
  function toggle() {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) draw();
  }

  function clear() {
    seen.length = 0;
    draw();
  }

  function keep() {
    const lines = seen.map(({ at, key, value }) => `{"at": ${at}, "key": ${key}, "value": ${value}}\n`);
    save("changes.ndjson", lines, "application/x-ndjson");
  }

  void follow(keys, isExact, note, state, signal);
  return h(
    "div",
    { class: "stack" },
    form(text, isExact),
    h(
      "div",
      { class: "toolbar" },
      state,
      pause,
      h("button", { type: "button", onclick: clear }, t("Clear")),
      h("button", { type: "button", onclick: keep }, t("Export")),
    ),
    h(
      "div",
      { class: "scroller", role: "region", "aria-label": t("Changes"), tabindex: 0 },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, [t("Time"), t("Key"), t("Value")].map((title) => h("th", { scope: "col" }, title)))),
        rows,
      ),
    ),
  );
}

/**
 * @param {string} text
 * @param {boolean} isExact
 */
function form(text, isExact) {
  const keys = h("textarea", { rows: 2, value: text, spellcheck: "false" });
  const exact = h("input", { checked: isExact });
  const problem = h("p", { class: "problem", role: "alert" });

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    try {
      keysOf(keys.value);
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : "";
      return;
    }
    void go("watch", { keys: keys.value.trim(), exact: exact.checked ? "true" : null });
  }

  return h(
    "form",
    { class: "stack", onsubmit: submit },
    field(t("Keys, one in each line"), keys, t('As users/1, or as ["users", 1]')),
    ticked(t("These keys alone, and not what extends them"), exact),
    problem,
    h("div", {}, h("button", { type: "submit", class: "primary" }, t("Watch"))),
  );
}

/** @param {string} text */
function keysOf(text) {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const keys = lines.map(parseKey).filter((key) => key.length > 0);
  if (keys.length === 0) throw new SyntaxError(t("Name a key: all of them are seen under Streams"));
  return keys;
}

/**
 * Tell of changes until the signal says that it is over; not while the page is hidden.
 * @param {import("./key.js").Key[]} keys
 * @param {boolean} isExact
 * @param {(changes: Change[]) => void} note
 * @param {HTMLElement} state
 * @param {AbortSignal} signal
 */
async function follow(keys, isExact, note, state, signal) {
  const raw = /** @type {any[]} */ (keys); // the client sends tagged parts as they are
  const target = isExact ? { keys: raw } : { prefixes: raw };
  /** @type {Map<string, string | null>} */
  const known = new Map();
  while (!signal.aborted) {
    if (document.hidden) await untilSeen(signal);
    const onState = (/** @type {keyof typeof STATES} */ now) => fill(state, t(STATES[now]));
    const watch = new KeyVal().watch(target, { onState, limit: 1000 });
    const stop = () => {
      if (document.hidden || signal.aborted) watch.stop();
    };
    document.addEventListener("visibilitychange", stop);
    signal.addEventListener("abort", stop);
    try {
      for await (const changes of watch) note(changes.filter((change) => isNews(known, change)));
    } catch (error) {
      fill(state, error instanceof Error ? error.message : String(error));
      return;
    } finally {
      document.removeEventListener("visibilitychange", stop);
      signal.removeEventListener("abort", stop);
    }
    await sleep(0, signal);
  }
}

/**
 * Whether a change says something that is not known; what is there is told again after a pause. Of
 * more keys than a page should hold the first are forgotten, and told twice then.
 * @param {Map<string, string | null>} known
 * @param {Change} change
 */
function isNews(known, { key, versionstamp }) {
  const name = encode(key);
  if (known.get(name) === versionstamp) return false;
  if (versionstamp === null) known.delete(name);
  else known.set(name, versionstamp);
  for (const oldest of known.keys()) {
    if (known.size <= KNOWN) break;
    known.delete(oldest);
  }
  return true;
}

/** @param {Seen} change */
function row({ at, key, value }) {
  const shown = value === null ? h("em", {}, t("deleted")) : h("code", { class: "cut" }, value.slice(0, CUT));
  return h("tr", {}, h("td", {}, when(at)), h("td", {}, chips(JSON.parse(key))), h("td", {}, shown));
}
