// @ts-check
/**
 * What goes over the wire: values, keys and options as the API takes them.
 *
 * @import { EntryOptions, Key, MessageOptions, Pattern, Value } from "../client.js"
 */

/** In a key that a commit writes: the versionstamp of the commit. @type {{ $uuidv7: true }} */
export const uuidv7 = Object.freeze({ $uuidv7: true });

/** In a pattern: one part of a key, whatever it is. @type {{ $any: true }} */
export const any = Object.freeze({ $any: true });

/**
 * In a value: the time of the server in milliseconds since 1970.
 *
 * @param {number} [offset] Milliseconds that are added.
 */
export function now(offset = 0) {
  return offset === 0 ? { $now: true } : { $now: true, $offset: offset };
}

/**
 * The JSON of a value as the store takes it.
 *
 * @param {Value} value
 * @returns {string}
 * @throws {TypeError} For what it could not give back as it was.
 */
export function encode(value) {
  const text = JSON.stringify(value, function (name) {
    return encoded(/** @type {any} */ (this)[name], name, Array.isArray(this));
  });
  if (text === undefined) {
    throw new TypeError("undefined cannot be stored: use null");
  }
  return text;
}

/**
 * The value of such a JSON. Whole numbers that a double cannot hold become bigints where the browser
 * shows their digits (all current ones do).
 *
 * @param {string} text
 * @returns {Value}
 */
export function decode(text) {
  // Most texts have neither: those that do are looked at value by value.
  return /"__type"|\d{16}/.test(text) ? JSON.parse(text, decoded) : JSON.parse(text);
}

/** @param {any} value @param {string} name @param {boolean} isElement @returns {any} */
function encoded(value, name, isElement) {
  const place = name === "" ? "" : ` at ${JSON.stringify(name)}`;
  switch (typeof value) {
    case "bigint":
      return { __type: "bigint", value: String(value) };
    case "number":
      if (!Number.isFinite(value)) {
        throw new TypeError(`${value}${place} cannot be stored: numbers are finite`);
      }
      return value;
    case "undefined":
      if (isElement) {
        throw new TypeError(`undefined${place} cannot be stored: use null`);
      }
      return undefined;
    case "function":
    case "symbol":
      throw new TypeError(`A ${typeof value}${place} cannot be stored`);
    case "object":
      return value === null || Array.isArray(value) ? value : encodedObject(value, place);
    default:
      return value;
  }
}

/** @param {any} value @param {string} place */
function encodedObject(value, place) {
  if (value instanceof Uint8Array) {
    return { __type: "uint8array", value: base64(value) };
  }
  if (value instanceof ArrayBuffer) {
    return { __type: "uint8array", value: base64(new Uint8Array(value)) };
  }
  if (value instanceof Date) {
    return isoText(value, place);
  }
  const prototype = Object.getPrototypeOf(value);
  // One of another frame has a prototype of its own, which has none.
  if (prototype === null || Object.getPrototypeOf(prototype) === null) {
    return value;
  }
  const kind = value.constructor?.name ?? "object";
  throw new TypeError(`A ${kind}${place} cannot be stored: make a plain object or an array of it`);
}

/** @param {Date} time @param {string} place */
function isoText(time, place) {
  if (Number.isNaN(time.getTime())) {
    throw new TypeError(`An invalid Date${place} cannot be stored`);
  }
  return time.toISOString();
}

/** @param {string} _name @param {any} value @param {{ source?: string }} [context] */
function decoded(_name, value, context) {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    const digits = context?.source;
    return digits !== undefined && /^-?\d+$/.test(digits) ? BigInt(digits) : value;
  }
  if (value !== null && typeof value === "object" && typeof value.value === "string") {
    if (value.__type === "bigint") {
      return BigInt(value.value);
    }
    if (value.__type === "uint8array") {
      return Uint8Array.from(atob(value.value), (character) => character.charCodeAt(0));
    }
  }
  return value;
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let text = "";
  // As many arguments as any engine takes.
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/** @param {Key | Pattern} key @returns {unknown[]} */
export function wireKey(key) {
  if (!Array.isArray(key)) {
    throw new TypeError(`A key is an array of parts, such as ["users", 1], not ${typeof key}`);
  }
  // Microseconds, as other clients write them: such texts sort by time.
  return key.map((part) =>
    part instanceof Date ? isoText(part, " in a key").replace("Z", "000Z") : part);
}

/** @param {Record<string, any>} options @returns {Record<string, unknown>} */
export function wireSelector(options) {
  const wired = { ...options };
  for (const name of ["prefix", "startsWith", "pattern", "start", "end"]) {
    if (wired[name] !== undefined) {
      wired[name] = wireKey(wired[name]);
    }
  }
  if (wired.prefixes !== undefined) {
    wired.prefixes = wired.prefixes.map(wireKey);
  }
  return wired;
}

/** @param {EntryOptions} [options] */
export function wireEntry({ expiresAt, type, ...options } = {}) {
  const time = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  return { ...options, expiresAt: time, entryType: type };
}

/** @param {MessageOptions} options */
export function wireMessage({ keysIfUndelivered, ...options }) {
  return { ...options, keysIfUndelivered: keysIfUndelivered?.map(wireKey) };
}
