// @ts-check
/**
 * The texts of pages: in English where they are used, and in a table for every other language.
 */

/** @typedef {Record<string, string>} Texts by the English text */

const LANGUAGES = ["en", "pt"];
const CHOICE = "buntime.language";

/** @type {Record<string, Texts>} */
const tables = { pt: {} };

/** The language of the pages. */
export const language = chosen();

/**
 * Add texts of a language.
 * @param {string} of such as `pt`
 * @param {Texts} texts
 */
export function addTexts(of, texts) {
  tables[of] = { ...tables[of], ...texts };
}

/**
 * A text in the language of the reader.
 * @param {string} english with `{name}` where values stand
 * @param {Record<string, string | number>} [values]
 */
export function t(english, values = {}) {
  const text = tables[language]?.[english] ?? english;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/**
 * Show pages in another language from now on.
 * @param {string} to
 */
export function choose(to) {
  localStorage.setItem(CHOICE, to);
  location.reload();
}

function chosen() {
  if (typeof document === "undefined") return "en"; // in tests of the logic alone
  const wanted = [localStorage.getItem(CHOICE) ?? "", ...navigator.languages];
  const known = wanted.map((name) => name.slice(0, 2)).find((name) => LANGUAGES.includes(name));
  return known ?? "en";
}
