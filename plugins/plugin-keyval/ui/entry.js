// @ts-check
/**
 * One entry: everything that is known of it, and a way to change it that overwrites nobody.
 */
import { apiUrl } from "../.well-known/buntime/ui/api.js";
import { ask, field } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { guardForm } from "../.well-known/buntime/ui/drafts.js";
import { copy } from "../.well-known/buntime/ui/files.js";
import { count, span, when } from "../.well-known/buntime/ui/format.js";
import { repeat } from "../.well-known/buntime/ui/live.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { addressOf, go } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { diffLines } from "./diff.js";
import { history } from "./history.js";
import { pretty } from "./json.js";
import { keyText, parseKey } from "./key.js";
import { chips, keyField } from "./keyfield.js";
import { mayKey } from "./rights.js";
import { curlOf, pythonOf, typescriptOf } from "./snippets.js";
import { shownJson } from "./shownjson.js";
import { deleteEntry, readEntry, writeEntry } from "./store.js";
import { valueField } from "./valuefield.js";

/** @typedef {import("./key.js").Key} Key */
/** @typedef {import("./store.js").Entry} Entry */
/** @typedef {import("../.well-known/buntime/ui/shell.js").Opened} Opened */

/** @param {Opened} opened */
export async function openEntry(opened) {
  const text = opened.query.get("key");
  if (text === null) return newEntry(opened.query.get("new") ?? "", opened.signal);
  const key = parseKey(text);
  const entry = await readEntry(key, opened.signal);
  if (entry === null) {
    return h("div", { class: "stack" }, h("p", {}, chips(key)), h("p", {}, t("There is no entry of this key")), history(key, opened.signal), back(key));
  }
  return existing(entry, opened);
}

/** @param {Key} key */
function back(key) {
  const prefix = key.slice(0, -1);
  const href = addressOf("entries", { prefix: prefix.length > 0 ? keyText(prefix) : null });
  return h("p", {}, h("a", { href }, t("All entries beside it")));
}

/**
 * @param {string} text of the key that it begins with
 * @param {AbortSignal} signal
 */
function newEntry(text, signal) {
  const key = keyField(t("Key"), text === "[]" ? "" : text, { builds: true });
  const value = valueField(t("Value as JSON"), "");
  const expires = expiryField();
  const metadata = valueField(t("Metadata as JSON"), "", { rows: 2, optional: true });
  const problem = h("p", { class: "problem", role: "alert" });

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    try {
      const made = key.read();
      if (made.length === 0) throw new Error(t("A key is needed"));
      const given = { key: made, value: value.read(), metadata: metadata.read() || null, expiresIn: expires.value.trim() };
      if (!(await writeEntry(given, null))) {
        throw new Error(t("There is an entry of this key already: open it to change it"));
      }
      draft.forget();
      say(t("Created"));
      await go("entry", { key: keyText(made) }, { replaces: true });
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  const form = h(
    "form",
    { class: "stack", onsubmit: submit },
    key.element,
    value.element,
    field(t("Expires in"), expires, t("As 30s, 1.5h or 7d; empty for never")),
    metadata.element,
    problem,
    h("div", {}, h("button", { type: "submit", class: "primary" }, t("Create"))),
  );
  const draft = guardForm(form, signal);
  return form;
}

function expiryField() {
  return h("input", { type: "text", autocomplete: "off" });
}

/**
 * @param {Entry} entry
 * @param {Opened} opened
 */
function existing(entry, opened) {
  const mayWrite = mayKey(opened.somebody, "write", entry.key);
  return h(
    "div",
    { class: "stack" },
    h("p", {}, chips(entry.key)),
    facts(entry, opened.signal),
    mayWrite ? editor(entry, opened.signal) : shownJson(entry.value),
    snippets(entry.key),
    history(entry.key, opened.signal),
    back(entry.key),
  );
}

/**
 * @param {Entry} entry
 * @param {AbortSignal} signal
 */
function facts(entry, signal) {
  const rest = h("dd", {});
  const { expiresAt } = entry;
  if (expiresAt === null) rest.textContent = t("never");
  else {
    const show = async () => {
      const left = expiresAt - Date.now();
      rest.textContent = left > 0 ? t("in {span}", { span: span(left) }) : t("expired");
      rest.title = when(expiresAt);
    };
    void repeat(show, 1, signal);
  }
  /** @type {[string, import("../.well-known/buntime/ui/dom.js").Child][]} */
  const known = [
    [t("Versionstamp"), h("code", {}, entry.versionstamp)],
    [t("Created at"), when(entry.createdAt)],
    [t("Changed"), when(entry.updatedAt)],
    [t("Writes"), count(entry.revision)],
    [t("Type"), entry.type ?? "–"],
  ];
  return h(
    "dl",
    { class: "cards small" },
    known.map(([title, text]) => h("div", { class: "card" }, h("dt", {}, title), h("dd", {}, text))),
    h("div", { class: "card" }, h("dt", {}, t("Expires")), rest),
  );
}

/**
 * @param {Entry} entry
 * @param {AbortSignal} signal
 */
function editor(entry, signal) {
  const value = valueField(t("Value as JSON"), pretty(entry.value), { rows: 14 });
  const metadata = valueField(t("Metadata as JSON"), entry.metadata === null ? "" : pretty(entry.metadata), { rows: 3, optional: true });
  const expires = expiryField();
  const forever = h("input", { type: "checkbox" });
  const problem = h("p", { class: "problem", role: "alert" });
  const conflict = h("div", { class: "stack" });

  function given() {
    return {
      key: entry.key,
      value: value.read(),
      metadata: metadata.read() || null,
      type: entry.type,
      expiresIn: expires.value.trim(),
      expiresAt: forever.checked ? null : entry.expiresAt,
    };
  }

  /** @param {string | null} versionstamp */
  async function write(versionstamp) {
    problem.textContent = "";
    try {
      if (await writeEntry(given(), versionstamp)) {
        draft.forget();
        say(t("Saved"));
        await go("entry", { key: keyText(entry.key) }, { replaces: true });
      } else {
        await showConflict();
      }
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  async function showConflict() {
    const theirs = await readEntry(entry.key);
    const mine = value.area.value;
    fill(
      conflict,
      h("h2", { tabindex: -1 }, t("Somebody else has changed it meanwhile")),
      theirs === null
        ? h("p", {}, t("It was deleted."))
        : h("div", { class: "scroller", role: "region", tabindex: 0, "aria-label": t("Both versions") }, difference(pretty(theirs.value), mine)),
      h(
        "div",
        { class: "toolbar" },
        h("button", { type: "button", onclick: () => void reload() }, t("Take theirs")),
        h("button", { type: "button", class: "danger", onclick: () => void write(theirs?.versionstamp ?? null) }, t("Overwrite with mine")),
      ),
    );
    conflict.querySelector("h2")?.focus();
  }

  function reload() {
    draft.forget();
    return go("entry", { key: keyText(entry.key) }, { replaces: true });
  }

  /** @param {Event} event */
  function submit(event) {
    event.preventDefault();
    void write(entry.versionstamp);
  }

  const form = h(
    "form",
    { class: "stack", onsubmit: submit },
    value.element,
    metadata.element,
    field(t("Expires in"), expires, t("As 30s, 1.5h or 7d; empty leaves it as it is")),
    entry.expiresAt === null ? null : h("label", { class: "ticked" }, forever, " ", t("Let it live for ever")),
    problem,
    conflict,
    h(
      "div",
      { class: "toolbar" },
      h("button", { type: "submit", class: "primary" }, t("Save")),
      h("button", { type: "button", class: "danger", onclick: () => void remove(entry, draft) }, t("Delete")),
    ),
  );
  const draft = guardForm(form, signal);
  return form;
}

/**
 * Theirs and ours, a line under the other.
 * @param {string} theirs
 * @param {string} mine
 */
function difference(theirs, mine) {
  const signs = { same: " ", gone: t("theirs"), new: t("mine") };
  return h(
    "table",
    { class: "difference" },
    h("tbody", {}, diffLines(theirs, mine).map(({ kind, text }) => h("tr", { class: kind }, h("td", {}, signs[kind]), h("td", {}, h("code", {}, text))))),
  );
}

/**
 * @param {Entry} entry
 * @param {import("../.well-known/buntime/ui/drafts.js").Draft} draft what is typed of it, which goes with it
 */
async function remove(entry, draft) {
  const isDone = await ask({
    title: t("Delete this entry?"),
    content: h("p", {}, chips(entry.key)),
    action: t("Delete"),
    dangerous: true,
    submit: async () => {
      if (!(await deleteEntry(entry))) return t("Somebody else has changed it meanwhile");
      return null;
    },
  });
  if (!isDone) return;
  draft.forget();
  say(t("Deleted"));
  const prefix = entry.key.slice(0, -1);
  await go("entries", { prefix: prefix.length > 0 ? keyText(prefix) : null });
}

/** @param {Key} key */
function snippets(key) {
  const api = apiUrl("").href.replace(/\/$/, "");
  const client = new URL("client.js", document.baseURI).href;
  const made = [
    ["curl", curlOf(api, key)],
    ["Python", pythonOf(api, key)],
    ["TypeScript", typescriptOf(client, key)],
  ];
  return h(
    "details",
    {},
    h("summary", {}, t("The same elsewhere")),
    made.map(([title, text]) =>
      h(
        "div",
        { class: "stack tight" },
        h("h2", {}, title),
        h("pre", {}, text),
        h("div", {}, h("button", { type: "button", onclick: () => void attempt(() => copy(text)) }, t("Copy as {title}", { title }))),
      ),
    ),
  );
}
