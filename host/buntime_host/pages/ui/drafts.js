// @ts-check
/**
 * What somebody has typed and not saved: in forms, dialogs and tables. Nobody loses it without a
 * word.
 */

/**
 * @typedef {object} Draft
 * @property {() => boolean} holds whether there is something to lose
 * @property {() => void} forget lets it go, since it is saved or given up
 */

/** @type {Set<Draft>} */
const drafts = new Set();

/**
 * Have somebody asked before a draft is lost: by a link, by a form that leads elsewhere, by the
 * browser's way back, or by the end of the page.
 * @param {Draft} draft
 * @param {AbortSignal} signal says that what has it is gone
 */
export function guardDraft(draft, signal) {
  if (signal.aborted) return;
  drafts.add(draft);
  signal.addEventListener("abort", () => drafts.delete(draft));
  const stay = (/** @type {Event} */ event) => {
    if (draft.holds()) event.preventDefault();
  };
  window.addEventListener("beforeunload", stay, { signal });
}

/** Those drafts that somebody would lose now. */
export function unsaved() {
  return [...drafts].filter((draft) => draft.holds());
}

/**
 * Guard what is typed into a form, from what it has now.
 * @param {HTMLFormElement} form
 * @param {AbortSignal} signal says that the form is gone
 * @returns {Draft} to forget what is saved
 */
export function guardForm(form, signal) {
  let kept = contentOf(form);
  const draft = {
    holds: () => contentOf(form) !== kept,
    forget() {
      kept = contentOf(form);
    },
  };
  guardDraft(draft, signal);
  return draft;
}

/**
 * What somebody has typed and chosen; a password is no draft.
 * @param {HTMLFormElement} form
 */
function contentOf(form) {
  const contents = [...form.elements].flatMap((control) => {
    if (control instanceof HTMLInputElement) {
      if (control.type === "password") return [];
      return [control.type === "checkbox" ? control.checked : control.value];
    }
    const holds = control instanceof HTMLTextAreaElement || control instanceof HTMLSelectElement;
    return holds ? [control.value] : [];
  });
  return JSON.stringify(contents);
}
