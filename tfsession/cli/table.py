"""Tables and lines on a terminal, by rich, or as plain text where nobody looks at them in colour.

What is shown comes from elsewhere (names of processes, files): nothing in it may steer a terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

__all__ = ["Cell", "Column", "Line", "Screen", "Table"]

_STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim", "title": "bold"}
_GAP = 2
_BAR = 10


class Cell(NamedTuple):
    """A text, how things stand ("good", "warn", "bad", "dim") and, for a bar, the share filled."""

    text: str
    state: str = ""
    share: float | None = None


class Column(NamedTuple):
    """A heading; of columns with a `rank`, the highest goes first where there is little room."""

    title: str
    right: bool = False
    rank: int = 0


class Table(NamedTuple):
    """Rows of as many cells as there are columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


class Line(NamedTuple):
    """A line of text; it wraps at words where it is too long for a terminal."""

    text: str
    state: str = ""


Part = Table | Line


def _asked(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "") not in ("", "0")


class Screen:
    """Where a command prints: a terminal with colours or without, or a file or pipe.

    NO_COLOR and `no_color` mean no colour, FORCE_COLOR that a pipe is treated as a terminal.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        environ: Mapping[str, str] = os.environ,
        no_color: bool = False,
    ) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.is_terminal = self.stream.isatty() and environ.get("TERM") != "dumb"
        forced = _asked(environ, "FORCE_COLOR") and not no_color
        self._console = None
        if self.is_terminal or forced:
            self._console = _console(self.stream, no_color or _asked(environ, "NO_COLOR"))

    @property
    def is_drawn(self) -> bool:
        """Whether somebody looks at it: a terminal, or what is treated as one."""
        return self._console is not None

    def show(self, *parts: Part) -> None:
        """Print tables and lines below each other."""
        if self._console is None:
            self.stream.write("".join(f"{line}\n" for part in parts for line in self._plain(part)))
        else:
            self._console.print(self._drawn(parts))
        self.stream.flush()

    @contextmanager
    def in_place(self) -> Iterator[Callable[..., None]]:
        """A `show` that overwrites what it has shown before, on a terminal."""
        if self._console is None or not self.is_terminal:
            yield self.show
            return
        from rich.live import Live  # noqa: PLC0415  only for who watches

        with Live(console=self._console, auto_refresh=False) as live:
            yield lambda *parts: live.update(self._drawn(parts), refresh=True)

    def _clean(self, text: str) -> str:
        printable = "".join(c if c.isprintable() else "?" for c in text)
        encoding = self.stream.encoding or "utf-8"
        return printable.encode(encoding, "replace").decode(encoding)

    def _plain(self, part: Part) -> list[str]:
        if isinstance(part, Line):
            return [self._clean(part.text)]
        kept = [i for i in range(len(part.columns)) if not _is_bar(part, i)]
        lines = [[part.columns[i].title for i in kept]]
        lines += [[self._clean(row[i].text) or "-" for i in kept] for row in part.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = [part.columns[i].right for i in kept]
        return [
            (" " * _GAP)
            .join(
                text.rjust(width) if flush else text.ljust(width)
                for text, width, flush in zip(line, widths, right, strict=True)
            )
            .rstrip()
            for line in lines
        ]

    def _drawn(self, parts: Sequence[Part]) -> Any:
        from rich.console import Group  # noqa: PLC0415  35 ms, only for a terminal
        from rich.text import Text  # noqa: PLC0415

        drawn = []
        for part in parts:
            if isinstance(part, Line):
                drawn.append(Text(self._clean(part.text), _STYLES.get(part.state, "")))
            else:
                drawn.append(self._drawn_table(part))
        return Group(*drawn)

    def _drawn_table(self, table: Table) -> Any:
        from rich.table import Table as RichTable  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        drawn = RichTable(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
        kept = _fitting(table, self._width())
        for i in kept:
            column = table.columns[i]
            drawn.add_column(
                column.title, justify="right" if column.right else "left", no_wrap=True,
                overflow="ellipsis",
            )  # fmt: skip
        for row in table.rows:
            cells = [(self._clean(self._text(row[i])), row[i].state) for i in kept]
            drawn.add_row(*(Text(text, _STYLES.get(state, "")) for text, state in cells))
        return drawn

    def _text(self, cell: Cell) -> str:
        if cell.share is None:
            return cell.text
        full = round(_BAR * min(1.0, max(0.0, cell.share)))
        blocks = "█░" if (self.stream.encoding or "").lower().startswith("utf") else "#."
        return blocks[0] * full + blocks[1] * (_BAR - full)

    def _width(self) -> int:
        return shutil.get_terminal_size((100, 24)).columns


def _console(stream: TextIO, no_color: bool) -> Any:
    try:
        from rich.console import Console  # noqa: PLC0415
    except ImportError:
        return None
    width = shutil.get_terminal_size((100, 24)).columns
    return Console(
        file=stream, force_terminal=True, no_color=no_color, highlight=False, width=width,
        legacy_windows=False if not stream.isatty() else None,
    )  # fmt: skip


def _is_bar(table: Table, i: int) -> bool:
    return any(row[i].share is not None for row in table.rows)


def _fitting(table: Table, room: int) -> list[int]:
    """The columns that a terminal of `room` characters holds; those of rank 0 always stay."""

    def width(i: int) -> int:
        texts = [_BAR if row[i].share is not None else len(row[i].text) for row in table.rows]
        return max(len(table.columns[i].title), *texts, 0) + _GAP

    kept = list(range(len(table.columns)))
    while sum(map(width, kept)) - _GAP > room:
        last = max(kept, key=lambda i: table.columns[i].rank)
        if not table.columns[last].rank:
            break
        kept.remove(last)
    return kept
