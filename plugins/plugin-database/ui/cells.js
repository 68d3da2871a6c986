// @ts-check
/**
 * Cells: how values are shown, and how people change them. NULL is no empty text.
 */
import { ask, field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { save } from "../.well-known/buntime/ui/files.js";
import { bytes } from "../.well-known/buntime/ui/format.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { select } from "./targets.js";
import { base64Of, bytesOf, hexDump, isBlob, kindOf, read, sizeOf } from "./values.js";

/** @typedef {import("./values.js").Column} Column */
/** @typedef {import("./values.js").Kind} Kind */
/** @typedef {import("./values.js").Row} Row */
/** @typedef {import("./values.js").Value} Value */

const SHOWN_BYTES = 1024;

/**
 * A value in a table.
 * @param {Value} value
 * @param {{name: string}} column
 * @param {string} table that it is of, for names of files
 * @param {(() => void) | null} edit
 */
export function shownValue(value, column, table, edit) {
  const text = isBlob(value) ? `BLOB ${bytes(sizeOf(value.$blob))}` : textOf(value);
  const kind = value === null || value === "" ? "hint" : null;
  const shown =
    edit === null
      ? h("span", { class: ["cut", kind].filter(Boolean).join(" ") }, text)
      : h(
          "button",
          { type: "button", class: `plain cell ${kind ?? ""}`, onclick: edit, "aria-label": t("{column}: {value}", { column: column.name, value: text }) },
          h("span", { class: "cut" }, text),
        );
  if (!isBlob(value)) return shown;
  const look = h("button", { type: "button", onclick: () => void lookAt(value.$blob, `${table}.${column.name}`) }, t("Look"));
  return [shown, " ", look];
}

/** @param {Value} value */
function textOf(value) {
  if (value === null) return "NULL";
  if (value === "") return t("empty");
  if (typeof value === "object" && "$int" in value) return value.$int;
  return String(value);
}

/**
 * Bytes, to look at and to keep.
 * @param {string} base64
 * @param {string} name
 */
async function lookAt(base64, name) {
  const content = bytesOf(base64);
  const isMore = content.length > SHOWN_BYTES;
  await ask({
    title: t("{name}: {size}", { name, size: bytes(content.length) }),
    content: [
      h("pre", { tabindex: 0, "aria-label": t("Bytes") }, hexDump(content.subarray(0, SHOWN_BYTES))),
      isMore ? h("p", { class: "hint" }, t("These are the first {size}.", { size: bytes(SHOWN_BYTES) })) : null,
      h(
        "button",
        { type: "button", onclick: () => save(`${name}.bin`, [content], "application/octet-stream") },
        t("Download"),
      ),
    ],
    action: t("Close"),
    wide: true,
  });
}

/**
 * Ask for another value of a cell.
 * @param {Column} column
 * @param {Value} value
 * @returns {Promise<Value | undefined>} undefined if it stays
 */
export async function editValue(column, value) {
  const input = new ValueInput(column, value, false);
  /** @type {Value | undefined} */
  let edited;
  const isDone = await ask({
    title: t("Change {name}", { name: column.name }),
    content: input.elements,
    action: t("Take over"),
    submit: async () => {
      edited = input.value();
    },
  });
  return isDone ? edited : undefined;
}

/**
 * Ask for a row.
 * @param {Column[]} columns
 * @param {(row: Row) => Promise<void>} insert raises what is wrong with it
 * @returns {Promise<boolean>} whether it is there
 */
export function editRow(columns, insert) {
  const inputs = columns.map((column) => new ValueInput(column, null, true));
  return ask({
    title: t("New row"),
    content: inputs.map(({ elements }, at) => h("fieldset", {}, h("legend", {}, columns[at].name), elements)),
    action: t("Insert"),
    wide: true,
    submit: async () => {
      /** @type {Row} */
      const row = {};
      inputs.forEach((input, at) => {
        const value = input.value();
        if (value !== undefined) row[columns[at].name] = value;
      });
      await insert(row);
    },
  });
}

/** What kind of value somebody writes, and the value. */
class ValueInput {
  #kind;
  #text;
  #file = h("input", { type: "file" });
  #blob = "";

  /**
   * @param {Column} column
   * @param {Value} value
   * @param {boolean} hasDefault whether it may be left to the database
   */
  constructor(column, value, hasDefault) {
    const isLeft = hasDefault && value === null;
    const likely = /int|real|num|dec|floa|doub/i.test(column.type) ? "number" : "text";
    const kind = isLeft ? "default" : kindOf(value, column.type);
    /** @type {[string, string][]} */
    const kinds = [
      ["text", t("Text")],
      ["number", t("Number")],
      ["null", "NULL"],
      ["blob", t("Bytes of a file")],
    ];
    if (likely === "number") kinds.unshift(...kinds.splice(1, 1));
    if (hasDefault) kinds.unshift(["default", t("As the table has it")]);
    this.#kind = select(kinds, kind);
    this.#text = h("textarea", { rows: 3, spellcheck: "false" });
    this.#text.value = kind === "text" || kind === "number" ? textIn(value) : "";
    if (isBlob(value)) this.#blob = value.$blob;
    const written = field(t("Value"), this.#text, column.type || undefined);
    const chosen = field(t("File"), this.#file);
    const show = () => {
      written.hidden = !["text", "number"].includes(this.#kind.value);
      chosen.hidden = this.#kind.value !== "blob";
    };
    this.#kind.addEventListener("change", show);
    this.#text.addEventListener("input", () => {
      if (this.#kind.value === "default") this.#kind.value = likely;
      show();
    });
    this.#file.addEventListener("change", async () => {
      const file = this.#file.files?.[0];
      if (file) this.#blob = base64Of(new Uint8Array(await file.arrayBuffer()));
    });
    show();
    this.elements = [field(t("Kind"), this.#kind), written, chosen];
  }

  /** The value; undefined if it is left to the database. Raises `SyntaxError`. */
  value() {
    const kind = this.#kind.value;
    if (kind === "default") return undefined;
    return read(/** @type {Kind} */ (kind), kind === "blob" ? this.#blob : this.#text.value);
  }
}

/** @param {Value} value */
function textIn(value) {
  return value !== null && typeof value === "object" && "$int" in value ? value.$int : String(value ?? "");
}
