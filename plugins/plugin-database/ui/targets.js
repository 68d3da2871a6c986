// @ts-check
/**
 * Which database a page is about, as its address says, and what somebody may do with it.
 */
import { permitted, whoIsIt } from "../.well-known/buntime/ui/access.js";
import { ApiError, api } from "../.well-known/buntime/ui/api.js";
import { field } from "../.well-known/buntime/ui/dialog.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { go } from "../.well-known/buntime/ui/shell.js";
import { t } from "../.well-known/buntime/ui/texts.js";

/** @typedef {import("../.well-known/buntime/ui/access.js").Somebody} Somebody */

/**
 * @typedef {object} Detail how an adapter is
 * @property {string} type
 * @property {string | null} problem
 * @property {number | null} latencyMs
 * @property {number | null} sizeBytes
 */

/**
 * @typedef {object} Adapters
 * @property {string[]} adapters
 * @property {string} default
 * @property {Detail[]} details empty where somebody may not look at all of them
 * @property {boolean} write whether the plugin lets anybody write
 * @property {string | null} [tenant] the one of requests that name none, null for the root database;
 * missing where it is not known
 */

/** @typedef {{type: string, tenant: string}} Target The tenant is empty where the server chooses. */

const COVERS = { write: ["read"], admin: ["read", "write"] };

/**
 * The adapters that who looks at the page may look at. Raises `ApiError`.
 * @param {AbortSignal} signal
 * @returns {Promise<Adapters>}
 */
export async function loadAdapters(signal) {
  try {
    return await api("adapters", { query: { details: true }, signal });
  } catch (error) {
    // Who may look at some databases alone is told of no others. Somebody may have come meanwhile.
    const resources = permitted(await whoIsIt(), "database", "read", COVERS);
    if (!(error instanceof ApiError) || error.status !== 403 || !resources?.length) throw error;
    const adapters = [...new Set(resources.map((resource) => resource.split("/")[0]))];
    const tenant = resources[0].split("/")[1];
    return { adapters, default: adapters[0], details: [], write: true, tenant };
  }
}

/**
 * The tenants of an adapter that are known to somebody; null where there can be none.
 * @param {Somebody | null} somebody
 * @param {string} type
 * @param {AbortSignal} signal
 * @returns {Promise<string[] | null>}
 */
export async function loadTenants(somebody, type, signal) {
  try {
    return (await api("tenants", { query: { type }, signal })).tenants;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 501) return null;
    if (error.status !== 403) throw error;
    const resources = permitted(somebody, "database", "read", COVERS) ?? [];
    const tenants = resources.filter((resource) => resource.startsWith(`${type}/`));
    return tenants.map((resource) => resource.slice(type.length + 1));
  }
}

/**
 * Whether somebody may do something with a database.
 * @param {Somebody | null} somebody
 * @param {"read" | "write" | "admin"} action
 * @param {Target} target
 */
export function mayDo(somebody, action, { type, tenant }) {
  const resources = permitted(somebody, "database", action, COVERS);
  if (resources === null) return true;
  return resources.includes(type) || (tenant !== "" && resources.includes(`${type}/${tenant}`));
}

/**
 * The database that an address names.
 * @param {URLSearchParams} query
 * @param {Adapters} adapters
 * @returns {Target}
 */
export function targetOf(query, adapters) {
  return { type: query.get("type") ?? adapters.default, tenant: query.get("tenant") || (adapters.tenant ?? "") };
}

/**
 * What an address or a request says of a database.
 * @param {Target} target
 */
export function queryOf({ type, tenant }) {
  return { type, tenant: tenant || undefined };
}

/**
 * Fields to choose a database with; a choice goes to the view anew.
 * @param {string} view
 * @param {Adapters} adapters
 * @param {string[] | null} tenants
 * @param {Target} target
 */
export function picker(view, adapters, tenants, target) {
  const type = select(adapters.adapters.map((name) => [name, name]), target.type);
  type.addEventListener("change", async () => {
    if (!(await go(view, { type: type.value }))) type.value = target.type;
  });
  const names = [...new Set([...(tenants ?? []), target.tenant])].filter((name) => name !== "");
  // Where requests without a tenant are for one, the root database is out of reach.
  const unnamed = adapters.tenant === null ? t("Root database") : t("Default database");
  const options = [
    ...(adapters.tenant ? [] : [["", unnamed]]),
    ...names.map((name) => [name, name]),
  ];
  const tenant = select(/** @type {[string, string][]} */ (options), target.tenant);
  tenant.addEventListener("change", async () => {
    if (!(await go(view, { type: target.type, tenant: tenant.value }))) tenant.value = target.tenant;
  });
  return h(
    "div",
    { class: "row" },
    field(t("Adapter"), type),
    tenants === null ? null : field(t("Tenant"), tenant),
  );
}

/**
 * @param {[string, string][]} options values and their texts
 * @param {string} chosen
 */
export function select(options, chosen) {
  const element = h(
    "select",
    {},
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
  element.value = chosen;
  return element;
}
