// @ts-check
/**
 * What leaves the page: files and the clipboard.
 */
import { h } from "./dom.js";
import { say, sayError } from "./notice.js";
import { t } from "./texts.js";

/**
 * Have the browser keep a file.
 * @param {string} name
 * @param {BlobPart[]} parts
 * @param {string} type such as `application/json`
 */
export function save(name, parts, type) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Put a text on the clipboard, and say so.
 * @param {string} text
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say(t("Copied"));
  } catch {
    // Without TLS browsers have no clipboard for pages, but for this machine.
    sayError(new Error(t("The browser does not let this page copy: it needs HTTPS")));
  }
}
