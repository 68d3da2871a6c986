// @ts-check
/**
 * What the gateway tells of itself every second, by one request: asking each time would be
 * requests of its log, and count for the limit of who looks.
 */
import { apiUrl } from "../.well-known/buntime/ui/api.js";
import { repeat } from "../.well-known/buntime/ui/live.js";
import { t } from "../.well-known/buntime/ui/texts.js";

/** @typedef {import("./log.js").Logged} Logged */
/** @typedef {import("./counts.js").Counts} Counts */

/**
 * @typedef {object} Told what an event says, as far as it is shown
 * @property {number} timestamp milliseconds since 1970
 * @property {{metrics: Counts} | null} rateLimit
 * @property {Logged[]} recentLogs the newest first
 */

const RETRY_SECONDS = 3;

/**
 * Hear of the gateway until the signal says that it is over; not while the page is hidden.
 * @param {(told: Told) => void} tell
 * @param {(isConnected: boolean) => void} note
 * @param {AbortSignal} signal
 */
export function follow(tell, note, signal) {
  return repeat(() => heard(tell, note, signal), RETRY_SECONDS, signal);
}

/**
 * @param {(told: Told) => void} tell
 * @param {(isConnected: boolean) => void} note
 * @param {AbortSignal} signal
 * @returns {Promise<void>} done when the page is hidden or left; fails where the stream ends
 */
function heard(tell, note, signal) {
  return new Promise((done, fail) => {
    const source = new EventSource(apiUrl("sse"));
    const end = () => {
      source.close();
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      note(false);
    };
    const look = () => {
      if (!document.hidden && !signal.aborted) return;
      end();
      done();
    };
    source.addEventListener("open", () => note(true));
    source.addEventListener("message", ({ data }) => tell(JSON.parse(data)));
    source.addEventListener("error", () => {
      end();
      fail(new Error(t("The server cannot be reached")));
    });
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
  });
}
