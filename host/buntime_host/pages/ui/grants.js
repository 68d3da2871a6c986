// @ts-check
/**
 * What a key permits, by a form: a role, or scopes of plugin, action and resource.
 */
import { field } from "./dialog.js";
import { fill, h } from "./dom.js";
import { t } from "./texts.js";

const HOST = "host";
const CUSTOM = "custom";

/** @typedef {{plugin: string, action: string, resource: string}} Scope */

/**
 * A scope as the host writes it.
 * @param {Scope} scope
 */
function scopeText({ plugin, action, resource }) {
  if (plugin === "*") return "*";
  const text = resource.trim();
  return text === "" || plugin === HOST ? `${plugin}:${action}` : `${plugin}:${action}:${text}`;
}

export class GrantForm {
  #meta;
  #role;
  /** @type {Scope[]} */
  #scopes = [];
  #list = h("ul", { class: "chips", "aria-label": t("Permits") });
  #plugin;
  #action = h("select", {});
  #resource = h("input", { autocomplete: "off", class: "mono" });

  /** @param {import("./keys.js").Meta} meta */
  constructor(meta) {
    this.#meta = meta;
    this.#role = options([CUSTOM, ...meta.roles.filter((role) => role !== CUSTOM)]);
    this.#plugin = options([...Object.keys(meta.plugins), ...(HOST in meta.plugins ? [] : [HOST]), "*"]);
    this.#plugin.addEventListener("change", () => this.#choosePlugin());
    const add = h("button", { type: "button", onclick: () => this.#add() }, t("Add"));
    const own = h(
      "fieldset",
      { class: "stack" },
      h("legend", {}, t("Permits")),
      this.#list,
      h(
        "div",
        { class: "row" },
        field(t("Plugin"), this.#plugin),
        field(t("Action"), this.#action),
        field(t("Resource"), this.#resource, t("All of it unless said; of keyval a key prefix as JSON")),
        add,
      ),
    );
    this.#role.addEventListener("change", () => {
      own.hidden = this.#role.value !== CUSTOM;
    });
    this.element = h("div", { class: "stack" }, field(t("Role"), this.#role), own);
    this.#choosePlugin();
    this.#draw();
  }

  /** What the API takes. A scope that was chosen and not added counts, too. */
  value() {
    if (this.#role.value !== CUSTOM) return { role: this.#role.value };
    const scopes = this.#scopes.length > 0 ? this.#scopes : [this.#written()];
    return { permissions: scopes.map(scopeText) };
  }

  #written() {
    return { plugin: this.#plugin.value, action: this.#action.value, resource: this.#resource.value };
  }

  #choosePlugin() {
    const plugin = this.#plugin.value;
    const actions = this.#meta.plugins[plugin] ?? (plugin === HOST ? this.#meta.permissions : ["*"]);
    fill(this.#action, actions.map((name) => h("option", { value: name }, name)));
    this.#resource.disabled = plugin === HOST || plugin === "*";
  }

  #add() {
    this.#scopes.push(this.#written());
    this.#resource.value = "";
    this.#draw();
  }

  #draw() {
    const chips = this.#scopes.map((scope, at) => {
      const text = scopeText(scope);
      const remove = () => {
        this.#scopes.splice(at, 1);
        this.#draw();
      };
      const away = h("button", { type: "button", "aria-label": t("Take away {scope}", { scope: text }), onclick: remove }, "×");
      return h("li", { class: "chip mono" }, text, " ", away);
    });
    fill(this.#list, chips.length ? chips : h("li", { class: "hint" }, t("What is chosen below")));
  }
}

/** @param {string[]} values */
function options(values) {
  return h("select", {}, values.map((value) => h("option", { value }, value)));
}
