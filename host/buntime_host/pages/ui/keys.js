// @ts-check
/**
 * Keys: who may get in, and what for. A secret is shown once, when it is made.
 */
import { mayHost, whoIsIt } from "./access.js";
import { hostApi } from "./api.js";
import { ask, field } from "./dialog.js";
import { fill, h } from "./dom.js";
import { copy } from "./files.js";
import { when } from "./format.js";
import { GrantForm } from "./grants.js";
import { attempt, say } from "./notice.js";
import { table } from "./table.js";
import { t } from "./texts.js";

/** @typedef {import("./access.js").Somebody} Somebody */

/**
 * @typedef {object} Key times are seconds since 1970
 * @property {string} id
 * @property {string} keyPrefix
 * @property {string} name
 * @property {string | null} [description]
 * @property {string} role
 * @property {string[]} permissions
 * @property {number} createdAt
 * @property {string | null} [createdBy]
 * @property {number | null} [expiresAt]
 * @property {number | null} [lastUsedAt]
 * @property {number | null} [revokedAt]
 */

/** @typedef {{id: string, key: string, name: string}} Made */
/** @typedef {{roles: string[], permissions: string[], plugins: Record<string, string[]>}} Meta */

/** @param {import("./shell.js").Opened} opened */
export async function openKeys({ signal }) {
  const place = h("div", {});
  const draw = async () => {
    /** @type {Key[]} */
    const keys = (await hostApi("keys", { signal })).keys;
    fill(place, keyTable(keys.reverse(), await whoIsIt(), draw));
  };
  const create = async () => {
    const made = await created(signal);
    if (made === null) return;
    await showSecret(made);
    await attempt(draw);
  };
  await draw();
  return h(
    "div",
    { class: "stack" },
    mayHost(await whoIsIt(), "keys:create")
      ? h(
          "div",
          { class: "toolbar" },
          h("button", { type: "button", class: "primary", onclick: () => void attempt(create) }, t("New key")),
        )
      : null,
    place,
  );
}

/**
 * @param {Key[]} keys
 * @param {Somebody | null} somebody
 * @param {() => Promise<void>} draw
 */
function keyTable(keys, somebody, draw) {
  const mayCreate = mayHost(somebody, "keys:create");
  const mayRevoke = mayHost(somebody, "keys:revoke");
  const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => Promise<boolean>} */ work) =>
    h("button", { type: "button", "aria-label": label, onclick: async () => void ((await work()) && (await attempt(draw))) }, text);
  const actions = (/** @type {Key} */ key) => {
    if (key.revokedAt) return null;
    return [
      mayCreate ? button(t("Rotate"), t("Rotate {name}", { name: key.name }), () => rotated(key)) : null,
      " ",
      mayRevoke ? button(t("Revoke"), t("Revoke {name}", { name: key.name }), () => revoked(key)) : null,
    ];
  };
  return table(
    t("Keys"),
    [
      {
        title: t("Name"),
        heads: true,
        cell: (key) => [
          key.name,
          key.id === somebody?.id ? h("span", { class: "badge" }, t("yours")) : null,
          h("small", { class: "mono" }, `${key.keyPrefix}_…`),
          key.description ? h("small", {}, key.description) : null,
        ],
      },
      { title: t("State"), cell: stateOf },
      {
        title: t("Permits"),
        cell: (key) => [
          key.role === "custom" ? null : h("span", { class: "badge" }, key.role),
          ...key.permissions.map((scope) => h("span", { class: "chip mono" }, scope)),
        ],
      },
      { title: t("Made"), cell: (key) => [when(key.createdAt * 1000), key.createdBy ? h("small", {}, t("by {id}", { id: key.createdBy })) : null] },
      { title: t("Expires"), cell: (key) => (key.expiresAt ? when(key.expiresAt * 1000) : t("never")) },
      { title: t("Last used"), cell: (key) => (key.lastUsedAt ? when(key.lastUsedAt * 1000) : "–") },
      ...(mayCreate || mayRevoke ? [{ title: t("Actions"), cell: actions }] : []),
    ],
    keys,
    t("No keys"),
  );
}

/** @param {Key} key */
function stateOf({ revokedAt, expiresAt }) {
  if (revokedAt) return h("span", { class: "badge bad" }, t("revoked"));
  if (expiresAt && expiresAt * 1000 < Date.now()) return h("span", { class: "badge bad" }, t("expired"));
  return h("span", { class: "badge good" }, t("good"));
}

/**
 * Ask for a new key.
 * @param {AbortSignal} signal
 * @returns {Promise<Made | null>}
 */
async function created(signal) {
  /** @type {Meta} */
  const meta = await hostApi("keys/meta", { signal });
  const name = h("input", { required: true, autocomplete: "off" });
  const description = h("input", { autocomplete: "off" });
  const expires = h("input", { value: "90d", autocomplete: "off" });
  const grants = new GrantForm(meta);
  /** @type {Made | null} */
  let made = null;
  await ask({
    title: t("New key"),
    content: [
      field(t("Name"), name),
      field(t("Description"), description),
      grants.element,
      field(t("Expires in"), expires, t("never, or a number and d, w, m or y, such as 90d")),
    ],
    action: t("Create"),
    wide: true,
    submit: async () => {
      const answer = await hostApi("keys", {
        method: "POST",
        json: {
          name: name.value,
          description: description.value || null,
          expiresIn: expires.value.trim() || null,
          ...grants.value(),
        },
      });
      made = answer.data;
    },
  });
  return made;
}

/**
 * Show a secret, this one time.
 * @param {Made} made
 */
function showSecret({ key, name }) {
  const shown = h("input", { readonly: true, value: key, class: "mono", onfocus: () => shown.select() });
  return ask({
    title: t("The key {name}", { name }),
    content: [
      h("p", {}, t("Keep it now: it is not shown again.")),
      field(t("Key"), shown),
      h("button", { type: "button", onclick: () => void attempt(() => copy(key)) }, t("Copy")),
    ],
    action: t("I have it"),
    final: true,
  });
}

/** @param {Key} key */
async function rotated(key) {
  const grace = h("input", { value: "24h", autocomplete: "off" });
  /** @type {Made | null} */
  let made = null;
  const isDone = await ask({
    title: t("Rotate {name}", { name: key.name }),
    content: field(t("The old secret is good for"), grace, t("Such as 24h; 0 ends it at once")),
    action: t("Rotate"),
    submit: async () => {
      const path = `keys/${encodeURIComponent(key.id)}/rotate`;
      made = (await hostApi(path, { method: "POST", json: { grace: grace.value.trim() } })).data;
    },
  });
  if (made !== null) await showSecret(made);
  return isDone;
}

/** @param {Key} key */
function revoked(key) {
  return ask({
    title: t("Revoke {name}", { name: key.name }),
    content: h("p", {}, t("It is good no more, at once and for ever.")),
    action: t("Revoke"),
    dangerous: true,
    submit: async () => {
      await hostApi(`keys/${encodeURIComponent(key.id)}`, { method: "DELETE" });
      say(t("{name} is revoked", { name: key.name }));
    },
  });
}
