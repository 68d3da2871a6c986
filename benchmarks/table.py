"""From results to tables, for the terminal and for documents."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw
from results import PER_SECOND, Comparison, Results, Row, Section, is_met, middle, ratio, spread
from rich import box
from rich.table import Table

TEXTS = ("case", "contender", "what")
"""Columns that are aligned to the left."""
CPU_INFO = Path("/proc/cpuinfo")
MODELS = ("model name", "Model", "cpu model")
"""What lines with the name of the processor begin with; it depends on the kind."""
MET, MISSED = "yes", "no"


def facts(load: str) -> dict[str, str]:
    """What the numbers depend on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": f"{len(os.sched_getaffinity(0))}, shared by load and server",
        "platform": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "SQLite": apsw.sqlite_lib_version(),
        "load": load,
    }


def processor() -> str:
    """Its name, as the system tells it."""
    for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in MODELS and value.strip():
            return " ".join(value.split()).replace(",", "")
    return platform.processor() or "unknown"


def lines(section: Section, results: Results) -> list[dict[str, str]]:
    """The rows that were measured, each a text for every column of the table."""
    rows = [row for row in section.rows if results.get(row.cell)]
    headings = dict.fromkeys(c.heading for row in rows for c in row.comparisons)
    cells = [_cells(row, results, list(headings)) for row in rows]
    used = [name for name in cells[0] if any(line[name] for line in cells)] if cells else []
    return [{name: line[name] for name in used} for line in cells]


def as_rich(section: Section, results: Results) -> Table:
    """For the terminal; rows that missed an aim are red."""
    rows = lines(section, results)
    table = Table(title=section.title, box=box.SIMPLE, title_justify="left")
    for heading in rows[0] if rows else ():
        table.add_column(heading, justify="left" if heading in TEXTS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values(), style="red" if row.get("met") == MISSED else "")
    return table


def as_markdown(section: Section, results: Results, known: Mapping[str, str]) -> str:
    """For a document: what the numbers depend on, and the table."""
    rows = lines(section, results)
    headings = list(rows[0]) if rows else []
    aligned = ["---" if heading in TEXTS else "---:" for heading in headings]
    texts = [f"| {' | '.join(row)} |" for row in (headings, aligned, *(r.values() for r in rows))]
    return f"{', '.join(f'{k}: {v}' for k, v in known.items())}.\n\n" + "\n".join(texts) + "\n"


def replace_tables(document: str, tables: Mapping[str, str]) -> str:
    """The document with these tables between `<!-- table: NAME -->` and `<!-- end -->`."""

    def replaced(match: re.Match[str]) -> str:
        table = tables.get(match[2])
        return match[0] if table is None else f"{match[1]}\n{table}\n{match[3]}"

    return re.sub(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", replaced, document, flags=re.S)


def _cells(row: Row, results: Results, headings: Sequence[str]) -> dict[str, str]:
    rounds = results[row.cell]
    value, p50, p99, p999, cpu = middle(rounds)
    apart, met = spread(rounds), is_met(results, row)
    case, contender = row.cell
    ratios = {c.heading: _ratio(results, row, c) for c in row.comparisons}
    return {
        "case": case,
        "contender": contender,
        "what": row.title,
        "result": f"{number(value)}{row.unit if row.unit == PER_SECOND else f' {row.unit}'}",
        "spread": "" if apart is None else f"{apart:.0%}",
        "p50 ms": "" if p50 is None else f"{p50:.3f}",
        "p99 ms": "" if p99 is None else f"{p99:.3f}",
        "p99.9 ms": "" if p999 is None else f"{p999:.3f}",
        "CPU µs": "" if cpu is None else number(cpu),
        **{heading: ratios.get(heading, "") for heading in headings},
        "aim": _aim(row),
        "met": "" if met is None else MET if met else MISSED,
    }


def _ratio(results: Results, row: Row, comparison: Comparison) -> str:
    found = ratio(results, row, comparison)
    if found is None:
        return ""
    aim = "" if comparison.least is None else f" (≥ {comparison.least:.3g})"
    if comparison.most is not None:
        aim = f" (≤ {comparison.most:.3g})"
    return f"{number(found)}{aim}"


def _aim(row: Row) -> str:
    least = "" if row.least is None else f"≥ {number(row.least)}"
    return least if row.most is None else f"{least} ≤ {number(row.most)}".strip()


def number(value: float) -> str:
    """With three digits at the least, and none behind the point from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
