import { api } from "../.well-known/buntime/ui/api.js";
import { h } from "../.well-known/buntime/ui/dom.js";
import { openShell } from "../.well-known/buntime/ui/shell.js";

async function open({ query }) {
  const { text } = await api(`greet/${encodeURIComponent(query.get("name") ?? "you")}`);
  return h("p", {}, text);
}

await openShell([{ path: "", title: "Greeter", open }]);
