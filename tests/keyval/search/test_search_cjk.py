"""The tokenizer for scripts without spaces, on the engine that has it."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_database.engines.sqlite import cjk
from buntime_plugin_keyval.faces.local.kv import LocalKv
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sampling import share_of

TEXTS = {
    1: "日本語の全文検索を試す",
    2: "中华人民共和国万岁",
    3: "東京都は日本の首都です。Tokyo is the capital.",
    4: "ภาษาไทยไม่มีช่องว่าง",
    5: "한국어 문장을 검색합니다",
    6: "ﾊﾝｶｸ カナ",
    7: "Crème brûlée と コーヒー",
    8: "ガ\u30ab\u3099",
}


async def fill(kv: LocalKv) -> None:
    for number, text in TEXTS.items():
        await kv.set(["t", number], {"text": text})
    await kv.create_index(["t"], fields=["text"], tokenize="cjk")


CASES = [
    ("日本", {1, 3}),
    ("日本語", {1}),
    ("全文検索", {1}),
    ("検索", {1}),
    ("文検", {1}),
    ("索検", set()),
    ("語", {1}),
    ("す", {1, 3}),
    ("人民", {2}),
    ("共和国", {2}),
    ("岁", {2}),
    ("人和", set()),
    ("東京 capital", {3}),
    ("capital", {3}),
    ("tokyo", {3}),
    ("首都です", {3}),
    ("ไทย", {4}),
    ("ภาษา", {4}),
    ("ช่อง", {4}),
    ("검색", {5}),
    ("한국", {5}),
    ("문장을", {5}),
    ("\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165", {5}),
    ("ハンカク", {6}),
    ("カナ", {6}),
    ("creme", {7}),
    ("brulee コーヒー", {7}),
    ("コー*", {7}),
    ("ガガ", {8}),
    ("日本 OR 人民", {1, 2, 3}),
    ("日本 NOT 首都", {1}),
]


@pytest.mark.parametrize(
    ("query", "found"),
    CASES,
)
async def test_words(kv: LocalKv, query: str, found: set[int]) -> None:
    await fill(kv)
    page = await kv.paginate_search(["t"], query)
    assert {entry.key[1] for entry in page.entries} == found
    assert page.warnings == ()


async def test_hits_are_marked_where_they_are(kv: LocalKv) -> None:
    await fill(kv)
    (hit,) = [it async for it in kv.search(["t"], "全文", highlight=("[", "]"))]
    assert hit.highlight == {"text": "日本語の[全文]検索を試す"}
    (hit,) = [it async for it in kv.search(["t"], "capital", highlight=("[", "]"))]
    assert hit.highlight == {"text": "東京都は日本の首都です。Tokyo is the [capital]."}


@pytest.mark.slow
@given(
    st.lists(
        st.sampled_from([*"日本語 aé\u0301ガไ่한🥑。", "ｶﾞ"]),
        max_size=12,
    ).map("".join),
    st.data(),
)
@settings(max_examples=share_of(300), deadline=None)
def test_every_part_of_a_run_is_found(text: str, data: st.DataObject) -> None:
    connection = apsw.Connection(":memory:")
    cjk.register(connection)
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(a, tokenize = cjk)")
    connection.execute("INSERT INTO t VALUES (?)", (text,))
    connection.execute("INSERT INTO t (t) VALUES ('integrity-check')")
    runs = [run[0] for run in cjk.runs().finditer(text)]
    if not runs:
        return
    clusters = cjk.clusters().findall(data.draw(st.sampled_from(runs)))
    start = data.draw(st.integers(0, len(clusters) - 1))
    end = data.draw(st.integers(start + 1, len(clusters)))
    part = "".join(clusters[start:end])
    found = connection.execute(
        "SELECT highlight(t, 0, '', '') FROM t WHERE t MATCH ?", (f'"{part}"',)
    )
    assert found.get == text


async def test_an_engine_without_it_says_so(
    tmp_path: Path, kv: LocalKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = kv._store.adapter
    without = adapter.capabilities._replace(cjk_tokenizer=False)
    monkeypatch.setattr(adapter, "capabilities", without)
    with pytest.raises(InvalidInput, match="no tokenizer cjk: trigram"):
        await kv.create_index(["t"], fields=["text"], tokenize="cjk")
