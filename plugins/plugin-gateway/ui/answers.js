// @ts-check
/**
 * Kept answers: how many there are, and a way to forget some.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { field, sendingForm } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { count } from "../.well-known/buntime/ui/format.js";
import { say } from "../.well-known/buntime/ui/notice.js";
import { go } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { mayReset } from "./rights.js";

const WHICH = /** @type {const} */ ({ all: "All of them", pattern: "Those of paths", key: "One of them" });

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openAnswers({ signal, somebody }) {
  const [{ cache: config }, { cache }] = await Promise.all([api("config", { signal }), api("stats", { signal })]);
  if (config === null) return h("p", {}, t("No answers are kept. The option cache of plugin-gateway has some kept."));
  /** @type {[string, string][]} */
  const shown = [
    [t("Answers of the process that was asked"), `${count(cache.entries)} / ${count(config.maxEntries)}`],
    [t("Kept for"), config.ttl],
    [t("Methods"), config.methods.join(", ")],
  ];
  return h(
    "div",
    { class: "stack" },
    h(
      "dl",
      { class: "cards" },
      shown.map(([title, text]) => h("div", { class: "card" }, h("dt", {}, title), h("dd", {}, text))),
    ),
    mayReset(somebody) ? forgetting(signal) : null,
  );
}

/** @param {AbortSignal} signal */
function forgetting(signal) {
  const which = h("select", {}, Object.entries(WHICH).map(([value, text]) => h("option", { value }, t(text))));
  const text = h("input", { class: "mono", autocomplete: "off", spellcheck: "false" });
  const textField = field(t("Which"), text, t("A path with *, such as /shop/*; one of them as GET:/shop/1?a=b"));
  const look = () => {
    textField.hidden = which.value === "all";
  };
  which.addEventListener("change", look);
  look();
  const submit = async (/** @type {() => void} */ forget) => {
    const json = which.value === "all" ? {} : { [which.value]: text.value.trim() };
    const { invalidated } = await api("cache/invalidate", { method: "POST", json });
    say(invalidated === "all" ? t("All answers are forgotten") : t("{count} answers are forgotten", { count: count(invalidated) }));
    forget();
    await go("answers", {}, { replaces: true });
  };
  return sendingForm("stack", signal, submit, (problem) => [
    h("h2", {}, t("Forget answers")),
    h("div", { class: "row" }, field(t("Forget"), which), textField),
    problem,
    h("div", {}, h("button", { type: "submit", class: "danger" }, t("Forget"))),
  ]);
}
