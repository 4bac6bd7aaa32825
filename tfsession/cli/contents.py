"""What a file holds, as plain data: facts, tables, and parts that hold the same again.

Commands gather it, print it as tables, and write it as JSON: both come from the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from tfsession.cli.table import Cell, Column, Line, Part, Table
from tfsession.core.shape import debug_string
from tfsession.runtime.moves import bytes_text

__all__ = [
    *("COUNT", "LIST", "NAME", "SHAPE", "SIZE", "TEXT", "YES"),
    *("Contents", "Field", "Kind", "Section", "shape_of"),
]


def _number(value: int) -> str:
    # Versions and years look odd with commas.
    return str(value) if value < 10_000 else f"{value:,}"


class Kind(NamedTuple):
    """How a column's values look: as text, and on which side."""

    text: Callable[[Any], str]
    right: bool = False
    is_name: bool = False


TEXT = Kind(str)
# What `--match` compares.
NAME = Kind(str, is_name=True)
COUNT = Kind(_number, right=True)
SIZE = Kind(bytes_text, right=True)
SHAPE = Kind(lambda shape: debug_string(None if shape == "unknown" else shape))
YES = Kind(lambda value: "yes" if value else "no")
LIST = Kind(", ".join)


def shape_of(proto: Any) -> Any:
    """A TensorShapeProto as JSON has it: sizes, null for an unknown one, "unknown" for the rank."""
    if proto.unknown_rank:
        return "unknown"
    return [dim.size if dim.size >= 0 else None for dim in proto.dim]


class Field(NamedTuple):
    """A column: its name in JSON, its heading, its kind, and from which rank on it may be left."""

    key: str
    title: str
    kind: Kind = TEXT
    rank: int = 0


@dataclass
class Section:
    """A table under a title; None in a row is what is not known, or does not apply."""

    key: str
    title: str
    fields: Sequence[Field]
    rows: list[tuple[Any, ...]]
    state: str = ""
    total: int = 0

    def __post_init__(self) -> None:
        self.total = len(self.rows)

    def keep(self, patterns: Sequence[str]) -> None:
        """Leave the rows whose name fits one of the patterns; all of a table without names."""
        if self.fields[0].kind.is_name and patterns:
            self.rows = [
                row for row in self.rows if any(fnmatchcase(row[0], one) for one in patterns)
            ]

    def to_json(self) -> list[dict[str, Any]]:
        """A list of objects."""
        keys = [field.key for field in self.fields]
        return [dict(zip(keys, row, strict=True)) for row in self.rows]

    def parts(self, most: int | None) -> Iterator[Part]:
        """The title and the table, of which at most so many rows."""
        count = f"{self.total:,}"
        shown = count if len(self.rows) == self.total else f"{len(self.rows):,} of {count}"
        yield Line("")
        yield Line(f"{self.title} ({shown}):", self.state or "title")
        # A column in which no row has anything to tell is left out.
        kept = [i for i in range(len(self.fields)) if any(row[i] is not None for row in self.rows)]
        fields = [self.fields[i] for i in kept]
        columns = [Column(f.title, right=f.kind.right, rank=f.rank) for f in fields]
        rows = [
            [_cell(f.kind, row[i]) for f, i in zip(fields, kept, strict=True)]
            for row in self.rows[:most]
        ]
        yield Table(columns, rows)
        if len(rows) < len(self.rows):
            yield Line(f"... {len(self.rows) - len(rows):,} more: --all shows all", "dim")


def _cell(kind: Kind, value: Any) -> Cell:
    return Cell("-" if value is None else kind.text(value))


@dataclass
class Contents:
    """A file, or something in it.

    Attributes:
        kind: what it is, in a word or two.
        facts: what is to be said of it, by title; numbers, texts or lists of texts.
        sections: the tables.
        parts: what it holds that is like it, such as the meta graphs of a SavedModel.
        notes: what is amiss.
    """

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    parts: list[Contents] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def keep(self, patterns: Sequence[str]) -> None:
        """Leave the rows of tables whose name fits one of the patterns."""
        for section in self.sections:
            section.keep(patterns)
        for part in self.parts:
            part.keep(patterns)

    def to_json(self) -> dict[str, Any]:
        """One object; keys are facts' titles in small letters."""
        found: dict[str, Any] = {"kind": self.kind}
        found |= {title.lower().replace(" ", "_"): value for title, value in self.facts.items()}
        found |= {section.key: section.to_json() for section in self.sections}
        if self.parts:
            found["parts"] = [part.to_json() for part in self.parts]
        return found | {"notes": self.notes}

    def lines(self, title: str, most: int | None) -> Iterator[Part]:
        """All of it, each table cut to `most` rows."""
        yield Line(f"{title}: {self.kind}", "title")
        for name, value in self.facts.items():
            if value not in (None, [], ""):
                yield Line(f"{name}: {_fact(name, value)}")
        for note in self.notes:
            yield Line(note, "warn")
        for section in self.sections:
            if section.rows:
                yield from section.parts(most)
        for number, part in enumerate(self.parts, 1):
            yield Line("")
            yield from part.lines(f"Part {number} of {len(self.parts)}", most)


def _fact(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if name.endswith("ytes") and value >= 1024:
        return f"{value:,} ({bytes_text(value)})"
    return value if isinstance(value, str) else _number(value)
