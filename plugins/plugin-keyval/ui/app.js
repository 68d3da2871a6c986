// @ts-check
/**
 * The pages of the key-value store.
 */
import { openShell } from "../.well-known/buntime/ui/shell.js";
import { addTexts } from "../.well-known/buntime/ui/texts.js";
import { openEntries } from "./entries.js";
import { openEntry } from "./entry.js";
import { openOverview } from "./overview.js";
import { PT } from "./pt.js";

addTexts("pt", PT);

await openShell([
  { path: "", title: "Overview", open: openOverview },
  { path: "entries", title: "Entries", open: openEntries },
  { path: "entry", title: "Entry", open: openEntry },
]);
