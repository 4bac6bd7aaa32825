"""`tfsession check`: which of TensorFlow's names a code base uses that tfsession lacks."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tfsession
from tfsession.cli.table import Cell, Column, Line, Part, Screen, Table
from tfsession.imports.listing import PAGE, PLANNED, PRESENT, REFUSED, nearest, status
from tfsession.imports.usage import Use, uses

__all__ = ["SCHEMA_VERSION", "add_arguments", "run"]

SCHEMA_VERSION = 1

_MISSING = 1
_WRONG_LINE = 2
_EXIT_CODES = """\
exit codes:
  0  all names that are used are present
  1  some are not, or a file cannot be read as Python
  2  the command line is wrong, or there is no such file
"""
_STATES = {PLANNED: "warn", REFUSED: "bad"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "paths", nargs="+", metavar="SCRIPT_OR_FOLDER", help="a Python file, or a folder of such"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--no-color", action="store_true", help="without colours; so does NO_COLOR")


class _Found(NamedTuple):
    """What the files hold: uses by file, and why a file could not be read."""

    uses: dict[str, list[Use]]
    unreadable: list[tuple[str, int | None, str]]

    def missing(self) -> Iterator[tuple[str, Use]]:
        """Each place that uses a missing name."""
        for path, found in self.uses.items():
            yield from ((path, use) for use in found if status(use.symbol).kind != PRESENT)


def run(args: argparse.Namespace) -> int:
    """Prints what is missing; exit codes are those of the help."""
    for path in map(Path, args.paths):
        if not path.exists():
            sys.stderr.write(f"tfsession: {path} cannot be read: No such file or directory\n")
            return _WRONG_LINE
    dir(tfsession)  # loads all public names
    found = _read(_files(map(Path, args.paths)))
    if args.json:
        sys.stdout.write(json.dumps(_as_json(found), indent=2) + "\n")
    else:
        Screen(no_color=args.no_color).show(*_as_parts(found))
    return _MISSING if found.unreadable or any(found.missing()) else 0


def _files(paths: Iterator[Path]) -> list[Path]:
    """The files that are named, and all of Python in folders but in hidden ones; each once."""
    listed: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inner = (file for file in path.rglob("*.py") if file.is_file())
            hidden = (f.relative_to(path).parts for f in inner)
            kept = [path.joinpath(*p) for p in hidden if not any(x.startswith(".") for x in p)]
            listed |= dict.fromkeys(sorted(kept))
        else:
            listed[path] = None
    return list(listed)


def _read(files: list[Path]) -> _Found:
    found = _Found({}, [])
    for file in files:
        try:
            found.uses[str(file)] = uses(file.read_bytes())
        except SyntaxError as error:
            found.unreadable.append((str(file), error.lineno, error.msg))
        except OSError as error:
            found.unreadable.append((str(file), None, error.strerror or str(error)))
        except RecursionError:
            found.unreadable.append((str(file), None, "it is nested too deeply"))
    return found


def _kinds(found: _Found) -> tuple[dict[str, str], Counter[str]]:
    """The kind of each symbol, and how often each symbol is used."""
    counts = Counter(use.symbol for listed in found.uses.values() for use in listed)
    return {symbol: status(symbol).kind for symbol in counts}, counts


def _as_json(found: _Found) -> dict[str, Any]:
    kinds, counts = _kinds(found)
    return {
        "schema_version": SCHEMA_VERSION,
        "tfsession_version": tfsession.__version__,
        "files": len(found.uses) + len(found.unreadable),
        "uses": counts.total(),
        "symbols": {kind: list(kinds.values()).count(kind) for kind in (PRESENT, PLANNED, REFUSED)},
        "missing": [
            {
                "file": path,
                "line": use.line,
                "symbol": f"tf.{use.symbol}",
                "status": status(use.symbol).kind,
                "reason": status(use.symbol).reason,
                "nearest": _near(use.symbol) or None,
            }
            for path, use in found.missing()
        ],
        "unreadable": [
            {"file": path, "line": line, "reason": reason}
            for path, line, reason in found.unreadable
        ],
    }


def _near(symbol: str) -> str:
    near = nearest(symbol)
    return f"tf.{near}" if near else ""


def _as_parts(found: _Found) -> Iterator[Part]:
    rows = []
    for path, use in found.missing():
        kind, reason = status(use.symbol)
        texts = (path, str(use.line), f"tf.{use.symbol}")
        cells = (
            *map(Cell, texts),
            Cell(kind, _STATES[kind]),
            Cell(reason),
            Cell(_near(use.symbol)),
        )
        rows.append(cells)
    if rows:
        yield Table(
            [
                Column("File"), Column("Line", right=True), Column("Symbol"), Column("Status"),
                Column("Why", rank=2), Column("Nearest", rank=1),
            ],
            rows,
        )  # fmt: skip
        yield Line("")
    for path, line, reason in found.unreadable:
        where = path if line is None else f"{path}:{line}"
        yield Line(f"{where} is no Python of today: {reason}", "bad")
    yield from map(Line, _summary(found))


def _summary(found: _Found) -> list[str]:
    kinds, counts = _kinds(found)
    files = len(found.uses) + len(found.unreadable)
    lines = [
        f"{_number(files, 'file')}, {_number(counts.total(), 'use')} of "
        f"{_number(len(counts), 'symbol')}"
    ]
    missing = [symbol for symbol, kind in kinds.items() if kind != PRESENT]
    if missing:
        parts = [f"{list(kinds.values()).count(kind):,} {kind}" for kind in (PLANNED, REFUSED)]
        places = sum(counts[symbol] for symbol in missing)
        lines.append(
            f"{_number(len(missing), 'symbol')} missing in {_number(places, 'use')}: "
            f"{', '.join(parts)}; all names: {PAGE}"
        )
    else:
        lines.append("Nothing is missing")
    return lines


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
