// @ts-check
/**
 * The rows of a table: sorted, filtered and paged by the server, edited as drafts that are written
 * together.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { ask } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { guardDraft } from "../.well-known/buntime/ui/drafts.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { go } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { editRow, editValue, shownValue } from "./cells.js";
import { filterBar, readFilter } from "./filters.js";
import { queryOf, select } from "./targets.js";
import { nameOf } from "./values.js";

/** @typedef {import("./values.js").Column} Column */
/** @typedef {import("./values.js").Row} Row */
/** @typedef {import("./values.js").Value} Value */

const SIZES = ["25", "50", "100", "250"];

/**
 * @typedef {object} Place
 * @property {string} path of the table in the API
 * @property {string} table
 * @property {Column[]} columns
 * @property {URLSearchParams} query
 * @property {import("./targets.js").Target} target
 * @property {AbortSignal} signal
 * @property {boolean} mayWrite
 */

/** @param {Place} place */
export async function openRows(place) {
  const { path, query, target, signal } = place;
  const size = SIZES.includes(query.get("size") ?? "") ? Number(query.get("size")) : 50;
  const offset = Math.max(0, Number(query.get("offset")) || 0);
  const started = performance.now();
  const page = await api(`${path}/rows`, {
    query: {
      ...queryOf(target),
      limit: size,
      offset,
      orderBy: query.get("sort"),
      dir: query.get("sort") ? (query.get("dir") ?? "asc") : null,
      filter: query.get("filter"),
      rowid: true,
    },
    signal,
  });
  const took = Math.round(performance.now() - started);
  return new Grid(place, page, { size, offset, took }).element;
}

/** A page of rows with what somebody has changed of it. */
class Grid {
  /** @type {Map<number, Row>} */
  #changes = new Map();
  /** @type {Set<number>} */
  #chosen = new Set();
  #bar = h("div", { class: "toolbar" });
  #body = h("tbody", {});

  /**
   * @param {Place} place
   * @param {{rows: Row[], total: number}} page
   * @param {{size: number, offset: number, took: number}} shown
   */
  constructor(place, page, { size, offset, took }) {
    this.place = place;
    this.rows = page.rows;
    const { columns, query, mayWrite } = place;
    this.mayEdit = mayWrite && page.rows.every((row) => nameOf(row, columns) !== null);
    const filters = filterBar(columns, readFilter(query.get("filter")), (filter) =>
      void this.#leave({ filter, offset: null }),
    );
    const head = h(
      "tr",
      {},
      this.mayEdit ? h("th", { scope: "col" }, h("span", { class: "unseen" }, t("Choose"))) : null,
      columns.map((column) => this.#header(column)),
    );
    this.element = h(
      "div",
      { class: "stack" },
      filters,
      this.#bar,
      h(
        "div",
        { class: "scroller", role: "region", "aria-label": t("Rows"), tabindex: 0 },
        h("table", { class: "grid" }, h("thead", {}, head), this.#body),
      ),
      this.#pager(page.total, size, offset, took),
    );
    const { signal } = place;
    guardDraft({ holds: () => this.#changes.size > 0, forget: () => this.#changes.clear() }, signal);
    // It stays in sight until the next view is there, which knows nothing of what is edited here.
    signal.addEventListener("abort", () => {
      this.element.inert = true;
    });
    this.#draw();
  }

  #draw() {
    const { columns } = this.place;
    const rows = this.rows.map((row, number) => this.#row(row, number));
    const width = columns.length + (this.mayEdit ? 1 : 0);
    fill(this.#body, rows.length ? rows : h("tr", {}, h("td", { colspan: width, class: "empty" }, t("No rows"))));
    this.#drawBar();
  }

  #drawBar() {
    if (!this.place.mayWrite) {
      fill(this.#bar, h("span", { class: "hint" }, t("Read only")));
      return;
    }
    const button = (/** @type {string} */ text, /** @type {() => void} */ onclick, kind = "", disabled = false) =>
      h("button", { type: "button", class: kind, onclick, disabled }, text);
    const [changed, chosen] = [this.#changes.size, this.#chosen.size];
    fill(
      this.#bar,
      button(t("New row"), () => void this.#insert()),
      this.mayEdit
        ? [
            button(t("Save ({count})", { count: changed }), () => void this.#save(), "primary", changed === 0),
            button(t("Discard"), () => this.#discard(), "", changed === 0),
            button(t("Delete ({count})", { count: chosen }), () => void this.#remove(), "danger", chosen === 0),
          ]
        : h("span", { class: "hint" }, t("Rows without a key cannot be changed here")),
    );
  }

  /** @param {Column} column */
  #header({ name }) {
    const { query } = this.place;
    const isSorted = query.get("sort") === name;
    const direction = isSorted ? (query.get("dir") ?? "asc") : null;
    const next = direction === null ? "asc" : direction === "asc" ? "desc" : null;
    const sort = () => void this.#leave({ sort: next && name, dir: next, offset: null });
    const order = { asc: "ascending", desc: "descending" };
    return h(
      "th",
      { scope: "col", "aria-sort": direction ? order[/** @type {"asc" | "desc"} */ (direction)] : null },
      h("button", { type: "button", class: "plain", onclick: sort }, name, { asc: " ↑", desc: " ↓" }[direction ?? ""]),
    );
  }

  /**
   * @param {Row} row
   * @param {number} number
   */
  #row(row, number) {
    const changed = this.#changes.get(number) ?? {};
    const cells = this.place.columns.map((column) => {
      const isDraft = column.name in changed;
      const value = isDraft ? changed[column.name] : row[column.name];
      return h("td", { class: isDraft ? "draft" : null }, this.#cell(row, number, column, value));
    });
    const box = h("input", {
      type: "checkbox",
      checked: this.#chosen.has(number),
      "aria-label": t("Choose row {number}", { number: number + 1 }),
      onchange: () => {
        if (box.checked) this.#chosen.add(number);
        else this.#chosen.delete(number);
        this.#drawBar();
      },
    });
    return h("tr", {}, this.mayEdit ? h("td", {}, box) : null, cells);
  }

  /**
   * @param {Row} row
   * @param {number} number
   * @param {Column} column
   * @param {Value} value
   */
  #cell(row, number, column, value) {
    const edit = this.mayEdit ? () => void this.#edit(row, number, column, value) : null;
    return shownValue(value, column, this.place.table, edit);
  }

  /**
   * @param {Row} row
   * @param {number} number
   * @param {Column} column
   * @param {Value} value
   */
  async #edit(row, number, column, value) {
    const edited = await editValue(column, value);
    if (edited === undefined) return;
    const changed = { ...this.#changes.get(number), [column.name]: edited };
    if (JSON.stringify(edited) === JSON.stringify(row[column.name])) delete changed[column.name];
    if (Object.keys(changed).length > 0) this.#changes.set(number, changed);
    else this.#changes.delete(number);
    this.#draw();
    const cell = this.#body.rows[number]?.cells[this.place.columns.indexOf(column) + 1];
    cell?.querySelector("button")?.focus();
  }

  #discard() {
    this.#changes.clear();
    this.#draw();
  }

  async #save() {
    const { columns } = this.place;
    const update = [...this.#changes].map(([number, set]) => ({
      where: nameOf(this.rows[number], columns, Object.keys(set)),
      set,
    }));
    await this.#write({ update }, t("Saved: {count} rows", { count: update.length }));
  }

  async #insert() {
    const isDone = await editRow(this.place.columns, async (row) => {
      await this.#send({ insert: [row] });
      say(t("The row is there"));
    });
    if (isDone) await this.#leave({});
  }

  async #remove() {
    if (!(await this.#mayForget())) return;
    const rows = [...this.#chosen].map((number) => this.rows[number]);
    const goes = await ask({
      title: t("Delete {count} rows?", { count: rows.length }),
      action: t("Delete"),
      dangerous: true,
    });
    if (!goes) return;
    const { columns } = this.place;
    const names = columns.map(({ name }) => name);
    const remove = rows.map((row) => ({ where: nameOf(row, columns, names) }));
    await this.#write({ delete: remove }, t("Deleted: {count} rows", { count: rows.length }));
  }

  /**
   * Write, and show what is there then. Nothing can be edited meanwhile: it would go with the
   * drafts that are written.
   * @param {object} changes
   * @param {string} done
   */
  async #write(changes, done) {
    await attempt(async () => {
      const focused = document.activeElement;
      this.element.inert = true;
      try {
        await this.#send(changes);
      } catch (error) {
        this.element.inert = false;
        if (focused instanceof HTMLElement) focused.focus();
        throw error;
      }
      this.#changes.clear();
      say(done);
      await this.#leave({});
    });
  }

  /** @param {object} changes */
  #send(changes) {
    const { path, target } = this.place;
    return api(`${path}/changes`, { method: "POST", query: queryOf(target), json: changes });
  }

  /** Whether there are no drafts, or somebody agrees that they go. */
  async #mayForget() {
    return this.#changes.size === 0 || (await forgets(this.#changes.size));
  }

  /**
   * Go to the same table with another part of its address.
   * @param {Record<string, string | null>} change
   * @returns {Promise<boolean>} whether drafts did not keep it from that
   */
  #leave(change) {
    return go("studio", { ...Object.fromEntries(this.place.query), ...change });
  }

  /**
   * @param {number} total
   * @param {number} size
   * @param {number} offset
   * @param {number} took
   */
  #pager(total, size, offset, took) {
    const sizes = select(SIZES.map((text) => [text, t("{count} rows a page", { count: text })]), String(size));
    sizes.setAttribute("aria-label", t("Rows of a page"));
    sizes.addEventListener("change", async () => {
      if (!(await this.#leave({ size: sizes.value, offset: null }))) sizes.value = String(size);
    });
    const move = (/** @type {string} */ text, /** @type {number} */ to, /** @type {boolean} */ isThere) =>
      h("button", { type: "button", disabled: !isThere, onclick: () => void this.#leave({ offset: to > 0 ? String(to) : null }) }, text);
    const last = Math.min(offset + this.rows.length, total);
    const range = t("{first} to {last} of {total}, {took} ms", {
      first: count(total === 0 ? 0 : offset + 1), last: count(last), total: count(total), took,
    });
    return h(
      "div",
      { class: "toolbar pager" },
      move(t("Previous"), Math.max(0, offset - size), offset > 0),
      move(t("Next"), offset + size, last < total),
      h("span", { role: "status" }, range),
      sizes,
    );
  }
}

/** @param {number} changed */
function forgets(changed) {
  return ask({
    title: t("Discard changes of {count} rows?", { count: changed }),
    action: t("Discard"),
    dangerous: true,
  });
}
