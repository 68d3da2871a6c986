// @ts-check
/**
 * The page of redirects.
 */
import { openShell } from "../.well-known/buntime/ui/shell.js";
import { addTexts } from "../.well-known/buntime/ui/texts.js";
import { PT } from "./pt.js";
import { openRules } from "./rules.js";

addTexts("pt", PT);

await openShell([{ path: "", title: "Redirects", open: openRules }]);
