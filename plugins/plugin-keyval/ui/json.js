// @ts-check
/**
 * JSON as text: where it is wrong, how it reads well, what its parts are. Numbers stay as they
 * are written, since a browser would round those of more than 15 digits.
 */

/** What is wrong with a text, and where. */
export class JsonProblem extends Error {
  /**
   * @param {string} text
   * @param {number} at the place of the first character that is wrong
   * @param {string} wanted what would be right there
   */
  constructor(text, at, wanted) {
    const before = text.slice(0, at).split("\n");
    const line = before.length;
    const column = before[before.length - 1].length + 1;
    super(`Line ${line}, column ${column}: ${wanted}`);
    this.name = "JsonProblem";
    this.at = at;
    this.line = line;
    this.column = column;
  }
}

/** @typedef {{kind: string, start: number, end: number}} Token `kind` is a sign, or string, number, word, end */

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
const DEEPEST = 500;

/**
 * The token that begins at a place, spaces aside.
 * @param {string} text
 * @param {number} from
 * @returns {Token}
 */
function next(text, from) {
  SPACE.lastIndex = from;
  SPACE.test(text);
  const start = SPACE.lastIndex;
  if (start >= text.length) return { kind: "end", start, end: start };
  const sign = text[start];
  if ("{}[],:".includes(sign)) return { kind: sign, start, end: start + 1 };
  for (const [kind, form] of /** @type {const} */ ([
    ["string", STRING],
    ["number", NUMBER],
    ["word", WORD],
  ])) {
    form.lastIndex = start;
    if (form.test(text)) return { kind, start, end: form.lastIndex };
  }
  if (sign === '"') throw new JsonProblem(text, start, "this text does not end, or has a character that has to be escaped");
  throw new JsonProblem(text, start, `${JSON.stringify(sign)} begins no value`);
}

/**
 * Go through one value, and tell of what is in it.
 * @param {string} text
 * @param {number} from
 * @param {number} depth
 * @param {(token: Token) => void} tell of every token, in order
 * @returns {number} where it ends
 */
function walk(text, from, depth, tell) {
  const first = next(text, from);
  if (first.kind === "string" || first.kind === "number" || first.kind === "word") {
    tell(first);
    return first.end;
  }
  if (first.kind !== "{" && first.kind !== "[") {
    throw new JsonProblem(text, first.start, first.kind === "end" ? "a value is missing" : "here should be a value");
  }
  if (depth >= DEEPEST) throw new JsonProblem(text, first.start, "too deep");
  const close = first.kind === "{" ? "}" : "]";
  tell(first);
  let place = first.end;
  let token = next(text, place);
  if (token.kind === close) {
    tell(token);
    return token.end;
  }
  for (;;) {
    if (close === "}") {
      token = next(text, place);
      if (token.kind !== "string") throw new JsonProblem(text, token.start, "here should be a name in double quotes");
      tell(token);
      token = next(text, token.end);
      if (token.kind !== ":") throw new JsonProblem(text, token.start, "here should be a colon");
      tell(token);
      place = token.end;
    }
    place = walk(text, place, depth + 1, tell);
    token = next(text, place);
    if (token.kind !== "," && token.kind !== close) {
      throw new JsonProblem(text, token.start, `here should be a comma or ${close}`);
    }
    tell(token);
    place = token.end;
    if (token.kind === close) return place;
  }
}

/**
 * All tokens of a text that is one value. Raises `JsonProblem`.
 * @param {string} text
 */
function tokensOf(text) {
  /** @type {Token[]} */
  const found = [];
  const end = walk(text, 0, 0, (token) => found.push(token));
  const rest = next(text, end);
  if (rest.kind !== "end") throw new JsonProblem(text, rest.start, "here it should end");
  return found;
}

/**
 * The tokens of a text, as far as it is right.
 * @param {string} text
 */
export function beginningOf(text) {
  /** @type {Token[]} */
  const found = [];
  try {
    walk(text, 0, 0, (token) => found.push(token));
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error; // what is wrong is said elsewhere
  }
  return found;
}

/**
 * What is wrong with a text; null for nothing.
 * @param {string} text
 */
export function problemOf(text) {
  try {
    tokensOf(text);
    return null;
  } catch (error) {
    if (error instanceof JsonProblem) return error;
    throw error;
  }
}

/**
 * The text with a member or an element on each line. Raises `JsonProblem`.
 * @param {string} text
 */
export function pretty(text) {
  let depth = 0;
  let before = "";
  const parts = tokensOf(text).map((token) => {
    const { kind, start, end } = token;
    const said = text.slice(start, end);
    const isClose = kind === "}" || kind === "]";
    if (isClose) depth -= 1;
    const isEmpty = isClose && (before === "{" || before === "[");
    const breaks = ((isClose && !isEmpty) || before === "," || (!isClose && (before === "{" || before === "[")));
    if (kind === "{" || kind === "[") depth += 1;
    const indent = kind === "{" || kind === "[" ? depth - 1 : depth;
    const gap = breaks ? `\n${"  ".repeat(indent)}` : before === ":" ? " " : "";
    before = kind;
    return gap + said;
  });
  return parts.join("");
}

/**
 * The members of an object, each as it is written. Raises `JsonProblem`.
 * @param {string} text
 * @returns {Record<string, string>}
 */
export function membersOf(text) {
  /** @type {Record<string, string>} */
  const found = Object.create(null);
  for (const [name, value] of pieces(text, "{")) found[JSON.parse(name)] = value;
  return found;
}

/**
 * The elements of an array, each as it is written. Raises `JsonProblem`.
 * @param {string} text
 */
export function elementsOf(text) {
  return pieces(text, "[").map(([, value]) => value);
}

/**
 * @param {string} text
 * @param {"{" | "["} kind
 */
function pieces(text, kind) {
  const open = next(text, 0);
  if (open.kind !== kind) throw new JsonProblem(text, open.start, `here should be ${kind}`);
  /** @type {[string, string][]} */
  const found = [];
  let place = open.end;
  let token = next(text, place);
  if (token.kind === "}" || token.kind === "]") return found;
  for (;;) {
    let name = "";
    if (kind === "{") {
      token = next(text, place);
      name = text.slice(token.start, token.end);
      place = next(text, token.end).end; // the colon
    }
    const start = next(text, place).start;
    place = walk(text, start, 0, () => {});
    found.push([name, text.slice(start, place)]);
    token = next(text, place);
    place = token.end;
    if (token.kind !== ",") return found;
  }
}
