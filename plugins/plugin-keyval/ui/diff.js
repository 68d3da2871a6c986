// @ts-check
/**
 * Which lines of two texts differ.
 */

/** @typedef {{kind: "same" | "gone" | "new", text: string}} Line */

const MOST_LINES = 2000;

/**
 * The lines of both, in order: those of the first alone are gone, those of the second alone new.
 * @param {string} first
 * @param {string} second
 * @returns {Line[]}
 */
export function diffLines(first, second) {
  const [before, after] = [first.split("\n"), second.split("\n")];
  if (before.length > MOST_LINES || after.length > MOST_LINES) {
    return [...all("gone", before), ...all("new", after)];
  }
  const common = lengths(before, after);
  /** @type {Line[]} */
  const lines = [];
  let [i, j] = [0, 0];
  while (i < before.length && j < after.length) {
    if (before[i] === after[j]) {
      lines.push({ kind: "same", text: before[i] });
      i += 1;
      j += 1;
    } else if (common[i + 1][j] >= common[i][j + 1]) {
      lines.push({ kind: "gone", text: before[i] });
      i += 1;
    } else {
      lines.push({ kind: "new", text: after[j] });
      j += 1;
    }
  }
  return [...lines, ...all("gone", before.slice(i)), ...all("new", after.slice(j))];
}

/**
 * @param {"gone" | "new"} kind
 * @param {string[]} texts
 * @returns {Line[]}
 */
function all(kind, texts) {
  return texts.map((text) => ({ kind, text }));
}

/**
 * How many lines the rests from each place on have in common, in order.
 * @param {string[]} before
 * @param {string[]} after
 */
function lengths(before, after) {
  const table = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      table[i][j] =
        before[i] === after[j]
          ? table[i + 1][j + 1] + 1
          : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  return table;
}
