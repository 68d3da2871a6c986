// @ts-check
/**
 * Changes of keys by server-sent events, over as many connections as it takes.
 *
 * @import { Change, Target, WatchOptions, WatchState } from "../client.js"
 * @import { Connection } from "./connection.js"
 */

import { KeyValError } from "./connection.js";
import { decode, encode, wireKey } from "./wire.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Changes as they come: iterate over it. Each step is an array of the keys that changed since the one
 * before, as they are now; the first one is what is there. **An empty one says that changes were
 * lost**: what is known is to be forgotten, and all that is there follows.
 *
 * @implements {AsyncIterable<Change[]>}
 */
export class Watch {
  #connection;
  #path;
  #query;
  #onState;
  /** @type {WatchState} */
  #state = "waiting";
  #lastId = "";
  /** What was not taken yet, by key: the newest of each. @type {Map<string, Change>} */
  #pending = new Map();
  #isReset = false;
  /** @type {unknown} */
  #error = null;
  #isStarted = false;
  #isOver = false;
  /** @type {EventSource | null} */
  #source = null;
  #wake = () => {};
  #interrupt = () => {};

  /**
   * @param {Connection} connection
   * @param {Target} target
   * @param {WatchOptions} options
   */
  constructor(connection, target, { initial, limit, onState = () => {} }) {
    this.#connection = connection;
    this.#onState = onState;
    this.#path = "keys" in target ? "watch" : "watch/prefix";
    const wired = Object.entries(target).map(([name, value]) =>
      [name, name === "prefix" ? wireKey(value) : value.map(wireKey)]);
    this.#query = { initial, limit, ...Object.fromEntries(wired) };
  }

  /** Whether it is connected. */
  get state() {
    return this.#state;
  }

  /** End it: whoever iterates over it is at the end. */
  stop() {
    this.#isOver = true;
    this.#source?.close();
    this.#interrupt();
    this.#wake();
    this.#become("ended");
  }

  /**
   * @returns {AsyncGenerator<Change[], void, void>}
   * @throws {KeyValError} If the server refuses it.
   */
  async *[Symbol.asyncIterator]() {
    if (this.#isStarted) {
      throw new TypeError("A watch can be iterated over once: make another one");
    }
    this.#isStarted = true;
    void this.#run();
    try {
      for (;;) {
        if (this.#isOver && this.#error === null) {
          return;
        }
        if (this.#isReset) {
          this.#isReset = false;
          yield [];
        } else if (this.#pending.size > 0) {
          const changes = [...this.#pending.values()];
          this.#pending.clear();
          yield changes;
        } else if (this.#error !== null) {
          throw this.#error;
        } else {
          await new Promise((done) => { this.#wake = () => done(null); });
        }
      }
    } finally {
      this.stop();
    }
  }

  async #run() {
    let failures = 0;
    while (!this.#isOver) {
      let pause = 0;
      try {
        this.#become("connecting");
        failures = (await this.#connect()) ? 0 : failures + 1;
        if (failures > 0) {
          // An `EventSource` does not say why it failed.
          await this.#connection.tryStream(this.#path, this.#query);
        }
      } catch (error) {
        failures += 1;
        if (!(error instanceof KeyValError) || isFinal(error.status)) {
          this.#error = error;
          this.stop();
          return;
        }
        pause = error.retryAfterMs ?? 0;
      }
      if (!this.#isOver) {
        this.#become("waiting");
        const longest = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
        await this.#wait(Math.max(pause, longest * (0.5 + Math.random() / 2)));
      }
    }
  }

  /** Listen until the connection ends; whether there was one. @returns {Promise<boolean>} */
  async #connect() {
    const lastEventId = this.#lastId || undefined;
    const url = await this.#connection.streamAddress(this.#path, { ...this.#query, lastEventId });
    if (this.#isOver) {
      return false;
    }
    const source = new EventSource(url);
    this.#source = source;
    let wasOpen = false;
    source.addEventListener("open", () => {
      wasOpen = true;
      this.#become("open");
    });
    for (const name of ["change", "ping", "reset"]) {
      source.addEventListener(name, (event) => this.#told(name, event));
    }
    await new Promise((done) => {
      this.#interrupt = () => done(null);
      source.addEventListener("error", () => done(null));
    });
    // It would come again by itself, with a ticket that is good no more, and without a pause.
    source.close();
    return wasOpen;
  }

  /** @param {string} name @param {MessageEvent<string>} event */
  #told(name, event) {
    this.#lastId = event.lastEventId;
    if (name === "reset") {
      this.#pending.clear();
      this.#isReset = true;
    } else if (name === "change") {
      for (const change of decode(event.data)) {
        this.#pending.set(encode(change.key), change);
      }
    }
    this.#wake();
  }

  /** @param {number} ms */
  async #wait(ms) {
    await new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#interrupt = () => {
        clearTimeout(timer);
        done(null);
      };
    });
  }

  /** @param {WatchState} state */
  #become(state) {
    if (state !== this.#state && this.#state !== "ended") {
      this.#state = state;
      this.#onState(state);
    }
  }
}

/** Whether trying again does not help. @param {number} status */
function isFinal(status) {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}
