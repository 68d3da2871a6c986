// @ts-check
/**
 * Who did what: the lines that the key-value store keeps, the newest first.
 */
import { ApiError, HOST, ask, hostApi } from "./api.js";
import { fill, h } from "./dom.js";
import { when } from "./format.js";
import { attempt } from "./notice.js";
import { table } from "./table.js";
import { t } from "./texts.js";

const PAGE = 100;

/**
 * @typedef {object} Line
 * @property {string} who
 * @property {string} method
 * @property {string} path
 * @property {number} status
 * @property {string} peer
 * @property {string} [operation]
 * @property {string} [reads]
 * @property {string} [writes]
 */

/** @typedef {{key: string[], value: Line}} Kept */

/** @param {import("./shell.js").Opened} opened */
export async function openTrail({ signal }) {
  /** @type {{name: string, base: string | null}[]} */
  const plugins = await hostApi("plugins/loaded", { signal });
  const base = plugins.find(({ name }) => name === "@buntime/plugin-keyval")?.base;
  if (!base) return hint();
  const url = new URL(`.${base}/api/keys/paginate`, HOST);
  /** @type {Kept[]} */
  const lines = [];
  /** @type {string | null} */
  let cursor = null;
  const more = async () => {
    const json = { prefix: ["$buntime", "audit"], reverse: true, limit: PAGE, cursor };
    const page = await ask(url, { method: "POST", json, signal });
    lines.push(...page.entries);
    cursor = page.cursor;
  };
  try {
    await more();
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return h("p", {}, t("Only who may do everything with the store reads the trail."));
    throw error;
  }
  if (lines.length === 0) return hint();
  const place = h("div", { class: "stack" });
  const draw = () => {
    const next = h("button", { type: "button", onclick: () => void attempt(async () => { await more(); draw(); }) }, t("More"));
    fill(place, shown(lines), cursor === null ? null : next);
  };
  draw();
  return place;
}

function hint() {
  return h("p", {}, t("Nothing is kept. The options auth.audit and auditKeep of plugin-keyval keep a trail."));
}

/** @param {Kept[]} lines */
function shown(lines) {
  return table(
    t("Trail"),
    [
      { title: t("Time"), cell: ({ key }) => when(timeOf(key[key.length - 1])) },
      { title: t("Who"), cell: ({ value }) => value.who },
      { title: t("Request"), heads: true, cell: ({ value }) => h("code", {}, `${value.method} ${value.path}`) },
      { title: t("Answer"), numeric: true, cell: ({ value }) => value.status },
      { title: t("Operation"), cell: ({ value }) => value.operation ?? "–" },
      { title: t("Keys"), cell: ({ value }) => value.writes || value.reads || "–" },
      { title: t("From"), cell: ({ value }) => value.peer },
    ],
    lines,
  );
}

/**
 * The time in an id of version 7, in milliseconds since 1970.
 * @param {string} uuid
 */
function timeOf(uuid) {
  return Number.parseInt(uuid.replaceAll("-", "").slice(0, 12), 16);
}
