// @ts-check
/**
 * Work that is done again and again while somebody looks: not in a hidden page, and less often
 * while it fails.
 */

const LONGEST_SECONDS = 60;

/**
 * Do work now and then, until the signal says that it is over.
 * @param {() => Promise<void>} work what it raises has it wait twice as long, each time
 * @param {number} seconds the pause between two times
 * @param {AbortSignal} signal
 */
export async function repeat(work, seconds, signal) {
  let pause = seconds;
  while (!signal.aborted) {
    if (document.hidden) await untilSeen(signal);
    if (signal.aborted) return;
    try {
      await work();
      pause = seconds;
    } catch {
      // Whoever does the work shows what is wrong; here it only takes longer.
      pause = Math.min(LONGEST_SECONDS, pause * 2);
    }
    await sleep(pause * 1000, signal);
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>} also done once the signal says that it is over
 */
export function sleep(milliseconds, signal) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function untilSeen(signal) {
  return new Promise((done) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}
