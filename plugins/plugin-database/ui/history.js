// @ts-check
/**
 * Statements that were run, kept by the browser alone.
 */
import { h } from "../.well-known/buntime/ui/dom.js";
import { t } from "../.well-known/buntime/ui/texts.js";

/** @typedef {{sql: string, args: string}} Statement */

const PLACE = "buntime.database.history";
const MOST = 50;

export class History {
  /** @type {Statement[]} the newest first */
  #statements = stored();

  /** @param {Statement} statement */
  add(statement) {
    const others = this.#statements.filter(({ sql, args }) => sql !== statement.sql || args !== statement.args);
    this.#statements = [statement, ...others].slice(0, MOST);
    keep(this.#statements);
  }

  /**
   * A list of them, to take one again.
   * @param {(statement: Statement) => void} take
   */
  shown(take) {
    if (this.#statements.length === 0) return null;
    const forget = () => {
      this.#statements = [];
      keep([]);
      details.remove();
    };
    const details = h(
      "details",
      {},
      h("summary", {}, t("History")),
      h(
        "ul",
        { class: "history" },
        this.#statements.map((statement) =>
          h(
            "li",
            {},
            h("button", { type: "button", class: "plain", onclick: () => take(statement) }, h("code", { class: "cut" }, statement.sql)),
          ),
        ),
      ),
      h("button", { type: "button", onclick: forget }, t("Forget all")),
    );
    return details;
  }
}

/** @returns {Statement[]} */
function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(found) ? found.filter((it) => typeof it?.sql === "string") : [];
  } catch {
    return [];
  }
}

/** @param {Statement[]} statements */
function keep(statements) {
  try {
    localStorage.setItem(PLACE, JSON.stringify(statements));
  } catch {
    // A browser that is full, or keeps nothing for pages: the list is then for this page alone.
  }
}
