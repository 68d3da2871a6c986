// @ts-check
/**
 * Entries as files: a line of JSON for each, as the command `kv export` writes them.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { save } from "../.well-known/buntime/ui/files.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { say } from "../.well-known/buntime/ui/notice.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { JsonProblem, membersOf, problemOf } from "./json.js";
import { keyText } from "./key.js";
import { objectText, readPage } from "./store.js";

const PAGE = 1000;
const BATCH = 200;

/**
 * Have the browser keep all below a prefix, with the page in which they are.
 * @param {import("./key.js").Key} prefix
 * @param {HTMLElement} progress tells how far it is
 * @param {AbortSignal} signal
 */
export async function exportBelow(prefix, progress, signal) {
  /** @type {BlobPart[]} */
  const parts = [];
  let written = 0;
  /** @type {string | null} */
  let cursor = null;
  do {
    const selector = { prefix, limit: PAGE, ...(cursor === null ? {} : { cursor }) };
    const page = await readPage(selector, signal);
    parts.push(new Blob([page.entries.map(lineOf).join("")])); // which browsers keep on disk
    written += page.entries.length;
    cursor = page.cursor;
    progress.textContent = t("{count} entries", { count: count(written) });
  } while (cursor !== null);
  save("entries.ndjson", parts, "application/x-ndjson");
  say(t("{count} entries exported", { count: count(written) }));
}

/**
 * @param {import("./store.js").Entry} entry
 */
function lineOf({ key, value, metadata, expiresAt, type }) {
  const members = {
    key: keyText(key),
    value,
    metadata,
    expiresAt: expiresAt === null ? null : String(expiresAt),
    type: type === null ? null : JSON.stringify(type),
  };
  return `${objectText(members)}\n`;
}

/**
 * Store the lines of a file. Raises an `Error` for the first line that is wrong, with its number;
 * what comes before it may be stored then, and storing it again does no harm.
 * @param {File} file
 * @param {AbortSignal} signal
 */
export async function importFile(file, signal) {
  const lines = (await file.text()).split("\n");
  const sets = setsOf(lines, Date.now());
  let stored = 0;
  for (let at = 0; at < sets.length; at += BATCH) {
    const some = sets.slice(at, at + BATCH);
    const text = `{"sets": [${some.map((set) => set.text).join(", ")}]}`;
    const results = await api("keys/set-batch", { method: "POST", text, signal });
    for (const [place, result] of results.entries()) {
      if (!result.ok) throw new Error(lineError(some[place].line, result.error));
    }
    stored += some.length;
  }
  say(t("{count} entries imported", { count: count(stored) }));
}

/**
 * What lines say to set; those whose life is over are left out. Raises an `Error`.
 * @param {string[]} lines
 * @param {number} now milliseconds since 1970
 */
function setsOf(lines, now) {
  /** @type {{line: number, text: string}[]} */
  const sets = [];
  for (const [at, text] of lines.entries()) {
    if (text.trim() === "") continue;
    const problem = problemOf(text);
    if (problem !== null) throw new Error(lineError(at + 1, problem.message));
    const { key, value, metadata = null, expiresAt = null, type = null } = members(text, at + 1);
    if (key === undefined || value === undefined) {
      throw new Error(lineError(at + 1, t("it needs a key and a value")));
    }
    if (expiresAt !== null && expiresAt !== "null" && Number(expiresAt) <= now) continue;
    sets.push({ line: at + 1, text: objectText({ key, value, metadata: given(metadata), expiresAt: given(expiresAt), type: given(type) }) });
  }
  return sets;
}

/**
 * @param {string} text
 * @param {number} line
 */
function members(text, line) {
  try {
    return membersOf(text);
  } catch (error) {
    if (error instanceof JsonProblem) throw new Error(lineError(line, t("it needs a key and a value")));
    throw error;
  }
}

/** @param {string | null} text */
function given(text) {
  return text === "null" ? null : text;
}

/**
 * @param {number} line
 * @param {string} problem
 */
function lineError(line, problem) {
  return t("Line {line} of the file: {problem}", { line, problem });
}
