// Deno KV behind Deno's HTTP server, with the routes that the benchmark asks for.
// deno run --allow-all --unstable-kv deno_kv.js <database file>

const kv = await Deno.openKv(Deno.args[0]);

const part = (text) => /^\d+$/.test(text) ? Number(text) : decodeURIComponent(text);
const keyOf = (path) => path.split("/").map(part);
const plain = (value) => value instanceof Deno.KvU64 ? Number(value.value) : value;
const entryOf = ({ key, value, versionstamp }) => ({ key, value: plain(value), versionstamp });

async function list(query) {
  const selector = { prefix: keyOf(query.get("prefix")) };
  if (query.has("start")) selector.start = keyOf(query.get("start"));
  const limit = Number(query.get("limit"));
  const entries = [];
  for await (const entry of kv.list(selector, { limit, batchSize: Math.min(limit, 1000) })) {
    entries.push(entryOf(entry));
  }
  return entries;
}

async function commit({ mutations }) {
  const atomic = kv.atomic();
  for (const { type, key, value } of mutations) {
    if (type === "set") atomic.set(key, value);
    else if (type === "sum") atomic.sum(key, BigInt(value));
    else throw new Error(`unknown mutation ${type}`);
  }
  return await atomic.commit();
}

async function answer(request) {
  const url = request.url;
  const path = url.slice(url.indexOf("/", 8)); // cheaper than new URL
  if (path.startsWith("/keys/")) {
    if (request.method === "GET") return entryOf(await kv.get(keyOf(path.slice(6))));
    if (request.method === "PUT") return await kv.set(keyOf(path.slice(6)), await request.json());
    const { keys } = await request.json(); // POST /keys/batch
    return (await kv.getMany(keys)).map(entryOf);
  }
  if (path.startsWith("/keys?")) return await list(new URLSearchParams(path.slice(6)));
  if (path === "/atomic") return await commit(await request.json());
  throw new Error(`unknown path ${path}`);
}

Deno.serve({
  port: 0,
  hostname: "127.0.0.1",
  onListen: ({ port }) => console.log(`listening on http://127.0.0.1:${port}`),
  onError: (error) => new Response(String(error), { status: 500 }),
}, async (request) => Response.json(await answer(request)));
