// @ts-check
/**
 * Requests to the API, and what goes wrong with them.
 *
 * @import { RequestOptions, Value } from "../client.js"
 */

import { decode, encode } from "./wire.js";

/** What went wrong: `code` for programs, `message` for people. */
export class KeyValError extends Error {
  /**
   * @param {string} message
   * @param {string} code That of the server, or `INVALID_INPUT`, `NOT_FOUND` and `FAILED` where it
   *     names none. Without an answer `UNREACHABLE`, and of a write `OUTCOME_UNKNOWN`: it may be
   *     done or not.
   * @param {number} status Of the answer; 0 without one.
   * @param {{ retryAfterMs?: number, versionstamp?: string | null }} [more]
   */
  constructor(message, code, status, more = {}) {
    super(message);
    this.name = "KeyValError";
    this.code = code;
    this.status = status;
    /** After how many milliseconds to try again, if the server said so. */
    this.retryAfterMs = more.retryAfterMs;
    /** Of a condition that did not hold: the versionstamp that the entry has. */
    this.versionstamp = more.versionstamp;
  }
}

/** Where the API is, and who asks. */
export class Connection {
  #base;
  #key;
  /** @type {Promise<URL> | undefined} */
  #tickets;

  /**
   * @param {string | URL} url Of the API.
   * @param {string | undefined} key Of access.
   */
  constructor(url, key) {
    this.#base = new URL(String(url).replace(/\/*$/, "/"));
    this.#key = key;
  }

  /**
   * @param {string} method
   * @param {string} path Below the API, without a slash in front.
   * @param {RequestOptions} options
   * @returns {Promise<Value>} What was answered.
   * @throws {KeyValError}
   */
  async request(method, path, { query, body, idempotencyKey, isRead = method === "GET", signal }) {
    const headers = this.#headers();
    if (body !== undefined) {
      headers["content-type"] = "application/json";
    }
    if (idempotencyKey !== undefined) {
      headers["idempotency-key"] = idempotencyKey;
    }
    const sent = body === undefined ? undefined : encode(body);
    const answer = await ask(this.address(path, query), isRead, {
      method, headers, signal, body: sent, cache: "no-store",
    });
    return answer.isJson ? decode(answer.text) : answer.text;
  }

  /**
   * The URL of a path below the API.
   *
   * @param {string} path
   * @param {Record<string, unknown>} [query]
   */
  address(path, query = {}) {
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) {
        url.searchParams.set(name, typeof value === "string" ? value : encode(value));
      }
    }
    return url;
  }

  /**
   * The URL of an event stream, good for one connection: browsers send no key with those.
   *
   * @param {string} path
   * @param {Record<string, unknown>} query
   * @throws {KeyValError}
   */
  async streamAddress(path, query) {
    const url = this.address(path, query);
    if (this.#key !== undefined) {
      // The API is two segments below the host: the base of the plugin, and `api`.
      const host = new URL("../../", this.#base);
      const seen = url.pathname.slice(host.pathname.length - 1);
      const told = await ask(await this.#ticketsOf(host), true, {
        method: "POST",
        headers: { ...this.#headers(), "content-type": "application/json" },
        body: JSON.stringify({ path: seen }),
      });
      url.searchParams.set("ticket", JSON.parse(told.text).data.ticket);
    }
    return url;
  }

  /**
   * Ask for an event stream only to be told why it is refused; nothing happens if it is not.
   *
   * @param {string} path
   * @param {Record<string, unknown>} query
   * @throws {KeyValError}
   */
  async tryStream(path, query) {
    const abort = new AbortController();
    try {
      const headers = { ...this.#headers(), accept: "text/event-stream" };
      const answer = await send(this.address(path, query), true, {
        headers, signal: abort.signal, cache: "no-store",
      });
      if (!answer.ok) {
        throw refusal(answer, await answer.text());
      }
    } finally {
      abort.abort();
    }
  }

  /** @returns {Record<string, string>} */
  #headers() {
    return this.#key === undefined ? {} : { "x-api-key": this.#key };
  }

  /** Where a host makes tickets. @param {URL} host @returns {Promise<URL>} */
  async #ticketsOf(host) {
    this.#tickets ??= ask(new URL(".well-known/buntime", host), true, {}).then(
      ({ text }) => new URL(`${JSON.parse(text).api.slice(1)}/admin/tickets`, host),
    );
    try {
      return await this.#tickets;
    } catch (error) {
      this.#tickets = undefined;
      throw error;
    }
  }
}

/**
 * Send a request and read the answer, which has to be a success.
 *
 * @param {URL} url
 * @param {boolean} isRead
 * @param {RequestInit} init
 */
async function ask(url, isRead, init) {
  const answer = await send(url, isRead, init);
  const text = await answered(isRead, init, () => answer.text());
  if (!answer.ok) {
    throw refusal(answer, text);
  }
  const type = answer.headers.get("content-type") ?? "";
  return { text, isJson: type.startsWith("application/json") };
}

/** @param {URL} url @param {boolean} isRead @param {RequestInit} init */
function send(url, isRead, init) {
  return answered(isRead, init, () => fetch(url, { credentials: "same-origin", ...init }));
}

/**
 * What a network gives, or an error that says what its failure means.
 *
 * @template T
 * @param {boolean} isRead
 * @param {RequestInit} init
 * @param {() => Promise<T>} wait
 * @returns {Promise<T>}
 */
async function answered(isRead, init, wait) {
  try {
    return await wait();
  } catch (error) {
    if (init.signal?.aborted) {
      throw error;
    }
    throw isRead
      ? new KeyValError(`No answer came: ${error}`, "UNREACHABLE", 0)
      : new KeyValError(
        `No answer came, so it may be done or not: ${error}`, "OUTCOME_UNKNOWN", 0,
      );
  }
}

/** @param {Response} answer @param {string} text @returns {KeyValError} */
function refusal(answer, text) {
  /** @type {{ error?: string, code?: string, versionstamp?: string | null }} */
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // Of a proxy between, which has its own pages.
  }
  const seconds = answer.headers.get("retry-after");
  return new KeyValError(
    told.error ?? `The server answered ${answer.status}`,
    told.code ?? unnamed(answer.status),
    answer.status,
    {
      retryAfterMs: seconds === null ? undefined : Number(seconds) * 1000 || undefined,
      versionstamp: told.versionstamp,
    },
  );
}

/** @param {number} status */
function unnamed(status) {
  return status === 400 ? "INVALID_INPUT" : status === 404 ? "NOT_FOUND" : "FAILED";
}
