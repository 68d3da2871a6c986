// @ts-check
/**
 * Overview: the adapters, how they are, and their tenants.
 */
import { whoIsIt } from "../.well-known/buntime/ui/access.js";
import { api } from "../.well-known/buntime/ui/api.js";
import { ask, field } from "../.well-known/buntime/ui/dialog.js";
import { fill, h } from "../.well-known/buntime/ui/dom.js";
import { bytes, span } from "../.well-known/buntime/ui/format.js";
import { repeat } from "../.well-known/buntime/ui/live.js";
import { attempt, say } from "../.well-known/buntime/ui/notice.js";
import { addressOf } from "../.well-known/buntime/ui/shell.js";
import { table } from "../.well-known/buntime/ui/table.js";
import { t } from "../.well-known/buntime/ui/texts.js";
import { loadAdapters, loadTenants, mayDo, queryOf } from "./targets.js";

const LOOK_SECONDS = 10;

/** @param {import("../.well-known/buntime/ui/shell.js").Opened} opened */
export async function openOverview({ signal }) {
  const adapters = await loadAdapters(signal);
  const somebody = await whoIsIt(); // asked for a key by now, where one is needed
  const place = h("div", {}, adapterTable(adapters));
  if (adapters.details.length > 0) {
    const look = async () => {
      const now = await loadAdapters(signal);
      if (!signal.aborted) fill(place, adapterTable(now));
    };
    void repeat(look, LOOK_SECONDS, signal);
  }
  const tenants = await Promise.all(
    adapters.adapters.map((type) => tenantsOf(type, adapters, somebody, signal)),
  );
  return h("div", { class: "stack" }, place, tenants);
}

/** @param {import("./targets.js").Adapters} adapters */
function adapterTable(adapters) {
  const rows = adapters.details.length
    ? adapters.details
    : adapters.adapters.map((type) => ({ type, problem: null, latencyMs: null, sizeBytes: null }));
  const isKnown = adapters.details.length > 0;
  return table(
    t("Adapters"),
    [
      {
        title: t("Adapter"),
        heads: true,
        cell: ({ type }) => [
          h("a", { href: addressOf("studio", { type }) }, type),
          type === adapters.default ? [" ", h("span", { class: "badge" }, t("default"))] : null,
        ].flat(),
      },
      { title: t("State"), cell: (row) => (isKnown ? stateOf(row.problem) : "–") },
      {
        title: t("Answers within"),
        numeric: true,
        cell: ({ latencyMs }) => (latencyMs === null ? "–" : span(latencyMs)),
      },
      { title: t("Size"), numeric: true, cell: ({ sizeBytes }) => bytes(sizeBytes) },
    ],
    rows,
  );
}

/** @param {string | null} problem */
function stateOf(problem) {
  if (problem === null) return h("span", { class: "badge good" }, t("healthy"));
  return [h("span", { class: "badge bad" }, t("unhealthy")), " ", problem];
}

/**
 * @param {string} type
 * @param {import("./targets.js").Adapters} adapters
 * @param {import("./targets.js").Somebody | null} somebody
 * @param {AbortSignal} signal
 */
async function tenantsOf(type, adapters, somebody, signal) {
  const place = h("section", { class: "stack" });
  const mayManage = adapters.write && mayDo(somebody, "admin", { type, tenant: "" });
  const draw = async () => {
    const tenants = await loadTenants(somebody, type, signal);
    if (tenants === null) return;
    const remove = async (/** @type {string} */ tenant) => {
      if (await removed(type, tenant)) await attempt(draw);
    };
    const add = async () => {
      if (await added(type)) await attempt(draw);
    };
    fill(
      place,
      h("h2", {}, t("Tenants of {type}", { type })),
      mayManage
        ? h("div", { class: "toolbar" }, h("button", { type: "button", onclick: add }, t("New tenant")))
        : null,
      table(
        t("Tenants of {type}", { type }),
        [
          {
            title: t("Tenant"),
            heads: true,
            cell: (tenant) => h("a", { href: addressOf("studio", { type, tenant }) }, tenant),
          },
          ...(mayManage
            ? [{ title: t("Actions"), cell: (/** @type {string} */ tenant) => remover(tenant, remove) }]
            : []),
        ],
        tenants,
        t("No tenants"),
      ),
    );
  };
  await draw();
  return place;
}

/**
 * @param {string} tenant
 * @param {(tenant: string) => Promise<void>} remove
 */
function remover(tenant, remove) {
  return h(
    "button",
    { type: "button", "aria-label": t("Delete {name}", { name: tenant }), onclick: () => void remove(tenant) },
    t("Delete"),
  );
}

/** @param {string} type */
function added(type) {
  const id = h("input", { required: true, autocomplete: "off" });
  return ask({
    title: t("New tenant"),
    content: field(t("Id"), id, t("1 to 63 letters, digits, _ or -")),
    action: t("Create"),
    submit: async () => {
      await api("tenants", { method: "POST", json: { id: id.value, type } });
      say(t("{name} is there", { name: id.value }));
    },
  });
}

/**
 * @param {string} type
 * @param {string} tenant
 */
function removed(type, tenant) {
  const again = h("input", { autocomplete: "off" });
  return ask({
    title: t("Delete {name}", { name: tenant }),
    content: [
      h("p", {}, t("Its database goes, with all that is in it.")),
      field(t("Write {name} to go on", { name: tenant }), again),
    ],
    action: t("Delete"),
    dangerous: true,
    submit: async () => {
      if (again.value !== tenant) return t("That is not {name}", { name: tenant });
      const path = `tenants/${encodeURIComponent(tenant)}`;
      await api(path, { method: "DELETE", query: queryOf({ type, tenant: "" }) });
      say(t("{name} is deleted", { name: tenant }));
    },
  });
}
