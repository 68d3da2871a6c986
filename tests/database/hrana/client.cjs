// Runs the npm client through its paces and prints what it saw as JSON.
const { createRequire } = require("node:module");
const [, , folder, url, authToken, job] = process.argv;
const { createClient } = createRequire(`${folder}/x.js`)("@libsql/client");

const open = (options = {}) =>
  createClient({ url, authToken: authToken || undefined, intMode: "bigint", ...options });
const failure = async (work) => {
  try {
    await work();
    return null;
  } catch (error) {
    return error.code ?? error.name;
  }
};
const shown = (value) =>
  typeof value === "bigint"
    ? { int: value.toString() }
    : value instanceof ArrayBuffer
      ? { blob: Buffer.from(value).toString("hex") }
      : value;
const rows = (result) => result.rows.map((row) => Array.from(row, shown));

const jobs = {
  async values(client) {
    const args = [null, 9223372036854775807n, -9223372036854775808n, 0.5, "ä💧", new Uint8Array([0, 255])];
    return rows(await client.execute({ sql: "SELECT ?, ?, ?, ?, ?, ?", args }));
  },
  async statements(client) {
    await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(9))");
    const inserted = await client.execute({ sql: "INSERT INTO t (name) VALUES (:n), (@m)", args: { n: "a", m: "b" } });
    const found = await client.execute("SELECT id, name FROM t ORDER BY id");
    return {
      affected: inserted.rowsAffected,
      rowid: shown(inserted.lastInsertRowid),
      columns: found.columns,
      types: found.columnTypes,
      rows: rows(found),
    };
  },
  async batch(client) {
    const results = await client.batch(
      ["CREATE TABLE t (x UNIQUE)", { sql: "INSERT INTO t VALUES (?)", args: [1] }, "SELECT x FROM t"],
      "write",
    );
    const code = await failure(() => client.batch(["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"], "write"));
    return { rows: rows(results[2]), code, after: rows(await client.execute("SELECT x FROM t")) };
  },
  async transaction(client) {
    await client.execute("CREATE TABLE t (x)");
    const first = await client.transaction("write");
    await first.execute("INSERT INTO t VALUES (1)");
    await first.batch(["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)"]);
    const inside = rows(await first.execute("SELECT count(*) FROM t"));
    const outside = rows(await client.execute("SELECT count(*) FROM t"));
    await first.commit();
    const second = await client.transaction("write");
    await second.execute("DELETE FROM t");
    await second.rollback();
    const third = await client.transaction("deferred");
    const code = await failure(() => third.execute("SELECT nonsense"));
    third.close();
    return { inside, outside, code, after: rows(await client.execute("SELECT count(*) FROM t")) };
  },
  async scripts(client) {
    await client.executeMultiple("CREATE TABLE t (x); INSERT INTO t VALUES ('a;b'); INSERT INTO t VALUES ('c')");
    await client.migrate(["ALTER TABLE t ADD COLUMN y"]);
    return rows(await client.execute("SELECT x, y FROM t"));
  },
  async errors(client) {
    await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    await client.execute("INSERT INTO t VALUES (1)");
    return [
      await failure(() => client.execute("INSERT INTO t VALUES (1)")),
      await failure(() => client.execute("SELECT nonsense")),
      await failure(() => client.execute("SELECT 1; SELECT 2")),
      await failure(() => client.execute({ sql: "SELECT ?", args: [] })),
      await failure(() => client.execute("ATTACH 'x' AS x")),
    ];
  },
  async reconnect(client) {
    await client.execute("SELECT 1");
    await client.reconnect();
    return rows(await client.execute("SELECT 2"));
  },
  async refused(client) {
    return [await failure(() => client.execute("SELECT 1"))];
  },
};

(async () => {
  const client = open();
  const found = {};
  for (const name of job.split(",")) found[name] = await jobs[name](client);
  client.close();
  console.log(JSON.stringify(found));
})();
