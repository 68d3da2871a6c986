// @ts-check
/**
 * Entries as the API has them. Values stay the text that they are, since a browser would round
 * large numbers.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { elementsOf, membersOf } from "./json.js";
import { keyText } from "./key.js";

/** @typedef {import("./key.js").Key} Key */

/**
 * @typedef {object} Entry
 * @property {Key} key
 * @property {string} value JSON
 * @property {string} versionstamp
 * @property {string | null} metadata JSON
 * @property {number | null} expiresAt milliseconds since 1970, as the other times
 * @property {number | null} createdAt
 * @property {number | null} updatedAt
 * @property {number | null} revision
 * @property {string | null} type
 */

/** @typedef {{entries: Entry[], cursor: string | null}} Page */

/**
 * A page of entries.
 * @param {Record<string, unknown>} selector of `keys/paginate`
 * @param {AbortSignal} [signal]
 * @returns {Promise<Page>}
 */
export async function readPage(selector, signal) {
  const json = { details: true, ...selector };
  const text = await api("keys/paginate", { method: "POST", json, raw: true, signal });
  const { entries, cursor } = membersOf(text);
  return { entries: elementsOf(entries).map(entryOf), cursor: JSON.parse(cursor) };
}

/**
 * The entry of a key; null for none.
 * @param {Key} key
 * @param {AbortSignal} [signal]
 * @returns {Promise<Entry | null>}
 */
export async function readEntry(key, signal) {
  const json = { keys: [key], details: true };
  const text = await api("keys/batch", { method: "POST", json, raw: true, signal });
  const entry = entryOf(elementsOf(text)[0]);
  return entry.versionstamp === null ? null : entry;
}

/**
 * @param {string} text
 * @returns {Entry}
 */
function entryOf(text) {
  const raw = membersOf(text);
  const read = (/** @type {string} */ name) => (name in raw ? JSON.parse(raw[name]) : null);
  return {
    key: read("key"),
    value: raw.value ?? "null",
    versionstamp: read("versionstamp"),
    metadata: raw.metadata === undefined || raw.metadata === "null" ? null : raw.metadata,
    expiresAt: read("expiresAt"),
    createdAt: read("createdAt"),
    updatedAt: read("updatedAt"),
    revision: read("revision"),
    type: read("type"),
  };
}

/**
 * @typedef {object} Draft what is to be written
 * @property {Key} key
 * @property {string} value JSON
 * @property {string | null} metadata JSON
 * @property {string} [expiresIn] such as `30m`
 * @property {number | null} [expiresAt]
 * @property {string | null} [type]
 */

/**
 * Write an entry, if its key has this versionstamp, or is missing where that is null.
 * @param {Draft} draft
 * @param {string | null} versionstamp
 * @returns {Promise<boolean>} whether it was so
 */
export async function writeEntry(draft, versionstamp) {
  const check = JSON.stringify({ key: draft.key, versionstamp });
  const mutation = objectText({
    type: '"set"',
    key: keyText(draft.key),
    value: draft.value,
    metadata: draft.metadata,
    entryType: draft.type ? JSON.stringify(draft.type) : null,
    expiresIn: draft.expiresIn ? JSON.stringify(draft.expiresIn) : null,
    expiresAt: draft.expiresIn || draft.expiresAt == null ? null : String(draft.expiresAt),
  });
  const text = `{"checks": [${check}], "mutations": [${mutation}]}`;
  return (await api("atomic", { method: "POST", text })).ok;
}

/**
 * The text of an object whose members are texts of JSON; those that are null are left out.
 * @param {Record<string, string | null>} members
 */
export function objectText(members) {
  const said = Object.entries(members).filter(([, text]) => text !== null);
  return `{${said.map(([name, text]) => `${JSON.stringify(name)}: ${text}`).join(", ")}}`;
}

/**
 * Delete exactly these keys.
 * @param {Key[]} keys up to 1000
 * @returns {Promise<number>} how many there were
 */
export async function deleteKeys(keys) {
  const json = { keys, exact: true };
  return (await api("keys/delete-batch", { method: "POST", json })).deletedCount;
}

/**
 * Delete an entry, if it is still this one.
 * @param {Entry} entry
 * @returns {Promise<boolean>}
 */
export async function deleteEntry(entry) {
  const { key, versionstamp } = entry;
  const json = { checks: [{ key, versionstamp }], mutations: [{ type: "delete", key }] };
  return (await api("atomic", { method: "POST", json })).ok;
}

/**
 * How many entries extend a prefix; with `limit` no more than so many are counted.
 * @param {Key} prefix
 * @param {{limit?: number, signal?: AbortSignal}} [how]
 * @returns {Promise<number>}
 */
export async function countBelow(prefix, { limit, signal } = {}) {
  const json = { prefix, ...(limit === undefined ? {} : { limit }) };
  return (await api("keys/count", { method: "POST", json, signal })).count;
}

/**
 * Delete a key and all that extend it.
 * @param {Key} prefix
 * @returns {Promise<number>}
 */
export async function deleteBelow(prefix) {
  const query = { prefix: keyText(prefix) };
  return (await api("keys", { method: "DELETE", query })).deletedCount;
}
