// @ts-check
/**
 * What is around every page: the way to all others, who is signed in, messages. A page of a plugin
 * calls `openShell` with its views; each has a path below the base of the plugin.
 */
import { forget, may, mayHost, permitted, signIn, signOut, whoIsIt } from "./access.js";
import { HOST, hostApi, onUnauthorized } from "./api.js";
import { ask, closeDialogs, field, release } from "./dialog.js";
import { fill, h } from "./dom.js";
import { unsaved } from "./drafts.js";
import { attempt, notices, sayError } from "./notice.js";
import { addTexts, choose, language, t } from "./texts.js";
import { PT } from "./pt.js";

/**
 * @typedef {object} Opened what a view gets when it is opened
 * @property {URLSearchParams} query of the address
 * @property {AbortSignal} signal tells that the view is left: what goes on by itself ends then
 * @property {import("./access.js").Somebody | null} somebody who looks at it
 */

/**
 * @typedef {object} View
 * @property {string} path below the base of the plugin, one segment; empty for the first view
 * @property {string} title in English; `t` is applied to it
 * @property {(opened: Opened) => Node | Promise<Node>} open makes its content
 */

/**
 * @typedef {object} Menu an item of the navigation, as manifests have it
 * @property {string} title
 * @property {Record<string, string>} [titles] by language
 * @property {string} [path]
 * @property {Menu[]} [items]
 * @property {string[]} [needs] actions of the plugin, of which it takes one at least
 */

const HOST_PAGES = "/.well-known/buntime/ui/pages/";

/** @type {View[]} */
let views = [];
let left = new AbortController();
/** Whether nobody was there when the view was opened. @type {boolean} */
let isForNobody = false;
/** Whether somebody is asked whether the way back may be gone. */
let isAskedToReturn = false;
/** The address of the view that is shown. */
let shownAt = "";

const main = h("main", { id: "main", tabindex: -1 });
const navigation = h("nav", { "aria-label": t("Pages"), id: "navigation" });
const account = h("div", { class: "account" });

addTexts("pt", PT);

/**
 * Draw the page, with the view that its address names.
 * @param {View[]} known
 */
export async function openShell(known) {
  views = known;
  document.documentElement.lang = language;
  onUnauthorized(askForKey);
  document.body.replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: skip }, t("Skip to the content")),
    h(
      "header",
      { class: "top" },
      h("button", { type: "button", class: "menu", "aria-controls": "navigation", "aria-expanded": "false", onclick: unfold }, t("Menu")),
      h("a", { class: "brand", href: HOST.href }, "Buntime"),
      account,
    ),
    navigation,
    main,
    ...notices,
  );
  document.addEventListener("click", (event) => void guarded(event), { capture: true });
  document.addEventListener("click", followed);
  window.addEventListener("popstate", () => void returned());
  await Promise.all([attempt(drawNavigation), show()]);
}

/**
 * Go to a view of this page, or to the same one with another query, unless somebody would rather
 * keep what is not saved.
 * @param {string} path
 * @param {Record<string, string | null | undefined>} [query] what is null or empty is left out
 * @param {{replaces?: boolean}} [how] whether it takes the place of the address that is there
 * @returns {Promise<boolean>} whether it went there
 */
export async function go(path, query = {}, { replaces = false } = {}) {
  if (!(await release())) return false;
  const url = addressOf(path, query);
  if (replaces) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  await show();
  return true;
}

/**
 * Note a query in the address, without opening anything: it is for links, and for coming back.
 * @param {string} path
 * @param {Record<string, string | null | undefined>} query
 */
export function note(path, query) {
  shownAt = addressOf(path, query);
  history.replaceState(null, "", shownAt);
}

/**
 * The address of a view of this page.
 * @param {string} path
 * @param {Record<string, string | null | undefined>} [query]
 */
export function addressOf(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value) url.searchParams.set(name, value);
  }
  return url.href;
}

/** Follow the browser's way back, which it has gone already. */
async function returned() {
  if (unsaved().length === 0) {
    closeDialogs();
    return show();
  }
  history.pushState(null, "", shownAt);
  if (isAskedToReturn) return; // the way back once more, while the question is there
  isAskedToReturn = true;
  const isFree = await release();
  isAskedToReturn = false;
  if (isFree) history.back();
}

/** Draw the view that the address names. */
async function show() {
  shownAt = location.href;
  left.abort();
  left = new AbortController();
  const { signal } = left;
  const url = new URL(location.href);
  const path = pathOf(url);
  const view = views.find((known) => known.path === path);
  markCurrent(url);
  if (view !== undefined) document.title = `${t(view.title)} · Buntime`;
  main.setAttribute("aria-busy", "true");
  const content = view === undefined ? h("h1", {}, t("There is no such page")) : await opened(view, url, signal);
  if (signal.aborted) return; // another view is being opened, which says when it is done
  fill(main, content);
  main.removeAttribute("aria-busy");
}

/**
 * What a view shows, or why it cannot.
 * @param {View} view
 * @param {URL} url
 * @param {AbortSignal} signal
 * @returns {Promise<Node[]>}
 */
async function opened(view, url, signal) {
  const title = h("h1", {}, t(view.title));
  try {
    const somebody = await whoIsIt();
    isForNobody = somebody === null;
    return [title, await view.open({ query: url.searchParams, signal, somebody })];
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return [title, h("p", { class: "problem", role: "alert" }, said)];
  }
}

/** @param {URL} url */
function pathOf(url) {
  const base = new URL(document.baseURI).pathname;
  return url.pathname.startsWith(base) ? url.pathname.slice(base.length).replace(/\/$/, "") : "";
}

async function drawNavigation() {
  /** @type {{name: string, menus: Menu[]}[]} */
  const plugins = await hostApi("plugins/loaded", { asks: false });
  const somebody = await whoIsIt();
  const menus = plugins.flatMap(({ name, menus: own }) => useful(own, name, somebody));
  const items = [{ title: t("Home"), path: "/" }, ...menus, ...hostMenus(somebody)];
  fill(navigation, list(items));
  markCurrent(new URL(location.href));
  await drawAccount();
}

/**
 * Those items of a plugin that lead somebody to something; all for nobody, who may sign in.
 * @param {Menu[]} menus
 * @param {string} plugin
 * @param {import("./access.js").Somebody | null} somebody
 * @returns {Menu[]}
 */
function useful(menus, plugin, somebody) {
  if (somebody === null) return menus;
  const short = plugin.slice(plugin.lastIndexOf("/") + 1).replace(/^plugin-/, "");
  return menus.flatMap((menu) => {
    if (menu.needs && !menu.needs.some((action) => may(somebody, short, action))) return [];
    if (!menu.items?.length) return [menu];
    const items = useful(menu.items, plugin, somebody);
    if (items.length === 0) return [];
    const isThere = items.some(({ path }) => path === menu.path);
    return [{ ...menu, items, path: isThere ? menu.path : items[0].path }];
  });
}

/**
 * The pages of the host that somebody may look at.
 * @param {import("./access.js").Somebody | null} somebody
 * @returns {Menu[]}
 */
function hostMenus(somebody) {
  const plugins = { title: t("Plugins"), path: `${HOST_PAGES}plugins` };
  const keys = { title: t("Keys"), path: `${HOST_PAGES}keys` };
  const trail = { title: t("Trail"), path: `${HOST_PAGES}trail` };
  return [
    ...(mayHost(somebody, "plugins:read") ? [plugins] : []),
    ...(mayHost(somebody, "keys:read") ? [keys] : []),
    ...(permitted(somebody, "keyval", "admin") === null ? [trail] : []),
  ];
}

/**
 * @param {Menu[]} menus
 * @returns {HTMLUListElement}
 */
function list(menus) {
  const items = menus.map(({ title, titles = {}, path, items = [] }) => {
    const text = titles[language] ?? title;
    const href = path === undefined ? null : hrefOf(path);
    const link = href === null ? text : h("a", { href }, text);
    return h("li", {}, link, items.length > 0 ? list(items) : null);
  });
  return h("ul", {}, items);
}

/**
 * Where an item leads; null for what is not of this host.
 * @param {string} path
 */
function hrefOf(path) {
  if (!path.startsWith("/") || path.startsWith("//")) return null;
  const isBase = /^\/[^/]+$/.test(path); // of a plugin: it would be sent to the same with a slash
  return new URL(`.${path}${isBase ? "/" : ""}`, HOST).href;
}

/** @param {URL} url */
function markCurrent(url) {
  const path = url.pathname.replace(/\/$/, "");
  const links = [...navigation.querySelectorAll("a")];
  // A plugin and its first page may have one address: the page is what is looked at.
  const current = links.findLast((link) => new URL(link.href).pathname.replace(/\/$/, "") === path);
  for (const link of links) {
    if (link === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function drawAccount() {
  const somebody = await whoIsIt();
  const other = language === "en" ? "pt" : "en";
  const names = /** @type {const} */ ({ en: "English", pt: "Português" });
  const change = h(
    "button",
    { type: "button", lang: other, class: "plain", onclick: () => choose(other) },
    names[other],
  );
  fill(account, change, who(somebody));
}

/** @param {import("./access.js").Somebody | null} somebody */
function who(somebody) {
  if (somebody === null) {
    return h("button", { type: "button", onclick: () => void askForKey() }, t("Sign in"));
  }
  if (somebody.id === "") return null; // the host asks nobody
  return [
    h("span", { class: "who" }, somebody.name),
    h("button", { type: "button", onclick: () => void leave() }, t("Sign out")),
  ];
}

async function leave() {
  await attempt(async () => {
    if (!(await release())) return;
    await signOut();
    await drawNavigation();
    await show();
  });
}

/** @type {Promise<boolean> | null} */
let asking = null;

/** Ask for a key, once for all that need one at a time. */
function askForKey() {
  asking ??= askOnce().finally(() => {
    asking = null;
  });
  return asking;
}

async function askOnce() {
  const key = h("input", { type: "password", autocomplete: "current-password", required: true });
  const isIn = await ask({
    title: t("Sign in"),
    content: field(t("Key"), key, t("The page keeps none: it has a session for 12 hours")),
    action: t("Sign in"),
    submit: async () => {
      if (key.value === "") return t("A key is needed");
      await signIn(key.value.trim());
    },
  });
  forget();
  if (isIn) {
    await attempt(drawNavigation);
    // What was drawn for nobody has no buttons.
    if (isForNobody && (await release())) void show();
  }
  return isIn;
}

/**
 * Ask before a link takes away what somebody has not saved; then it is followed as any other.
 * @param {MouseEvent} event
 */
async function guarded(event) {
  const link = followedBy(event);
  if (link === null || unsaved().length === 0) return;
  event.preventDefault();
  event.stopPropagation();
  if (await release()) link.click();
}

/**
 * Links to views of this page open them, without another page.
 * @param {MouseEvent} event
 */
function followed(event) {
  const link = followedBy(event);
  if (link === null) return;
  const url = new URL(link.href);
  const base = new URL(document.baseURI);
  if (url.origin !== base.origin) return;
  const isBelow = `${url.pathname}/`.startsWith(base.pathname);
  if (!isBelow || !views.some((view) => view.path === pathOf(url))) return;
  event.preventDefault();
  fold();
  history.pushState(null, "", url);
  show().then(() => main.focus(), sayError);
}

/**
 * The link that a click leads away by; null if it leads nowhere, or to a page beside this one.
 * @param {MouseEvent} event
 */
function followedBy(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (link === null || link.target !== "" || link.hasAttribute("download")) return null;
  if (link.getAttribute("href")?.startsWith("#")) return null;
  if (event.defaultPrevented || event.button !== 0) return null;
  return event.metaKey || event.ctrlKey || event.shiftKey || event.altKey ? null : link;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  main.focus();
}

/** @param {Event} event */
function unfold(event) {
  const button = /** @type {HTMLElement} */ (event.currentTarget);
  const isOpen = navigation.classList.toggle("open");
  button.setAttribute("aria-expanded", String(isOpen));
}

function fold() {
  navigation.classList.remove("open");
  document.querySelector("button.menu")?.setAttribute("aria-expanded", "false");
}
