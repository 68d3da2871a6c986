"""What a page of another origin does with the API of a store: functions in JavaScript."""

from __future__ import annotations

WRITE_AND_READ = """async api => {
  const put = await fetch(`${api}/keys/page/1`, {
    method: "PUT", body: JSON.stringify({by: "page"}),
    headers: {"content-type": "application/json", "x-request-id": "page-1"},
  });
  const got = await fetch(`${api}/keys/page/1`);
  const missing = await fetch(`${api}/keys/page/2`);
  return {
    put: put.status, id: put.headers.get("x-request-id"),
    value: (await got.json()).value,
    missing: missing.status, error: (await missing.json()).error,
    left: missing.headers.get("ratelimit-remaining"),
  };
}"""

FOLLOW = """api => {
  window.seen = [];
  window.source = new EventSource(`${api}/watch/prefix?prefix=watched`);
  source.addEventListener("change", event => seen.push(...JSON.parse(event.data)));
  source.onerror = () => { window.failed = true };
}"""

RESUME = """([api, id]) => fetch(`${api}/watch/prefix?prefix=watched`, {
  headers: {"last-event-id": id},
}).then(async answer => {
  const reader = answer.body.getReader();
  const {value} = await reader.read();
  await reader.cancel();
  return [answer.status, new TextDecoder().decode(value)];
})"""
