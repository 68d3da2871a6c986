// @ts-check
/**
 * The pages of those who run the host: its plugins, its keys, and who did what.
 */
import { openKeys } from "./keys.js";
import { openPlugins } from "./plugins.js";
import { openShell } from "./shell.js";
import { openTrail } from "./trail.js";

await openShell([
  { path: "plugins", title: "Plugins", open: openPlugins },
  { path: "keys", title: "Keys", open: openKeys },
  { path: "trail", title: "Trail", open: openTrail },
]);
