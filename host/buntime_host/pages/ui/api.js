// @ts-check
/**
 * Requests to this host, relative to the page: they work below any path.
 */

/** The address of the host, which may lie below a path of its own. */
export const HOST = new URL("../../../", import.meta.url);

/** What a host or a plugin refused, or that it was not there to be asked (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {string} [code]
   * @param {any} [body] the answer, where it was JSON
   */
  constructor(status, message, code = "", body = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.body = body;
  }
}

/**
 * @typedef {object} Options
 * @property {string} [method] `GET` unless said
 * @property {Record<string, string | number | boolean | null | undefined>} [query] what is null is left out
 * @property {unknown} [json] the body, as JSON
 * @property {string} [text] the body, which is JSON already
 * @property {boolean} [raw] whether an answer stays the text that it is
 * @property {AbortSignal} [signal]
 * @property {boolean} [asks] whether a page asks for a key where one is needed; it does unless said
 */

/** @type {() => Promise<boolean>} */
let askForKey = async () => false;

/**
 * Say who asks for a key where a request needs one; what it promises is whether there is one now.
 * @param {() => Promise<boolean>} ask
 */
export function onUnauthorized(ask) {
  askForKey = ask;
}

/**
 * The address of something below the API of the plugin whose page this is.
 * @param {string} path such as `keys/count`
 * @param {Options["query"]} [query]
 */
export function apiUrl(path, query = {}) {
  return withQuery(new URL(`api/${path}`, document.baseURI), query);
}

/**
 * Ask the API of the plugin whose page this is.
 * @param {string} path such as `keys/count`
 * @param {Options} [options]
 * @returns {Promise<any>} the answer, parsed where it is JSON; raises `ApiError`
 */
export function api(path, options = {}) {
  return ask(apiUrl(path, options.query), options);
}

/** @type {Promise<string> | null} */
let apiPath = null;

/**
 * Ask the API of the host.
 * @param {string} path such as `plugins/loaded`
 * @param {Options} [options]
 * @returns {Promise<any>} as `api`
 */
export async function hostApi(path, options = {}) {
  apiPath ??= ask(new URL(".well-known/buntime", HOST), {}).then((known) => known.api);
  try {
    const below = new URL(`.${await apiPath}/`, HOST);
    return await ask(withQuery(new URL(path, below), options.query ?? {}), options);
  } catch (error) {
    if (error instanceof ApiError && error.status === 0) apiPath = null;
    throw error;
  }
}

/**
 * Ask for anything of this host.
 * @param {URL} url
 * @param {Options} options
 * @returns {Promise<any>} as `api`
 */
export async function ask(url, options) {
  const response = await send(url, options);
  const text = await read(response);
  if (response.ok && options.raw) return text;
  const body = isJson(response) ? JSON.parse(text) : text;
  if (response.ok) return body;
  if (response.status === 401 && options.asks !== false && (await askForKey())) {
    return ask(url, { ...options, asks: false });
  }
  const said = body?.error ?? `${response.status} ${response.statusText}`;
  throw new ApiError(response.status, said, body?.code ?? "", body);
}

/**
 * @param {URL} url
 * @param {Options} options
 */
async function send(url, options) {
  const body = options.json === undefined ? options.text : JSON.stringify(options.json);
  try {
    return await fetch(url, {
      method: options.method ?? "GET",
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body,
      signal: options.signal,
      cache: "no-store",
    });
  } catch (error) {
    throw failed(error);
  }
}

/** @param {Response} response */
async function read(response) {
  try {
    return await response.text();
  } catch (error) {
    throw failed(error);
  }
}

/** @param {unknown} error */
function failed(error) {
  if (error instanceof DOMException && error.name === "AbortError") return error;
  return new ApiError(0, "The server cannot be reached", "UNREACHABLE");
}

/** @param {Response} response */
function isJson(response) {
  return (response.headers.get("content-type") ?? "").startsWith("application/json");
}

/**
 * @param {URL} url
 * @param {NonNullable<Options["query"]>} query
 */
function withQuery(url, query) {
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}
