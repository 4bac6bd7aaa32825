"""The report of a placement: rows to look through, a table to read, a summary, JSON.

It is plain data: nothing in it holds a graph or a session.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

from tfsession.core.device_spec import DeviceName, canonical, parse_device_name
from tfsession.devices.layout import full_name
from tfsession.runtime.decision import Reason
from tfsession.runtime.moves import bytes_text, size_text

# Rows that `str` and notebooks show of a table.
MOST_ROWS = 60
_HINT = "to_string() shows all, filter() fewer"
# Characters of a name that `str` shows: the end of it tells more.
_NAME_WIDTH = 40
_QUOTED = re.compile(r"'([^']+)'")

HOST = "host"


class OpRow(NamedTuple):
    """Where one operation runs, and why.

    Attributes:
        name, type: the operation's.
        device: full name of the device.
        reason: what decided.
        other: the name of the operation that it follows, or is colocated with; empty for none.
        requested: the device that the program asks for, as it does; empty for none.
        memory: "device", or "host" where a GPU's operation computes in host memory.
        host_inputs: names of inputs that a GPU's operation reads in host memory.
        why: the reason in words.
    """

    name: str
    type: str
    device: str
    reason: Reason
    other: str
    requested: str
    memory: str
    host_inputs: tuple[str, ...]
    why: str


class TransferRow(NamedTuple):
    """A copy between memories that a step makes.

    Attributes:
        tensor, dtype, shape: the tensor's name, dtype and static shape; None for an unknown size.
        source, destination: full names of devices, or "host": all CPU devices share its memory.
        bytes: its size; None where the static shape leaves it open.
        unit_bytes: bytes for each one of what is unknown; all bytes where nothing is.
        kind: "implicit", or what the caller asked for: "fed", "fetched".
        readers: names of the operations that read the copy.
        loop: the loop in each iteration of which it happens; empty for once a step.
        conditional: whether it happens only on one way of a conditional.
        why: all this in words.
    """

    tensor: str
    dtype: str
    shape: tuple[int | None, ...] | None
    source: str
    destination: str
    bytes: int | None
    unit_bytes: int
    kind: str
    readers: tuple[str, ...]
    loop: str
    conditional: bool
    why: str


class Traffic(NamedTuple):
    """The copies between two memories: how many, their bytes, and how many of unknown size."""

    copies: int
    bytes: int
    unknown: int


class Summary(NamedTuple):
    """Numbers of operations by device and by reason, and copies by (source, destination)."""

    by_device: dict[str, int]
    by_reason: dict[Reason, int]
    transfers: dict[tuple[str, str], Traffic]


class PlacementReport(Sequence[OpRow]):
    """Where operations run and why, and the copies that a step of them makes.

    A sequence of `OpRow`; `transfers` has the `TransferRow`s, which is empty when the report is
    about a whole graph. `print(report)` shows a table, a long one in part; `to_string()` all of it;
    notebooks show HTML.

    Attributes:
        operations: the rows of operations, in an order in which they can run.
        transfers: the copies of a step; None where no step was asked about.
        devices: full names of the session's devices.
    """

    def __init__(
        self,
        operations: Sequence[OpRow],
        transfers: Sequence[TransferRow] | None,
        devices: Sequence[str],
    ) -> None:
        self.operations = tuple(operations)
        self.transfers = None if transfers is None else tuple(transfers)
        self.devices = tuple(devices)

    def __len__(self) -> int:
        return len(self.operations)

    def __iter__(self) -> Iterator[OpRow]:
        return iter(self.operations)

    def __getitem__(self, key: Any) -> Any:
        """A row by number or by the operation's name; a slice gives a tuple of rows.

        Raises KeyError for a name that is not there.
        """
        if isinstance(key, str):
            for row in self.operations:
                if row.name == key:
                    return row
            raise KeyError(key)
        return self.operations[key]

    def filter(
        self,
        device: Any = None,
        reason: Reason | str | Collection[Reason | str] | None = None,
        op_type: str | Collection[str] | None = None,
    ) -> PlacementReport:
        """The part of the report to which all arguments apply; None applies to all.

        Args:
            device: a device name or DeviceSpec, complete or not: "/gpu:1", "GPU", "/cpu:0". A
                transfer is at both of its ends.
            reason: a Reason, its name or its text ("only kernel"), or several of them.
            op_type: an op type, or several.

        Returns:
            A report; its transfers are those of the operations that are left, as makers of the
            tensor or as readers.

        Raises:
            ValueError: the device's name is malformed, or there is no such reason.
        """
        name = None if device is None else _device_name(device)
        reasons = None if reason is None else _reasons(reason)
        types = {op_type} if isinstance(op_type, str) else op_type
        rows = [
            row
            for row in self.operations
            if (name is None or _is_at(name, row.device))
            and (reasons is None or row.reason in reasons)
            and (types is None or row.type in types)
        ]
        transfers = self.transfers
        if transfers is not None and name is not None:
            transfers = tuple(t for t in transfers if _touches(name, t))
        if transfers is not None and (reasons is not None or types is not None):
            left = {row.name for row in rows}
            transfers = tuple(
                t for t in transfers if not left.isdisjoint((*t.readers, t.tensor.split(":")[0]))
            )
        return PlacementReport(rows, transfers, self.devices)

    def summary(self) -> Summary:
        """The report in numbers."""
        by_device = Counter(dict.fromkeys(self.devices, 0))
        by_device.update(row.device for row in self.operations)
        traffic: dict[tuple[str, str], Traffic] = {}
        for row in self.transfers or ():
            pair = row.source, row.destination
            before = traffic.get(pair, Traffic(0, 0, 0))
            traffic[pair] = Traffic(
                before.copies + 1,
                before.bytes + (row.bytes or 0),
                before.unknown + (row.bytes is None),
            )
        by_reason = Counter(row.reason for row in self.operations)
        return Summary(dict(by_device), dict(by_reason.most_common()), traffic)

    def to_dict(self) -> dict[str, Any]:
        """The report as dicts, lists, texts and numbers, ready for JSON."""
        summary = self.summary()
        return {
            "devices": list(self.devices),
            "operations": [_plain(row) for row in self.operations],
            "transfers": None if self.transfers is None else [_plain(t) for t in self.transfers],
            "summary": {
                "operations_by_device": summary.by_device,
                "operations_by_reason": {r.value: n for r, n in summary.by_reason.items()},
                "transfers": [
                    {"source": source, "destination": destination, **traffic._asdict()}
                    for (source, destination), traffic in summary.transfers.items()
                ],
            },
        }

    def to_string(self, max_rows: int | None = None, hint: str = _HINT) -> str:
        """The report as text; of a table longer than `max_rows` only begin and end.

        `hint` tells there how to see the rest.
        """
        return _text(self, max_rows, hint)

    def parts(self, max_rows: int | None = None) -> tuple[list[str], list[ReportTable], list[str]]:
        """What the report shows: lines, tables, and lines below, for who draws them otherwise."""
        return _head(self), list(_tables(self, max_rows)), _foot(self)

    def __str__(self) -> str:
        return self.to_string(MOST_ROWS)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The report for a notebook."""
        parts = [f"<p>{escape(line)}</p>" for line in _head(self)]
        parts.extend(
            f"<h4>{escape(table.title)}</h4>{_html_table(table)}"
            for table in _tables(self, MOST_ROWS)
        )
        parts.extend(f"<p>{escape(line)}</p>" for line in _foot(self))
        return f"<div>{''.join(parts)}</div>"


# --- choosing -------------------------------------------------------------------------------------


def _device_name(device: Any) -> DeviceName:
    name = parse_device_name(canonical(device))
    if name is None:
        raise ValueError(f"{device!r} is no device name")
    return name


def _is_at(name: DeviceName, device: str) -> bool:
    full = parse_device_name(device)
    return full is not None and name.matches(full)


def _touches(name: DeviceName, row: TransferRow) -> bool:
    # Any CPU device stands for the host.
    of_host = name._replace(device_index=None) if name.device_type == "CPU" else name
    return any(
        _is_at(of_host, full_name("CPU", 0)) if end == HOST else _is_at(name, end)
        for end in (row.source, row.destination)
    )


def _reasons(reason: Any) -> set[Reason]:
    if isinstance(reason, Reason | str):
        reason = [reason]
    known: dict[Any, Reason] = {}
    for each in Reason:
        known |= {each: each, each.value: each, each.name.lower(): each}
    found = set()
    for each in reason:
        key = each.lower() if isinstance(each, str) else each
        if key not in known:
            choices = ", ".join(one.value for one in Reason)
            raise ValueError(f"There is no such reason as {each!r}; there are {choices}")
        found.add(known[key])
    return found


def _plain(row: NamedTuple) -> dict[str, Any]:
    values = row._asdict()
    for key, value in values.items():
        if isinstance(value, Reason):
            values[key] = value.value
        elif isinstance(value, tuple):
            values[key] = list(value)
    return values


# --- texts ----------------------------------------------------------------------------------------


def short_device(device: str) -> str:
    """A device's name without job, replica and task."""
    return device.rpartition("/device:")[2]


class ReportTable(NamedTuple):
    """A table to show; `left_out` rows are missing before number `gap`."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[bool]
    gap: int = 0
    left_out: int = 0

    def cut(self, max_rows: int | None) -> ReportTable:
        """At most so many rows of it: its begin, and less of its end."""
        rows = self.rows
        if max_rows is None or len(rows) <= max_rows:
            return self
        last = max_rows // 5
        first = max_rows - last
        kept = [*rows[:first], *rows[len(rows) - last :]]
        return self._replace(rows=kept, gap=first, left_out=len(rows) - len(kept))

    def note(self, hint: str) -> str:
        """What stands in place of the rows that are left out."""
        return f"... {self.left_out:,} more: {hint} ..."


def _tables(report: PlacementReport, max_rows: int | None) -> Iterator[ReportTable]:
    if report.operations:
        rows: list[Sequence[str]] = [
            (r.name, r.type, short_device(r.device), r.why) for r in report.operations
        ]
        headings = ("Operation", "Type", "Device", "Why")
        yield ReportTable("Operations", headings, rows, (False,) * 4).cut(max_rows)
    if report.transfers:
        rows = [
            (
                row.tensor,
                short_device(row.source),
                short_device(row.destination),
                size_text(row.bytes, row.unit_bytes),
                row.why,
            )
            for row in report.transfers
        ]
        numbers = (False, False, False, True, False)
        columns = ("Tensor", "From", "To", "Bytes", "What for")
        yield ReportTable("Transfers of a step", columns, rows, numbers).cut(max_rows)
        rows = [
            [*map(short_device, pair), f"{traffic.copies:,}", _traffic_text(traffic)]
            for pair, traffic in report.summary().transfers.items()
        ]
        headings = ("From", "To", "Copies", "Bytes")
        yield ReportTable("Transfers in sum", headings, rows, (False, False, True, True))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _head(report: PlacementReport) -> list[str]:
    devices = ", ".join(map(short_device, report.devices))
    return [f"{_count(len(report), 'operation')} placed on {devices}"]


def _foot(report: PlacementReport) -> list[str]:
    summary = report.summary()
    lines = []
    if summary.by_reason:
        by_device = [f"{short_device(d)} {n:,}" for d, n in summary.by_device.items()]
        lines.append(f"By device: {', '.join(by_device)}")
        by_reason = [f"{reason.value} {n:,}" for reason, n in summary.by_reason.items()]
        lines.append(f"By reason: {', '.join(by_reason)}")
    if report.transfers is not None and not report.transfers:
        lines.append("No transfers")
    return lines


def _traffic_text(traffic: Traffic) -> str:
    if not traffic.unknown:
        return bytes_text(traffic.bytes)
    return f"at least {bytes_text(traffic.bytes)}" if traffic.bytes else "?"


def _text(report: PlacementReport, max_rows: int | None, hint: str) -> str:
    width = None if max_rows is None else _NAME_WIDTH
    lines = _head(report)
    for table in _tables(report, max_rows):
        lines += ["", f"{table.title}:", *_aligned(table, width, hint)]
    foot = _foot(report)
    return "\n".join([*lines, *([""] if foot else []), *foot])


def _aligned(table: ReportTable, width: int | None, hint: str) -> list[str]:
    shown = [table.headings, *(_shortened(row, width) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = [
            text.rjust(size) if is_number else text.ljust(size)
            for text, size, is_number in zip(row, widths, table.numbers, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * size for size in widths))
    if table.left_out:
        lines.insert(table.gap + 2, table.note(hint))
    return lines


def _shortened(row: Sequence[str], width: int | None) -> Sequence[str]:
    """A row whose names, in the first column and between quotes in the last, are not too long."""
    last = _QUOTED.sub(lambda found: f"'{_end_of(found[1], width)}'", row[-1])
    return [_end_of(row[0], width), *row[1:-1], last]


def _end_of(name: str, width: int | None) -> str:
    return name if width is None or len(name) <= width else f"...{name[3 - width :]}"


def _html_table(table: ReportTable) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    rows = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows]
    if table.left_out:
        columns = len(table.headings)
        rows.insert(table.gap, f'<tr><td colspan="{columns}">{escape(table.note(_HINT))}</td></tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
