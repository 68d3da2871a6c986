// @ts-check
/**
 * Forms whose drafts nobody loses without a word.
 */
import { ask } from "./dialog.js";
import { guardView } from "./shell.js";
import { t } from "./texts.js";

/**
 * Ask before a view is left while a form has something else than what it has now.
 * @param {HTMLFormElement} form
 * @param {AbortSignal} signal of the view that has it
 */
export function guardForm(form, signal) {
  let kept = contentOf(form);
  guardView(
    {
      holds: () => contentOf(form) !== kept,
      async release() {
        const agrees = await ask({ title: t("Discard what is not saved?"), action: t("Discard"), dangerous: true });
        if (agrees) kept = contentOf(form);
        return agrees;
      },
    },
    signal,
  );
}

/** @param {HTMLFormElement} form */
function contentOf(form) {
  const contents = [...form.elements].map((control) => {
    if (control instanceof HTMLInputElement && control.type === "checkbox") return control.checked;
    const holds = control instanceof HTMLInputElement || control instanceof HTMLTextAreaElement;
    return holds ? control.value : null;
  });
  return JSON.stringify(contents);
}
