// @ts-check
/**
 * Keys as people write and read them. A part is what the API has: a text, a number, a boolean, or
 * an object that says that it is a bigint or bytes.
 */
import { t } from "../.well-known/buntime/ui/texts.js";

/** @typedef {{__type: "bigint" | "uint8array", value: string}} Tagged */
/** @typedef {string | number | boolean | Tagged} Part */
/** @typedef {Part[]} Key */

const INTEGER = /^-?(?:0|[1-9]\d{0,15})$/;
const MOST_PARTS = 20;

/**
 * A key of what somebody typed: a JSON array, or parts with slashes between them, of which those
 * that look like integers are numbers. Raises an `Error` that says what is wrong.
 * @param {string} text
 * @returns {Key} empty for nothing at all
 */
export function parseKey(text) {
  const trimmed = text.trim();
  const key = trimmed.startsWith("[") ? ofJson(trimmed) : ofPath(trimmed);
  if (key.length > MOST_PARTS) throw new Error(t("A key has 20 parts at the most"));
  return key;
}

/**
 * @param {string} text
 * @returns {Key}
 */
function ofJson(text) {
  /** @type {unknown} */
  let raw;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new Error(t('This is no JSON array, such as ["users", 1]'));
  }
  return /** @type {unknown[]} */ (raw).map((part, place) => checked(part, place, text));
}

/**
 * @param {unknown} part
 * @param {number} place
 * @param {string} text where it was written
 * @returns {Part}
 */
function checked(part, place, text) {
  if (typeof part === "string" || typeof part === "boolean") return part;
  if (typeof part === "number" && Number.isFinite(part)) {
    if (!Number.isSafeInteger(part) && isRounded(part, text)) {
      throw new Error(t("Part {place}: a number of this size is not exact; take a bigint", { place: place + 1 }));
    }
    return part;
  }
  if (isTagged(part)) return part;
  throw new Error(t("Part {place} is no text, number, bigint, boolean or bytes", { place: place + 1 }));
}

/**
 * Whether a number stands for another integer, which was written. Large numbers may be parts of keys,
 * and their addresses have them as they are.
 * @param {number} part
 * @param {string} text
 */
function isRounded(part, text) {
  const outside = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const written = outside.match(/-?\d[\d.eE+-]*/g) ?? [];
  return written.some(
    (digits) =>
      /^-?\d+$/.test(digits) &&
      Number(digits) === part &&
      digits !== String(part) && // as addresses have it: the shortest text of the number
      BigInt(digits) !== BigInt(part),
  );
}

/**
 * @param {unknown} part
 * @returns {part is Tagged}
 */
function isTagged(part) {
  if (part === null || typeof part !== "object") return false;
  const { __type, value } = /** @type {Record<string, unknown>} */ (part);
  if (typeof value !== "string" || Object.keys(part).length !== 2) return false;
  if (__type === "bigint") return /^-?\d+$/.test(value);
  return __type === "uint8array" && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
}

/**
 * @param {string} text
 * @returns {Key}
 */
function ofPath(text) {
  if (text === "") return [];
  return text.split("/").map((segment) => {
    if (INTEGER.test(segment) && Number.isSafeInteger(Number(segment))) return Number(segment);
    try {
      return decodeURIComponent(segment);
    } catch {
      throw new Error(t("{segment} is no percent-encoded text", { segment }));
    }
  });
}

/**
 * One part of what somebody chose and typed. Raises an `Error`.
 * @param {string} type as `typeOf` says
 * @param {string} text
 * @returns {Part}
 */
export function makePart(type, text) {
  if (type === "string") return text;
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
  if (type === "number" && text.trim() !== "") return checked(Number(text), 0, text);
  const tagged = { __type: type === "bytes" ? "uint8array" : type, value: text.trim() };
  if (isTagged(tagged)) return tagged;
  throw new Error(t("{text} is no {type}", { text, type }));
}

/**
 * What kind of part it is.
 * @param {Part} part
 */
export function typeOf(part) {
  if (typeof part !== "object") return typeof part;
  return part.__type === "bigint" ? "bigint" : "bytes";
}

/**
 * What a part says, without its type.
 * @param {Part} part
 */
export function textOf(part) {
  return typeof part === "object" ? part.value : String(part);
}

/**
 * The key as a JSON array, which stands for exactly this key.
 * @param {Key} key
 */
export function keyText(key) {
  return visible(JSON.stringify(key));
}

/**
 * The same JSON, with an escape for each character that shows nothing or turns others around: a key
 * that is read is the key that is there.
 * @param {string} json
 */
export function visible(json) {
  return json.replace(/[\u007f-\u009f\p{Cf}\u2028\u2029]/gu, (character) =>
    character
      .split("") // into units of UTF-16, as JSON escapes them
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

/**
 * The path of a key, where a path can say it; else null.
 * @param {Key} key
 */
export function pathOf(key) {
  const segments = key.map((part) => {
    if (typeof part === "number" && INTEGER.test(String(part))) return String(part);
    if (typeof part !== "string" || part === "" || INTEGER.test(part)) return null;
    return encodeURIComponent(part);
  });
  return segments.includes(null) ? null : segments.join("/");
}

/**
 * Whether a key is a prefix or extends it.
 * @param {Key} key
 * @param {Key} prefix
 */
export function isBelow(key, prefix) {
  return keyText(key.slice(0, prefix.length)) === keyText(prefix);
}

/**
 * The least part that comes behind one, and behind all that extend it; null if there is none.
 * @param {Part} part
 * @returns {Part | null}
 */
export function partBehind(part) {
  if (typeof part === "string") return `${part}\0`;
  if (typeof part === "boolean") return part ? null : true;
  if (typeof part === "number") return numberBehind(part);
  if (part.__type === "bigint") return { __type: "bigint", value: String(BigInt(part.value) + 1n) };
  return { __type: "uint8array", value: btoa(`${atob(part.value)}\0`) };
}

/** @param {number} value */
function numberBehind(value) {
  if (value === 0) return Number.MIN_VALUE;
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  bits.setBigInt64(0, bits.getBigInt64(0) + (value > 0 ? 1n : -1n));
  const behind = bits.getFloat64(0);
  return Number.isFinite(behind) ? behind + 0 : null; // no minus zero
}
