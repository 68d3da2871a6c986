// @ts-check
/**
 * Where a path would lead, without sending anything.
 */
import { api } from "../.well-known/buntime/ui/api.js";
import { field } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { attempt } from "../.well-known/buntime/ui/notice.js";
import { t } from "../.well-known/buntime/ui/texts.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET"];

/**
 * @typedef {object} Found
 * @property {boolean} matched
 * @property {string} [url]
 * @property {boolean} public
 * @property {string} [reservedBy]
 * @property {{pattern: string, name?: string}} [rule]
 */

export function tester() {
  const path = h("input", { placeholder: "/app/users?page=2", autocomplete: "off", spellcheck: "false" });
  const method = h("select", {}, METHODS.map((name) => h("option", { value: name }, name)));
  const answer = h("div", { role: "status" });
  const form = h(
    "form",
    { class: "row" },
    field(t("Method"), method),
    field(t("Path"), path),
    h("button", { type: "submit" }, t("Try")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(async () => {
      fill(answer);
      const json = { path: path.value, method: method.value };
      fill(answer, told(await api("test", { method: "POST", json })));
    });
  });
  return h("section", { class: "stack", "aria-label": t("Where a path leads") }, h("h2", {}, t("Where a path leads")), form, answer);
}

/** @param {Found} found */
function told({ matched, url, rule, reservedBy, public: isPublic }) {
  if (reservedBy) return h("p", {}, t("It is a path of {plugin}, which no rule may have.", { plugin: reservedBy }));
  if (!matched || !rule) return h("p", {}, t("No rule has it."));
  return h(
    "p",
    {},
    h("code", {}, url),
    " ",
    t("by the rule {rule}", { rule: rule.name || rule.pattern }),
    " ",
    h("span", { class: "badge" }, isPublic ? t("open to everybody") : t("needs a key, where the host does")),
  );
}
