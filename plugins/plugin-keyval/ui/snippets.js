// @ts-check
/**
 * The same as a command or a program would do it.
 */
import { keyText, pathOf } from "./key.js";

/** @typedef {import("./key.js").Key} Key */

/**
 * A command of a shell.
 * @param {string} api the address of the API, without a slash at its end
 * @param {Key} key
 */
export function curlOf(api, key) {
  const path = pathOf(key);
  if (path !== null) return `curl -s ${quoted(`${api}/keys/${path}`)}`;
  return `curl -s ${quoted(`${api}/keys/batch`)} -d ${quoted(`{"keys": [${keyText(key)}]}`)}`;
}

/**
 * A commit as a command of a shell.
 * @param {string} url of the route
 * @param {string} text what is sent, as JSON
 */
export function curlOfCommit(url, text) {
  return `curl -s ${quoted(url)} -d ${quoted(text)}`;
}

/** @param {string} text */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * A program in Python.
 * @param {string} api
 * @param {Key} key
 */
export function pythonOf(api, key) {
  const needsBigInt = key.some((part) => typeof part === "object" && part.__type === "bigint");
  return [
    `from buntime_keyval import ${needsBigInt ? "BigInt, Kv" : "Kv"}`,
    "",
    `with Kv(${pythonText(api)}) as kv:`,
    `    entry = kv.get([${key.map(pythonPart).join(", ")}])`,
  ].join("\n");
}

/** @param {import("./key.js").Part} part */
function pythonPart(part) {
  if (typeof part === "string") return pythonText(part);
  if (typeof part === "boolean") return part ? "True" : "False";
  if (typeof part === "number") return String(part);
  if (part.__type === "bigint") return `BigInt(${part.value})`;
  const bytes = Array.from(atob(part.value), (sign) => sign.charCodeAt(0).toString(16).padStart(2, "0"));
  return `bytes.fromhex("${bytes.join("")}")`;
}

/** @param {string} text */
function pythonText(text) {
  // Python reads the escapes of JSON but for halves of a pair, which JSON.stringify leaves joined.
  return JSON.stringify(text);
}

/**
 * A program in TypeScript, for a page of this host.
 * @param {string} client the address of the client module
 * @param {Key} key
 */
export function typescriptOf(client, key) {
  return [
    `import { KeyVal } from ${JSON.stringify(client)};`,
    "",
    "const kv = new KeyVal();",
    `const entry = await kv.get([${key.map(scriptPart).join(", ")}]);`,
  ].join("\n");
}

/** @param {import("./key.js").Part} part */
function scriptPart(part) {
  if (typeof part !== "object") return JSON.stringify(part);
  if (part.__type === "bigint") return `${part.value}n`;
  return `Uint8Array.from(atob(${JSON.stringify(part.value)}), (sign) => sign.charCodeAt(0))`;
}
