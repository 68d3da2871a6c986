// @ts-check
/**
 * The shell: where it is, and which first segments of paths it leaves to others.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { field, sendingForm } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { when } from "../.well-known/buntime/ui/format.js";
import { attempt } from "../.well-known/buntime/ui/notice.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { mayReset } from "./rights.js";

/** @typedef {{basename: string, source: "env" | "keyval", addedAt?: number}} Exclude */

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openExcludes({ signal, somebody }) {
  const { shell } = await api("config", { signal });
  if (shell === null) return h("p", {}, t("There is no shell. The option shellDir of plugin-gateway names its folder."));
  const mayChange = mayReset(somebody);
  const place = h("div", {});

  async function draw() {
    fill(place, excludes(await api("shell/excludes", { signal }), mayChange ? remove : null));
  }

  /** @param {string} basename */
  async function remove(basename) {
    await attempt(async () => {
      await api(`shell/excludes/${encodeURIComponent(basename)}`, { method: "DELETE" });
      await draw();
    });
  }

  await draw();
  return h(
    "div",
    { class: "stack" },
    h("p", {}, t("Its files are in {folder}, as they were when the host started.", { folder: shell.dir })),
    h("h2", {}, t("What it leaves to others")),
    place,
    mayChange ? adding(draw, signal) : null,
  );
}

/**
 * @param {Exclude[]} known
 * @param {((basename: string) => Promise<void>) | null} remove
 */
function excludes(known, remove) {
  return table(
    t("What it leaves to others"),
    [
      { title: t("First segment"), heads: true, cell: ({ basename }) => h("code", {}, basename) },
      { title: t("Since"), cell: ({ source, addedAt }) => (source === "env" ? t("of the configuration") : when(addedAt)) },
      {
        title: t("Actions"),
        cell: ({ basename, source }) =>
          remove === null || source === "env"
            ? null
            : h("button", { type: "button", "aria-label": t("Remove {segment}", { segment: basename }), onclick: () => void remove(basename) }, t("Remove")),
      },
    ],
    known,
    t("It leaves nothing to others"),
  );
}

/**
 * @param {() => Promise<void>} draw
 * @param {AbortSignal} signal
 */
function adding(draw, signal) {
  const basename = h("input", { autocomplete: "off", spellcheck: "false" });
  const submit = async (/** @type {() => void} */ forget) => {
    await api("shell/excludes", { method: "POST", json: { basename: basename.value.trim() } });
    basename.value = "";
    forget();
    await draw();
  };
  return sendingForm("row", signal, submit, (problem) => [
    field(t("First segment"), basename, t("As shop: /shop and all below it are not the shell's")),
    h("button", { type: "submit", class: "primary" }, t("Add")),
    problem,
  ]);
}
