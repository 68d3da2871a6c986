// @ts-check
/**
 * Questions that wait for their answer.
 */
import { h, newId } from "./dom.js";
import { guardForm, unsaved } from "./drafts.js";
import { t } from "./texts.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {import("./dom.js").Child} [content]
 * @property {string} [action] what the button says that goes on
 * @property {boolean} [dangerous] whether something is lost for good
 * @property {() => Promise<string | null | void>} [submit] does it: where it returns a text or raises, that is shown and the question stays
 * @property {boolean} [final] whether there is nothing to cancel: only its button closes it
 * @property {boolean} [wide]
 */

/**
 * Ask, in a dialog that keeps the focus until it is answered.
 * @param {Question} question
 * @returns {Promise<boolean>} whether to go on, or that it is done
 */
export function ask(question) {
  const { title, content, action = t("OK"), dangerous = false, submit, final = false, wide = false } = question;
  const id = newId();
  const problem = h("p", { class: "problem", role: "alert" });
  const go = h("button", { type: "submit", class: dangerous ? "danger" : "primary" }, action);
  const form = h(
    "form",
    { class: "stack", novalidate: true },
    h("h2", { id }, title),
    content,
    problem,
    h(
      "div",
      { class: "actions" },
      final ? null : h("button", { type: "button", onclick: () => dialog.close() }, t("Cancel")),
      go,
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": id, tabindex: -1, class: wide ? "wide" : null, closedby: final ? "none" : null }, form);
  const closed = new AbortController();
  let isDone = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      problem.textContent = (await submit?.()) || "";
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
    }
    go.disabled = false;
    if (document.activeElement === document.body) go.focus(); // it was pressed, and lost the focus
    if (problem.textContent === "") {
      isDone = true;
      dialog.close();
    }
  });
  dialog.addEventListener("cancel", async (event) => {
    if (event.target !== dialog) return; // that of a field for files
    if (!final && !draft.holds()) return;
    event.preventDefault();
    if (!final && (await discards())) dialog.close();
  });
  document.body.append(dialog);
  const draft = guardForm(form, closed.signal);
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => {
      closed.abort();
      dialog.remove();
      answer(isDone);
    });
  });
}

/** Close what is asked, since nobody looks at what it is about any more. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

/** @type {Promise<boolean> | null} */
let releasing = null;

/**
 * Let go what is not saved, if there is anything and somebody agrees.
 * @returns {Promise<boolean>} whether nothing is left to lose
 */
export function release() {
  releasing ??= releaseOnce().finally(() => {
    releasing = null;
  });
  return releasing;
}

async function releaseOnce() {
  if (unsaved().length === 0) return true;
  const agrees = await discards();
  if (agrees) for (const draft of unsaved()) draft.forget();
  return agrees;
}

function discards() {
  return ask({ title: t("Discard what is not saved?"), action: t("Discard"), dangerous: true });
}

/**
 * A form in the page, which shows what goes wrong when it is sent. What is typed into it is guarded.
 * @param {string} look its class, `row` or `stack`
 * @param {AbortSignal} signal says that the form is gone
 * @param {(forget: () => void) => Promise<void>} submit sends it, and forgets what was typed once that is kept
 * @param {(problem: HTMLElement) => import("./dom.js").Child[]} content what is in it, with the place for a problem
 */
export function sendingForm(look, signal, submit, content) {
  const problem = h("p", { class: "problem", role: "alert" });
  /** @param {Event} event */
  const onsubmit = async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await submit(draft.forget);
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
    }
  };
  const form = h("form", { class: look, onsubmit }, ...content(problem));
  const draft = guardForm(form, signal);
  return form;
}

/**
 * A field with its label.
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} [hint]
 * @param {HTMLElement} [shown] what stands there with the control in it; the control alone unless said
 */
export function field(label, control, hint, shown = control) {
  control.id ||= newId();
  const hintId = hint ? newId() : null;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h(
    "div",
    { class: "field" },
    h("label", { for: control.id }, label),
    shown,
    hint ? h("small", { id: hintId }, hint) : null,
  );
}

/**
 * A box to tick, with its label.
 * @param {string} label
 * @param {HTMLInputElement} box
 */
export function ticked(label, box) {
  box.type = "checkbox";
  return h("label", { class: "ticked" }, box, " ", label);
}
