// @ts-check
/**
 * The pages of the gateway.
 */
import { openShell } from "../.well-known/buntime/ui/shell.js";
import { addTexts } from "../.well-known/buntime/ui/texts.js";
import { openAnswers } from "./answers.js";
import { openLimits } from "./limits.js";
import { openLog } from "./log.js";
import { openOverview } from "./overview.js";
import { PT } from "./pt.js";
import { openExcludes } from "./shell.js";

addTexts("pt", PT);

await openShell([
  { path: "", title: "Gateway", open: openOverview },
  { path: "limits", title: "Limits", open: openLimits },
  { path: "answers", title: "Kept answers", open: openAnswers },
  { path: "shell", title: "Shell", open: openExcludes },
  { path: "log", title: "Log of requests", open: openLog },
]);
