// @ts-check
/**
 * The pages of the key-value store.
 */
import { openShell } from "../.well-known/buntime/ui/shell.js";
import { addTexts } from "../.well-known/buntime/ui/texts.js";
import { openAtomic } from "./atomic.js";
import { openConsumer } from "./consumer.js";
import { openConsumers } from "./consumers.js";
import { openEntries } from "./entries.js";
import { openEntry } from "./entry.js";
import { openLocks } from "./locks.js";
import { openMetrics } from "./metrics.js";
import { openOverview } from "./overview.js";
import { PT } from "./pt.js";
import { openQueue } from "./queue.js";
import { openSchedules } from "./schedules.js";
import { openSearch } from "./search.js";
import { openStreams } from "./streams.js";
import { openTask } from "./task.js";
import { openTasks } from "./tasks.js";
import { openWatch } from "./watch.js";

addTexts("pt", PT);

await openShell([
  { path: "", title: "Overview", open: openOverview },
  { path: "entries", title: "Entries", open: openEntries },
  { path: "entry", title: "Entry", open: openEntry },
  { path: "queue", title: "Queue", open: openQueue },
  { path: "tasks", title: "Tasks", open: openTasks },
  { path: "task", title: "Task", open: openTask },
  { path: "schedules", title: "Schedules", open: openSchedules },
  { path: "search", title: "Search", open: openSearch },
  { path: "watch", title: "Watch", open: openWatch },
  { path: "atomic", title: "Atomic", open: openAtomic },
  { path: "streams", title: "Streams", open: openStreams },
  { path: "consumers", title: "Consumers", open: openConsumers },
  { path: "consumer", title: "Consumer", open: openConsumer },
  { path: "locks", title: "Locks", open: openLocks },
  { path: "metrics", title: "Metrics", open: openMetrics },
]);
