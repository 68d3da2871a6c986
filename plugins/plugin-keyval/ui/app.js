// @ts-check
/**
 * The pages of the key-value store.
 */
import { openShell } from "../.well-known/buntime/ui/shell.js";
import { addTexts } from "../.well-known/buntime/ui/texts.js";
import { openAtomic } from "./atomic.js";
import { openEntries } from "./entries.js";
import { openEntry } from "./entry.js";
import { openLocks } from "./locks.js";
import { openMetrics } from "./metrics.js";
import { openOverview } from "./overview.js";
import { PT } from "./pt.js";
import { openQueue } from "./queue.js";
import { openSearch } from "./search.js";
import { openStreams } from "./streams.js";
import { openWatch } from "./watch.js";

addTexts("pt", PT);

await openShell([
  { path: "", title: "Overview", open: openOverview },
  { path: "entries", title: "Entries", open: openEntries },
  { path: "entry", title: "Entry", open: openEntry },
  { path: "queue", title: "Queue", open: openQueue },
  { path: "search", title: "Search", open: openSearch },
  { path: "watch", title: "Watch", open: openWatch },
  { path: "atomic", title: "Atomic", open: openAtomic },
  { path: "streams", title: "Streams", open: openStreams },
  { path: "locks", title: "Locks", open: openLocks },
  { path: "metrics", title: "Metrics", open: openMetrics },
]);
