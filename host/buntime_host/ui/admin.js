// @ts-check
/**
 * The pages of those who run the host: its keys, and who did what.
 */
import { openKeys } from "./keys.js";
import { openShell } from "./shell.js";
import { openTrail } from "./trail.js";

await openShell([
  { path: "keys", title: "Keys", open: openKeys },
  { path: "trail", title: "Trail", open: openTrail },
]);
