// @ts-check
/**
 * The key-value store in a browser, or wherever else there is `fetch`. Nothing else is needed.
 *
 *     import { KeyVal } from "/keyval/client.js";
 *     const kv = new KeyVal();
 *     await kv.set(["users", 1], { name: "Ada" });
 *
 * Values are what JSON has, and bigints and bytes besides (`Uint8Array`), at any depth. A `Date` is
 * stored as its ISO text. What the store could not give back as it was is refused with a `TypeError`
 * before anything is sent.
 *
 * @typedef {string | number | bigint | boolean | Uint8Array} KeyPart
 * @typedef {KeyPart | Date | { $uuidv7: true }} GivenPart A time is its UTC text; see `uuidv7`.
 * @typedef {readonly GivenPart[]} Key 1 to 20 parts.
 * @typedef {readonly (GivenPart | { $any: true })[]} Pattern Keys of as many parts; see `any`.
 * @typedef {any} Value
 * @typedef {number | string} Duration Milliseconds, or a text such as `30s` or `1.5h`.
 *
 * @typedef {object} Entry
 * @property {KeyPart[]} key
 * @property {Value} value
 * @property {string} versionstamp Another one after each write.
 * @property {Value} [metadata] This and what follows come with `details`; null for none.
 * @property {number} [createdAt] Milliseconds since 1970, as the other times.
 * @property {number} [updatedAt]
 * @property {number | null} [expiresAt]
 * @property {number} [revision] How often it was written, from 1.
 * @property {string | null} [type]
 *
 * @typedef {object} Change What there is of a key now; value and versionstamp are null if it is gone.
 * @property {KeyPart[]} key
 * @property {Value} value
 * @property {string | null} versionstamp
 *
 * @typedef {object} EntryOptions
 * @property {Duration} [expiresIn] Without it, and `expiresAt`, an entry lives for ever.
 * @property {number | Date} [expiresAt]
 * @property {Value} [metadata]
 * @property {string} [type] What kind of entry it is.
 *
 * @typedef {EntryOptions & { onCreate?: EntryOptions }} MergeOptions
 *     What is not said stays as it is; `onCreate` is for a key that is missing.
 *
 * @typedef {object} WriteOptions
 * @property {string} [idempotencyKey] Names the write: it may be sent again and is done once.
 * @property {AbortSignal} [signal]
 *
 * @typedef {object} ReadOptions
 * @property {boolean} [details] Whether entries have metadata, times, revision and type.
 * @property {boolean} [values] Whether they have their values; true unless said.
 * @property {AbortSignal} [signal]
 *
 * @typedef {object} Selector Which entries, in the order of their keys.
 * @property {Key} [prefix] What extends a key; `[]` and no selector at all are everything.
 * @property {readonly Key[]} [prefixes] What extends one of them.
 * @property {Key} [startsWith] Those whose part in the place of the last one begins like it.
 * @property {Pattern} [pattern] Those of its parts, where `any` stands for whichever is there.
 * @property {string} [type] Those that were written with this type.
 * @property {Key} [start] The first one, if it is there.
 * @property {Key} [end] The first one that is not meant any more.
 * @property {number} [offset] So many are passed over.
 * @property {boolean} [reverse]
 * @property {object} [where] A filter of values, such as `{age: {$gte: 18}}`.
 *
 * @typedef {object} Paging
 * @property {number} [limit] Entries of one page, up to 1000.
 * @property {string} [cursor] Where the page before ended.
 * @property {boolean} [snapshot] Whether all pages show the state of the first one.
 *
 * @typedef {{ entries: Entry[], cursor: string | null, hasMore: boolean }} Page
 *
 * @typedef {object} SearchOptions
 * @property {number} [limit] Hits of one page, up to 1000.
 * @property {boolean} [reverse]
 * @property {object} [where]
 * @property {Key} [start]
 * @property {Key} [end]
 * @property {Record<string, number>} [weights] What a hit in a field counts.
 * @property {true | [string, string] | object} [highlight] The marks around hits.
 * @property {true | number} [snippet] Extracts, of so many words.
 * @property {boolean} [fuzzy] Whether similar words do where nothing is found.
 * @property {boolean} [explain] Whether to say how hits were found, and how good each is.
 * @property {string} [cursor]
 * @property {AbortSignal} [signal]
 *
 * @typedef {Entry & { highlight?: Record<string, string>, snippet?: Record<string, string>,
 *     score?: number }} Hit
 * @typedef {{ text: string, entries: number, more: boolean, prefix: boolean,
 *     field: string | null }} Term
 * @typedef {{ tokenize: string, terms: Term[], asked: string | null, plan: string[] }} Explained
 * @typedef {{ entries: Hit[], cursor: string | null, hasMore: boolean, warnings?: string[],
 *     searchedFor?: string, explained?: Explained }} HitPage
 *
 * @typedef {object} MessageOptions
 * @property {Duration} [delay]
 * @property {readonly Duration[]} [backoffSchedule] Pauses before further deliveries.
 * @property {readonly Key[]} [keysIfUndelivered] They get the value when it is given up.
 * @property {string} [queue] The one without a name unless said.
 * @property {number} [priority] From -10 to 10.
 * @property {string} [id] Messages of one id are sent once.
 *
 * @typedef {{ ok: true, versionstamp: string, results?: Value[] } | { ok: false }} Commit
 *     Of a commit whose checks did not hold, `ok` is false, and nothing was written.
 *
 * @typedef {{ keys: readonly Key[] } | { prefix: Key } | { prefixes: readonly Key[] }} Target
 *     Exactly these keys; what extends a key; or keys with what extends them.
 *
 * @typedef {"connecting" | "open" | "waiting" | "ended"} WatchState
 *     It waits before it connects again.
 *
 * @typedef {object} WatchOptions
 * @property {boolean} [initial] Whether what is there comes first; true unless said.
 * @property {number} [limit] Entries of one event of a prefix, up to 1000.
 * @property {(state: WatchState) => void} [onState] Is told of each change of the state.
 *
 * @typedef {object} RequestOptions
 * @property {Record<string, unknown>} [query] Members that are undefined are left out.
 * @property {Value} [body]
 * @property {string} [idempotencyKey]
 * @property {boolean} [isRead] Whether it changes nothing, though it is no `GET`.
 * @property {AbortSignal} [signal]
 */

import { Connection } from "./client/connection.js";
import { Watch } from "./client/watch.js";
import { wireEntry, wireKey, wireMessage, wireSelector } from "./client/wire.js";

export { KeyValError } from "./client/connection.js";
export { any, decode, encode, now, uuidv7 } from "./client/wire.js";

/** A store. It holds no connection, so that nothing needs to be closed. */
export class KeyVal {
  #connection;

  /**
   * @param {object} [options]
   * @param {string | URL} [options.url] The URL of the API; that beside this module unless said.
   * @param {string} [options.key] The key of access. Pages of the host itself need none: they have
   *     a session, or the host is open.
   */
  constructor({ url = new URL("api", import.meta.url), key } = {}) {
    this.#connection = new Connection(url, key);
  }

  /**
   * The entry of a key, null if there is none.
   *
   * @param {Key} key
   * @param {ReadOptions} [options]
   * @returns {Promise<Entry | null>}
   */
  async get(key, options = {}) {
    return (await this.getMany([key], options))[0];
  }

  /**
   * The entries of up to 1000 keys, as they are asked for.
   *
   * @param {readonly Key[]} keys
   * @param {ReadOptions} [options]
   * @returns {Promise<(Entry | null)[]>}
   */
  async getMany(keys, { signal, ...options } = {}) {
    const body = { ...options, keys: keys.map(wireKey) };
    const found = await this.request("POST", "keys/batch", { body, signal, isRead: true });
    return found.map((/** @type {Change} */ it) => (it.versionstamp === null ? null : it));
  }

  /**
   * Set the value of a key.
   *
   * @param {Key} key
   * @param {Value} value
   * @param {EntryOptions & WriteOptions & { ifVersion?: string | null }} [options] With `ifVersion`
   *     it is written only if it has this versionstamp, or is missing if that is null.
   * @returns {Promise<Commit>}
   */
  async set(key, value, { ifVersion, idempotencyKey, signal, ...options } = {}) {
    const atomic = this.atomic();
    if (ifVersion !== undefined) {
      atomic.check(key, ifVersion);
    }
    return atomic.set(key, value, options).commit({ idempotencyKey, signal });
  }

  /**
   * Delete a key **and everything that extends it**, unless it is said to be `exact`.
   *
   * @param {Key} key
   * @param {WriteOptions & { exact?: boolean, where?: object }} [options]
   * @returns {Promise<number>} How many entries there were.
   */
  async delete(key, { idempotencyKey, signal, ...options } = {}) {
    const body = { ...options, keys: [wireKey(key)] };
    const told = await this.request("POST", "keys/delete-batch", {
      body, idempotencyKey, signal,
    });
    return told.deletedCount;
  }

  /**
   * All entries of a selector, page by page as they are iterated over.
   *
   * @param {Selector & Paging & ReadOptions} [options] `limit` is that of a page.
   * @returns {AsyncGenerator<Entry, void, void>}
   */
  async *list(options = {}) {
    let cursor = options.cursor;
    let offset = options.offset;
    for (;;) {
      const page = await this.page({ ...options, cursor, offset });
      yield* page.entries;
      if (page.cursor === null) {
        return;
      }
      cursor = page.cursor;
      offset = undefined; // the first page has passed over them
    }
  }

  /**
   * One page of them.
   *
   * @param {Selector & Paging & ReadOptions} [options]
   * @returns {Promise<Page>}
   */
  async page({ signal, ...options } = {}) {
    const body = wireSelector(options);
    return this.request("POST", "keys/paginate", { body, signal, isRead: true });
  }

  /**
   * How many entries there are.
   *
   * @param {Selector & { signal?: AbortSignal }} [options]
   * @returns {Promise<number>}
   */
  async count({ signal, ...options } = {}) {
    const body = wireSelector(options);
    const told = await this.request("POST", "keys/count", { body, signal, isRead: true });
    return told.count;
  }

  /** Checks and mutations that are done together, or not at all. */
  atomic() {
    return new Atomic(this);
  }

  /**
   * Send a message.
   *
   * @param {Value} value
   * @param {MessageOptions & WriteOptions} [options]
   * @returns {Promise<string>} Its id.
   */
  async enqueue(value, { idempotencyKey, signal, ...options } = {}) {
    const body = { value, options: wireMessage(options) };
    const told = await this.request("POST", "queue/enqueue", { body, idempotencyKey, signal });
    return told.id;
  }

  /**
   * All hits of a search, the best first, page by page as they are iterated over.
   *
   * @param {Key} prefix That of an index.
   * @param {string} query
   * @param {SearchOptions} [options] `limit` is that of a page.
   * @returns {AsyncGenerator<Hit, void, void>}
   */
  async *search(prefix, query, options = {}) {
    let cursor = options.cursor;
    for (;;) {
      const page = await this.searchPage(prefix, query, { ...options, cursor });
      yield* page.entries;
      if (page.cursor === null) {
        return;
      }
      cursor = page.cursor;
    }
  }

  /**
   * One page of them, with what the server remarks.
   *
   * @param {Key} prefix
   * @param {string} query
   * @param {SearchOptions} [options]
   * @returns {Promise<HitPage>}
   */
  async searchPage(prefix, query, { signal, ...options } = {}) {
    const body = { ...wireSelector(options), prefix: wireKey(prefix), query };
    return this.request("POST", "search/paginate", { body, signal, isRead: true });
  }

  /**
   * Follow the changes of keys. It connects when it is iterated over, and goes on where it was when
   * a connection is lost.
   *
   * @param {Target} target
   * @param {WatchOptions} [options]
   */
  watch(target, options = {}) {
    return new Watch(this.#connection, target, options);
  }

  /**
   * Any other request of the API, such as `request("GET", "queue/stats")`.
   *
   * @param {string} method
   * @param {string} path Below the API, without a slash in front.
   * @param {RequestOptions} [options]
   * @returns {Promise<Value>} What was answered.
   * @throws {KeyValError}
   */
  async request(method, path, options = {}) {
    return this.#connection.request(method, path, options);
  }
}

/** Checks and mutations, to be committed once. Its methods give it back, but for `commit`. */
export class Atomic {
  #kv;
  /** @type {object[]} */
  #checks = [];
  /** @type {object[]} */
  #mutations = [];

  /** @param {KeyVal} kv */
  constructor(kv) {
    this.#kv = kv;
  }

  /**
   * Do it only if a key has this versionstamp.
   *
   * @param {Key} key
   * @param {string | null} versionstamp null: if it is missing.
   */
  check(key, versionstamp) {
    this.#checks.push({ key: wireKey(key), versionstamp });
    return this;
  }

  /** @param {Key} key @param {Value} value @param {EntryOptions} [options] */
  set(key, value, options) {
    return this.#mutate("set", key, { value, ...wireEntry(options) });
  }

  /** Delete exactly this key. @param {Key} key */
  delete(key) {
    return this.#mutate("delete", key, {});
  }

  /**
   * Add to an integer of any size. A missing key counts as 0 here, and in `max` and `min`.
   *
   * @param {Key} key
   * @param {number | bigint} value
   * @param {MergeOptions} [options]
   */
  sum(key, value, options) {
    return this.#merge("sum", key, value, options);
  }

  /** @param {Key} key @param {number | bigint} value @param {MergeOptions} [options] */
  max(key, value, options) {
    return this.#merge("max", key, value, options);
  }

  /** @param {Key} key @param {number | bigint} value @param {MergeOptions} [options] */
  min(key, value, options) {
    return this.#merge("min", key, value, options);
  }

  /** @param {Key} key @param {readonly Value[]} values @param {MergeOptions} [options] */
  append(key, values, options) {
    return this.#merge("append", key, values, options);
  }

  /** @param {Key} key @param {readonly Value[]} values @param {MergeOptions} [options] */
  prepend(key, values, options) {
    return this.#merge("prepend", key, values, options);
  }

  /**
   * Merge into a value, as RFC 7396 has it.
   *
   * @param {Key} key
   * @param {Value} value
   * @param {MergeOptions} [options]
   */
  patch(key, value, options) {
    return this.#merge("patch", key, value, options);
  }

  /**
   * Give another life to what is there.
   *
   * @param {Key} key
   * @param {{ expiresIn: Duration } | { expiresAt: number | Date }} life
   */
  touch(key, life) {
    return this.#mutate("touch", key, wireEntry(life));
  }

  /** Have what is there live for ever. @param {Key} key */
  persist(key) {
    return this.#mutate("persist", key, {});
  }

  /** Send a message if it is committed. @param {Value} value @param {MessageOptions} [options] */
  enqueue(value, options = {}) {
    this.#mutations.push({ type: "enqueue", value, ...wireMessage(options) });
    return this;
  }

  /**
   * Do it. With `results` the answer says what each mutation made.
   *
   * @param {WriteOptions & { results?: boolean }} [options]
   * @returns {Promise<Commit>}
   */
  async commit({ results, idempotencyKey, signal } = {}) {
    const body = { checks: this.#checks, mutations: this.#mutations, results };
    return this.#kv.request("POST", "atomic", { body, idempotencyKey, signal });
  }

  /** @param {string} type @param {Key} key @param {object} members */
  #mutate(type, key, members) {
    this.#mutations.push({ type, key: wireKey(key), ...members });
    return this;
  }

  /** @param {string} type @param {Key} key @param {Value} value @param {MergeOptions} options */
  #merge(type, key, value, { onCreate, ...options } = {}) {
    const created = onCreate === undefined ? {} : { onCreate: wireEntry(onCreate) };
    return this.#mutate(type, key, { value, ...wireEntry(options), ...created });
  }
}
