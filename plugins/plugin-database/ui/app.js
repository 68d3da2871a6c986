// @ts-check
/**
 * The pages of the databases.
 */
import { openShell } from "../.well-known/buntime/ui/shell.js";
import { addTexts } from "../.well-known/buntime/ui/texts.js";
import { openConsole } from "./console.js";
import { openOverview } from "./overview.js";
import { PT } from "./pt.js";
import { openStudio } from "./studio.js";

addTexts("pt", PT);

await openShell([
  { path: "", title: "Databases", open: openOverview },
  { path: "studio", title: "Studio", open: openStudio },
  { path: "console", title: "SQL console", open: openConsole },
]);
