"""The figures of the GPU bench as tables: in a terminal by rich, in Markdown."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

# What `gpu.py` writes: see its `report`.
Report = dict[str, Any]


def _cells(row: dict[str, Any], peers: list[str]) -> list[str]:
    cells = [row["work"], row["variant"], row["precision"]]
    for name in peers:
        figures = row["figures"].get(name)
        if figures is None:
            cells.append("failed" if name in row["failures"] else "")
            continue
        spread = f"{figures['min_us']:,.1f}..{figures['max_us']:,.1f}"
        cells.append(f"{figures['median_us']:,.1f} ({spread})")
    bound = row["floor_us"]
    cells.append("" if bound is None else f"{bound:,.1f}, {row['bound_by']}")
    share = row["figures"].get("tfsession", {}).get("share_of_roofline")
    cells.append("" if share is None else f"{share:.0%}")
    return cells


def _aim(aim: dict[str, Any]) -> str:
    told = {True: "holds", False: "does not hold", None: "not known"}[aim["holds"]]
    figure = "" if aim["is"] is None else f", {aim['is']:.3g}"
    return f"- {aim['row']}: {aim['what']}: {told}{figure}"


def _columns(report: Report) -> list[str]:
    return ["work", "variant", "precision", *report["peers"], "floor", "share of tfsession"]


def title(report: Report) -> str:
    """What the figures are of."""
    if not report["is_claim"]:
        return "tried on a simulated device: these figures claim nothing"
    return f"microseconds a step on {report['device']}: median (least..greatest)"


def show(report: Report) -> None:
    """Print it for a terminal."""
    table = Table(title=title(report))
    for number, name in enumerate(_columns(report)):
        table.add_column(name, justify="left" if number < 3 else "right")
    for row in report["works"]:
        table.add_row(*_cells(row, list(report["peers"])))
    console = Console(width=None if Console().is_terminal else 200, highlight=False)
    console.print(table)
    for aim in report["aims"]:
        console.print(_aim(aim), markup=False)


def markdown(report: Report) -> str:
    """The table, the ceilings, and what failed."""
    columns, peers = _columns(report), list(report["peers"])
    lines = [title(report) + ".", ""]
    lines += ["| " + " | ".join(columns) + " |"]
    lines += ["| --- | --- | --- |" + " ---: |" * (len(columns) - 3)]
    lines += ["| " + " | ".join(_cells(row, peers)) + " |" for row in report["works"]]
    lines += ["", *map(_aim, report["aims"])]
    ceilings = [f"{name} {value:.4g}" for name, value in report["ceilings"].items() if value]
    lines += ["", "Ceilings of the same run: " + (", ".join(ceilings) or "none") + "."]
    failures = [
        f"- {row['work']}, {name}: {cause.splitlines()[0]}"
        for row in report["works"]
        for name, cause in row["failures"].items()
    ]
    absent = [f"- {name}: {cause}" for name, cause in report["absent"].items()]
    left = [f"- {name}: no time was left" for name in report["left_out"]]
    if lacking := [*dict.fromkeys(failures), *absent, *left]:
        lines += ["", "Not measured:", "", *lacking]
    return "\n".join(lines)
