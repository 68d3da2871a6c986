// @ts-check
/**
 * Values of SQL as the API has them: JSON, but for bytes and integers that no double holds.
 */

/** @typedef {null | number | string | {$blob: string} | {$int: string}} Value */
/** @typedef {"null" | "text" | "number" | "blob"} Kind */
/** @typedef {Record<string, Value>} Row */

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} type as it is declared
 * @property {boolean} nullable
 * @property {boolean} pk
 * @property {number} pkIndex
 * @property {Value} default
 */

/** How a row of a table without a primary key is named. */
const ROW_ID = "$rowid";

/**
 * @param {Value} value
 * @returns {value is {$blob: string}}
 */
export function isBlob(value) {
  return value !== null && typeof value === "object" && "$blob" in value;
}

/**
 * The kind of a value.
 * @param {Value} value
 * @param {string} declared the type of its column
 * @returns {Kind}
 */
export function kindOf(value, declared) {
  if (value === null) return "null";
  if (isBlob(value)) return "blob";
  if (typeof value === "number" || typeof value === "object") return "number";
  return isLongInteger(value, declared) ? "number" : "text";
}

/**
 * What somebody has written, as a value.
 * @param {Kind} kind
 * @param {string} text
 * @returns {Value} raises `SyntaxError` with what would be right
 */
export function read(kind, text) {
  if (kind === "null") return null;
  if (kind === "text") return text;
  if (kind === "blob") return { $blob: text };
  const written = text.trim();
  if (/^[+-]?\d+$/.test(written)) {
    return Number.isSafeInteger(Number(written)) ? Number(written) : { $int: written };
  }
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(written)) {
    throw new SyntaxError("A number is written as 12, -0.5 or 1e6");
  }
  return Number(written);
}

/**
 * A value as an argument: one that an answer had may need to be told more of.
 * @param {Value} value
 * @param {string} declared
 * @returns {Value}
 */
function asArgument(value, declared) {
  return typeof value === "string" && isLongInteger(value, declared) ? { $int: value } : value;
}

/**
 * What names a row, for the API: its key, and the values that were seen of what is to change.
 * @param {Row} row
 * @param {Column[]} columns
 * @param {string[]} [seen]
 * @returns {Row | null} null where nothing names it
 */
export function nameOf(row, columns, seen = []) {
  /** @type {Row} */
  const named = {};
  for (const { name, type, pk } of columns) {
    if (pk || seen.includes(name)) named[name] = asArgument(row[name], type);
  }
  if (ROW_ID in row) named[ROW_ID] = asArgument(row[ROW_ID], "INTEGER");
  const isNamed = ROW_ID in row || columns.some(({ pk }) => pk);
  return isNamed ? named : null;
}

/**
 * Bytes of their base64.
 * @param {string} base64
 */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/**
 * Base64 of bytes.
 * @param {Uint8Array} bytes
 */
export function base64Of(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/**
 * How many bytes a base64 stands for.
 * @param {string} base64
 */
export function sizeOf(base64) {
  return (base64.length / 4) * 3 - (base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0);
}

/**
 * Bytes as people look at them: sixteen in a line, with the characters beside.
 * @param {Uint8Array} bytes
 */
export function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "."));
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text.join("")}`);
  }
  return lines.join("\n");
}

/**
 * Rows as CSV (RFC 4180): NULL is nothing, an empty text is two quotes, bytes are base64.
 * @param {string[]} names
 * @param {Row[]} rows
 */
export function toCsv(names, rows) {
  const lines = [names.map(csvText), ...rows.map((row) => names.map((name) => csvValue(row[name])))];
  return lines.map((cells) => `${cells.join(",")}\r\n`).join("");
}

/** @param {Value} value */
function csvValue(value) {
  if (value === null) return "";
  if (isBlob(value)) return value.$blob;
  return typeof value === "string" ? csvText(value) : String(value);
}

/** @param {string} text */
function csvText(text) {
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Whether a text of an answer is an integer that no double holds.
 * @param {string} text
 * @param {string} declared
 */
function isLongInteger(text, declared) {
  return /int/i.test(declared) && /^-?\d{16,19}$/.test(text) && !Number.isSafeInteger(Number(text));
}
