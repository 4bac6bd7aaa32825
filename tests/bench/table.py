"""The figures of the bench as a table: in a terminal, in a file, in Markdown."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

OURS, THEIRS = "tfsession", "TensorFlow"
WIDTH = 47

# Of a row: its name, the median seconds of each library, and for each but ours the ratio of the
# medians (ours to theirs), the least and the greatest ratio of a round.
Figures = dict[str, Any]


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:,.2f} {unit}"
    return f"{seconds * 1e6:,.1f} µs"


def mean_ratio(rows: list[Figures], library: str = THEIRS) -> float:
    """The geometric mean of the ratios to a library, over the rows that it has."""
    found = [row["ratios"][library][0] for row in rows if library in row["ratios"]]
    return math.exp(statistics.fmean(map(math.log, found))) if found else math.nan


def header(others: list[str]) -> str:
    """The first line for a terminal; `others` are libraries beside TensorFlow."""
    columns = f"{'':{WIDTH}}{OURS:>11}{THEIRS:>12}{'ratio':>8}{'min..max':>14}"
    return columns + "".join(f"{'to ' + library:>12}" for library in others)


def line(row: Figures, others: list[str]) -> str:
    """A row for a terminal: an asterisk marks where TensorFlow is faster."""
    ratio, least, most = row["ratios"][THEIRS]
    times = "".join(f"{_time(row['seconds'][one]):>{n}}" for one, n in ((OURS, 11), (THEIRS, 12)))
    beside = [f"{row['ratios'][one][0]:.3f}" if one in row["ratios"] else "" for one in others]
    return (
        f"{row['name']:{WIDTH}}{times}{ratio:>8.3f}{'*' if ratio > 1 else ' '}"
        f"{f'{least:.2f}..{most:.2f}':>13}" + "".join(f"{text:>12}" for text in beside)
    ).rstrip()


def mean_line(rows: list[Figures], others: list[str]) -> str:
    """The geometric means of all rows, for a terminal."""
    name = f"geometric mean of {len(rows)}"
    return f"{name:{WIDTH}}{mean_ratio(rows):>31.3f}{'':14}" + "".join(
        f"{mean_ratio(rows, library):>12.3f}" for library in others
    )


def keep(path: Path, about: dict[str, str], rows: list[Figures]) -> None:
    """Write figures to a file; rows of other names that it has already stay there."""
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    found = {row["name"]: row for row in [*kept, *rows]}
    text = json.dumps({"about": about, "rows": list(found.values())}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def markdown(path: Path) -> str:
    """The table of a file that `keep` wrote."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    about, rows = kept["about"], kept["rows"]
    others = [one for one in about if any(one in row["ratios"] for row in rows) and one != THEIRS]
    lines = [
        ", ".join(about.values()) + ".",
        "",
        f"| work | {OURS} | {THEIRS} | ratio | min..max |" + "".join(f" to {o} |" for o in others),
        "| --- |" + " ---: |" * (4 + len(others)),
    ]
    for row in rows:
        ratio, least, most = row["ratios"][THEIRS]
        cells = [row["name"], *(_time(row["seconds"][one]) for one in (OURS, THEIRS))]
        cells += [f"{ratio:.2f}", f"{least:.2f}..{most:.2f}"]
        cells += [f"{row['ratios'][o][0]:.2f}" if o in row["ratios"] else "" for o in others]
        lines.append("| " + " | ".join(cells) + " |")
    means = [f"{mean_ratio(rows, library):.2f}" for library in (THEIRS, *others)]
    cells = [f"**geometric mean of {len(rows)}**", "", "", f"**{means[0]}**", "", *means[1:]]
    return "\n".join([*lines, "| " + " | ".join(cells) + " |"])
