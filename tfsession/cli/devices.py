"""`tfsession devices`: what a session would compute on, and why a card is left alone."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from tfsession.cli import device_check, snapshot
from tfsession.cli.table import Cell, Column, Line, Screen, Table
from tfsession.core.errors import OpError

__all__ = ["add_arguments", "run", "short_name", "size_text"]

_EXIT_CODES = """\
exit codes:
  0  listed; with --check: every device passed
  1  with --check: a device failed
  2  the command line or a variable of the environment cannot be read
"""
# Shares of memory and of the power limit from which on they are shown as high, and as very high.
_HIGH, _VERY_HIGH = 0.7, 0.9

Row = dict[str, Any]


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXIT_CODES
    parser.add_argument("--json", action="store_true", help="print JSON: docs/cli.md tells fields")
    once = parser.add_mutually_exclusive_group()
    once.add_argument(
        "--watch", metavar="SECONDS", nargs="?", const=1.0, type=_seconds,
        help="look again after this long, until Ctrl-C; every second without a number",
    )  # fmt: skip
    once.add_argument(
        "--check", action="store_true",
        help="run a kernel and a transfer on each device, in processes of their own; the only "
        "option that makes CUDA contexts there",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, default=device_check.TIME_LIMIT,
        help="how long the check of a device may take (%(default)g)",
    )  # fmt: skip
    parser.add_argument("--processes", action="store_true", help="tell who uses the cards")
    parser.add_argument(
        "--visible-only", action="store_true", help="leave out cards that no session would use"
    )
    parser.add_argument("--no-color", action="store_true", help="no colours, as NO_COLOR=1 does")


def run(args: argparse.Namespace) -> int:
    """Prints the devices; exit codes are those of the help."""
    try:
        found = _look(args)
    except OpError as error:
        sys.stderr.write(f"tfsession: {error.message}\n")
        return 2
    screen = Screen(no_color=args.no_color)
    if args.watch is not None:
        return _watch(args, screen, found)
    if args.check:
        _check(found["devices"], args.timeout)
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        screen.show(*_parts(found, args))
    return int(any(row["check"] and not row["check"]["passed"] for row in found["devices"]))


def _look(args: argparse.Namespace) -> Row:
    found = snapshot.take(os.environ, args.processes)
    if args.visible_only:
        found["devices"] = [row for row in found["devices"] if row["usable"]]
    return found


def _check(rows: Sequence[Row], time_limit: float) -> None:
    usable = [row for row in rows if row["usable"]]
    results = device_check.check([row["name"] for row in usable], time_limit)
    for row, result in zip(usable, results, strict=True):
        row["check"] = result


def _watch(args: argparse.Namespace, screen: Screen, found: Row) -> int:
    """Shows the devices again and again; Ctrl-C ends it well."""
    try:
        if args.json:
            while True:
                sys.stdout.write(json.dumps(found) + "\n")
                sys.stdout.flush()
                time.sleep(args.watch)
                found = _look(args)
        with screen.in_place() as show:
            while True:
                show(*_parts(found, args), *([] if screen.is_terminal else [Line("")]))
                time.sleep(args.watch)
                found = _look(args)
    except KeyboardInterrupt:
        return 0


# --- what is shown --------------------------------------------------------------------------------


def _parts(found: Row, args: argparse.Namespace) -> list[Table | Line]:
    rows = found["devices"]
    parts: list[Table | Line] = [_heading(found, args.watch is not None), _table(rows)]
    parts += [Line(f"{who} not used: {why}.", "warn") for who, why in _reasons(rows)]
    failed = [row for row in rows if row["check"] and not row["check"]["passed"]]
    parts += [
        Line(f"{short_name(r['name'])} failed: {r['check']['reason']}", "bad") for r in failed
    ]
    gpus = [row for row in rows if row["device_type"] == "GPU"]
    if found["note"] and not gpus:
        parts.append(Line(f"No GPU: {found['note']}.", "warn"))
    if args.processes:
        parts += _processes(gpus)
    return parts


def _heading(found: Row, with_time: bool) -> Line:
    driver, cuda, cupy = (found[f"{what}_version"] for what in ("driver", "cuda", "cupy"))
    words = [
        f"tfsession {found['tfsession_version']}",
        f"NVIDIA driver {driver or 'unknown'}" if driver or cuda else "no NVIDIA driver",
        *([f"CUDA {cuda}"] if cuda else []),
        f"CuPy {cupy}" if cupy else "no CuPy",
        *([found["time"][:19].replace("T", " ")] if with_time else []),
    ]
    return Line(", ".join(words), "dim")


def short_name(name: str | None) -> str:
    """The part of a full name that `tf.device` takes, too."""
    return name[name.index("/device:") :] if name else "-"


def _reasons(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Each reason for not using cards, once, with the cards."""
    cards: dict[str, list[str]] = {}
    for row in rows:
        if row["reason"]:
            card = row["physical_name"] + (f" {row['pci_bus_id']}" if row["pci_bus_id"] else "")
            cards.setdefault(row["reason"], []).append(card)
    return [
        (", ".join(names) + (" is" if len(names) == 1 else " are"), reason)
        for reason, names in cards.items()
    ]


def size_text(nbytes: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if nbytes >= 1 << shift:
            return f"{nbytes / (1 << shift):.{int(shift == 30)}f} {unit}"
    return f"{nbytes} B"


def _load(share: float | None) -> str:
    """How a share of what there is looks."""
    if share is None:
        return ""
    return "bad" if share >= _VERY_HIGH else "warn" if share >= _HIGH else "good"


def _memory_cells(row: Row) -> list[Cell]:
    """Used of total, and a bar."""
    total, free = row["total_memory_bytes"], row["free_memory_bytes"]
    if total is None or free is None or total <= 0:
        return [Cell("-" if total is None else f"? / {size_text(total)}"), Cell("")]
    used = max(0, total - free)
    share = min(1.0, used / total)
    return [Cell(f"{size_text(used)} / {size_text(total)}"), Cell("", _load(share), share)]


def _limit_cell(row: Row) -> Cell:
    if row["device_type"] == "CPU":
        return Cell("none")  # the number that TensorFlow reports limits nothing
    limit = row["memory_limit_bytes"]
    return Cell("-") if limit is None else Cell(size_text(limit), "" if limit else "bad")


def _busy_cells(row: Row) -> list[Cell]:
    used, warm = row["utilization_percent"], row["temperature_celsius"]
    watts, most = row["power_watts"], row["power_limit_watts"]
    power = "-" if watts is None else f"{watts:.0f}" + (f" / {most:.0f}" if most else "") + " W"
    return [
        Cell("-" if used is None else f"{used}%"),
        Cell("-" if warm is None else f"{warm} C"),
        Cell(power, _load(watts / most if watts is not None and most else None)),
    ]


def _result_cell(row: Row) -> Cell:
    result = row["check"]
    if result is None:
        return Cell("not used", "dim")
    if result["passed"]:
        return Cell(f"PASS in {result['seconds']:.1f} s", "good")
    return Cell("FAIL", "bad")


_COLUMNS = (
    Column("Device"),
    Column("Name", rank=3),
    Column("Used / total", right=True, rank=1),
    Column("", rank=6),
    Column("Limit", right=True, rank=4),
    Column("Util", right=True, rank=2),
    Column("Temp", right=True, rank=7),
    Column("Power", right=True, rank=8),
    Column("CC", rank=9),
    Column("Bus id", rank=5),
    Column("Usable"),
)


def _cells(row: Row) -> list[Cell]:
    usable = row["usable"]
    return [
        Cell(short_name(row["name"]), "" if usable else "dim"),
        Cell(row["physical_name"], "" if usable else "dim"),
        *_memory_cells(row),
        _limit_cell(row),
        *_busy_cells(row),
        Cell(row["compute_capability"] or "-"),
        Cell(row["pci_bus_id"] or "-"),
        Cell("yes", "good") if usable else Cell("no", "warn"),
    ]


def _table(rows: Sequence[Row]) -> Table:
    """One line a device; a column that tells of none is left out."""
    columns, lines = list(_COLUMNS), [_cells(row) for row in rows]
    if any(row["check"] for row in rows):
        columns[-1] = Column("Check")
        lines = [[*line[:-1], _result_cell(row)] for line, row in zip(lines, rows, strict=True)]
    told = [
        i
        for i in range(len(columns))
        if any(line[i].text not in ("", "-") or line[i].share is not None for line in lines)
    ]
    return Table([columns[i] for i in told], [[line[i] for i in told] for line in lines])


def _processes(gpus: Sequence[Row]) -> list[Table | Line]:
    lines = [
        [
            Cell(short_name(row["name"]) if row["name"] else row["pci_bus_id"] or "-"),
            Cell(str(process["pid"])),
            Cell(process["kind"]),
            Cell(process["user"] or "-"),
            Cell("-" if process["memory_bytes"] is None else size_text(process["memory_bytes"])),
            Cell(_shortened(process["command"])),
        ]
        for row in gpus
        for process in row["processes"] or ()
    ]
    if lines:
        titles = ("Device", "PID", "Kind", "User", "Memory", "Command")
        ranks = (0, 0, 2, 1, 0, 0)
        columns = [
            Column(title, title in ("PID", "Memory"), rank)
            for title, rank in zip(titles, ranks, strict=True)
        ]
        return [Line(""), Table(columns, lines)]
    if any(row["processes"] is not None for row in gpus):
        return [Line("No process uses a GPU, as far as this user can see.")]
    return [Line("Processes that use a GPU cannot be seen: NVML does not tell of any here.")]


def _shortened(command: str | None, most: int = 60) -> str:
    """A command line without the folder of its program, and no longer than `most` characters."""
    if command is None:
        return "not visible from here"
    program, _, rest = command.partition(" ")
    text = f"{program.rsplit('/', 1)[-1]} {rest}".strip()
    return text if len(text) <= most else text[: most - 3] + "..."
