// @ts-check
/**
 * The pages of the key-value store. A view is loaded when it is opened.
 */
import { openShell } from "../.well-known/buntime/ui/shell.js";
import { addTexts } from "../.well-known/buntime/ui/texts.js";
import { PT } from "./pt.js";

addTexts("pt", PT);

await openShell([
  { path: "", title: "Overview", open: async (opened) => (await import("./overview.js")).openOverview(opened) },
  { path: "entries", title: "Entries", open: async (opened) => (await import("./entries.js")).openEntries(opened) },
  { path: "entry", title: "Entry", open: async (opened) => (await import("./entry.js")).openEntry(opened) },
  { path: "queue", title: "Queue", open: async (opened) => (await import("./queue.js")).openQueue(opened) },
  { path: "tasks", title: "Tasks", open: async (opened) => (await import("./tasks.js")).openTasks(opened) },
  { path: "task", title: "Task", open: async (opened) => (await import("./task.js")).openTask(opened) },
  { path: "schedules", title: "Schedules", open: async (opened) => (await import("./schedules.js")).openSchedules(opened) },
  { path: "search", title: "Search", open: async (opened) => (await import("./search.js")).openSearch(opened) },
  { path: "watch", title: "Watch", open: async (opened) => (await import("./watch.js")).openWatch(opened) },
  { path: "atomic", title: "Atomic", open: async (opened) => (await import("./atomic.js")).openAtomic(opened) },
  { path: "streams", title: "Streams", open: async (opened) => (await import("./streams.js")).openStreams(opened) },
  { path: "consumers", title: "Consumers", open: async (opened) => (await import("./consumers.js")).openConsumers(opened) },
  { path: "consumer", title: "Consumer", open: async (opened) => (await import("./consumer.js")).openConsumer(opened) },
  { path: "locks", title: "Locks", open: async (opened) => (await import("./locks.js")).openLocks(opened) },
  { path: "metrics", title: "Metrics", open: async (opened) => (await import("./metrics.js")).openMetrics(opened) },
]);
