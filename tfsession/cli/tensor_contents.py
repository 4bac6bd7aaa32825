"""What is in files of tensors, and in event files. Of tensors only what an index tells is read,
unless their values are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from tfsession.checkpoint import bundle_files
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.npz import NpzReader
from tfsession.checkpoint.reader import Reader
from tfsession.checkpoint.safetensors import SafetensorsReader
from tfsession.cli.contents import COUNT, NAME, SHAPE, SIZE, Contents, Field, Kind, Section
from tfsession.core import protos
from tfsession.core.dtypes import as_dtype, string
from tfsession.core.errors import DataLossError, OpError
from tfsession.core.records import RecordReader

# The tensor in which TensorFlow 2 keeps what objects its checkpoints were made of.
OBJECT_GRAPH: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Elements that are looked at together: statistics need no second copy of a tensor.
_PIECE: Final = 1 << 20
_VALUE: Final = Kind(lambda value: f"{value:.6g}", right=True)
STATISTICS: Final = (
    *(Field(key, key.capitalize(), _VALUE, 1) for key in ("min", "max", "mean")),
    *(Field(key, key.capitalize(), COUNT, 1) for key in ("nan", "infinite")),
)


def kind_of(reader: Reader) -> str:
    """What users call a file of tensors."""
    if isinstance(reader, BundleReader):
        return "checkpoint V2"
    if isinstance(reader, SafetensorsReader):
        return "safetensors"
    return "npz" if isinstance(reader, NpzReader) else "checkpoint V1"


def of_tensors(reader: Reader, statistics: bool = False) -> Contents:
    """The contents of a file of tensors.

    Args:
        reader: of the file.
        statistics: read the tensors, too, for their least, greatest and mean values.

    Raises:
        OpError: the file is damaged.
    """
    rows, elements, total = [], 0, 0
    for name in reader.names():
        entry = reader.entry(name)
        shape, count = tuple(entry.shape), math.prod(entry.shape)
        size = count * entry.dtype.size if entry.dtype.size else None
        if size is None and isinstance(reader, BundleReader):
            size = entry.size  # type: ignore[union-attr]
        row = (name, entry.dtype.name, list(shape), size, _parts(reader, entry))
        rows.append(row + (statistics_of(reader.read(name)) if statistics else ()))
        elements += count
        total += size or 0
    fields = [
        Field("name", "Name", NAME),
        Field("dtype", "Dtype"),
        Field("shape", "Shape", SHAPE),
        Field("bytes", "Size", SIZE),
        Field("parts", "Parts", COUNT, 1),
    ]
    if statistics:
        fields += STATISTICS
    facts: dict[str, Any] = {"Tensors": len(rows), "Elements": elements, "Bytes": total}
    found = Contents(kind_of(reader), facts, [Section("tensors", "Tensors", fields, rows)])
    if isinstance(reader, BundleReader):
        _add_bundle(found, reader)
    elif isinstance(reader, SafetensorsReader):
        facts["Metadata"] = [f"{key}={text}" for key, text in reader.metadata.items()]
    return found


def _parts(reader: Reader, entry: Any) -> int | None:
    parts = entry.parts if isinstance(reader, BundleReader) else getattr(entry, "files", ())
    return len(parts) if len(parts) > 1 else None


def _add_bundle(found: Contents, reader: BundleReader) -> None:
    """The files, and the objects that TensorFlow 2 has saved."""
    found.facts["Data files"] = reader.shards
    for shard in range(reader.shards):
        name = bundle_files.data_name(reader.prefix, shard, reader.shards)
        if not Path(bundle_files.current(name, reader.prefix)).is_file():
            found.notes.append(f"{name} is missing")
    if OBJECT_GRAPH in reader:
        try:
            data = reader.read(OBJECT_GRAPH).item()
            graph = protos.TrackableObjectGraph.FromString(data)
        except (OpError, protos.DecodeError, ValueError, TypeError) as error:
            found.notes.append(f"{OBJECT_GRAPH} cannot be read: {error}")
            return
        found.facts["Objects"] = len(graph.nodes)
        rows = [
            (saved.checkpoint_key, saved.full_name or None, number)
            for number, node in enumerate(graph.nodes)
            for saved in node.attributes
        ]
        fields = [
            Field("key", "Key", NAME),
            Field("variable", "Variable"),
            Field("object", "Object", COUNT, 1),
        ]
        found.sections.append(Section("objects", "Saved by objects", fields, rows))


def statistics_of(array: Any) -> tuple[Any, ...]:
    """The least, the greatest, the mean of the finite values, the count of NaN, that of infinities.

    Of an array that has no finite value, the first three are None; of one of texts and the like,
    all are.
    """
    dtype = as_dtype(array.dtype)
    if dtype is string or dtype.is_complex or dtype.is_quantized:
        return (None,) * len(STATISTICS)
    least, most, total, count, nan = math.inf, -math.inf, 0.0, 0, 0
    exact = array.dtype.kind in "iub"
    for piece in _pieces(array):
        numbers = piece.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        nan += int(np.isnan(numbers).sum())
        if finite.size:
            count += finite.size
            total += float(finite.sum())
            source = piece if exact else finite
            least, most = min(least, source.min().item()), max(most, source.max().item())
    if not count:
        return None, None, None, nan, array.size - nan
    mean = total / count
    return least, most, mean if math.isfinite(mean) else None, nan, array.size - nan - count


def _pieces(array: Any) -> Iterator[Any]:
    flat = array.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        yield flat[start : start + _PIECE]


def of_events(path: str) -> Contents:
    """The contents of an event file: what was recorded under which tags, and when.

    A file that ends in the middle of a record is told so: its program may be at work yet.
    """
    found = Contents("event file")
    tags: dict[tuple[str, str], list[Any]] = {}
    others: dict[str, list[Any]] = {}
    events, first, last, version = 0, None, None, None
    with RecordReader(path) as records:
        try:
            for data in records:
                event = protos.parsed(protos.Event, data)
                events += 1
                first = event.wall_time if first is None else first
                last = event.wall_time
                kind = event.WhichOneof("what") or "nothing"
                version = event.file_version or version
                if kind == "summary":
                    for value in event.summary.value:
                        _add_value(tags, value, event.step)
                else:
                    _add(others, kind, event.step, None)
        except (DataLossError, ValueError) as error:
            text = error.message if isinstance(error, OpError) else str(error)
            found.notes.append(f"Not readable after {events:,} events: {text}")
    found.facts = {
        "Events": events, "Version": version, "First": _time(first), "Last": _time(last)
    }  # fmt: skip
    span = [
        Field("events", "Events", COUNT),
        Field("first_step", "First step", COUNT, 1),
        Field("last_step", "Last step", COUNT, 1),
    ]
    value = Field("last_value", "Last value", _VALUE)
    tag_fields = [Field("tag", "Tag", NAME), Field("kind", "Kind"), *span, value]
    found.sections = [
        Section("tags", "Tags", tag_fields, [(*key, *row) for key, row in sorted(tags.items())]),
        Section(
            "other_events",
            "Other events",
            [Field("kind", "Kind"), *span],
            [(kind, *row[:3]) for kind, row in sorted(others.items())],
        ),
    ]
    return found


_VALUE_KINDS: Final = {
    "simple_value": "scalar", "histo": "histogram", "obsolete_old_style_histogram": "histogram"
}  # fmt: skip


def _add_value(tags: dict[tuple[str, str], list[Any]], value: Any, step: int) -> None:
    kind = value.WhichOneof("value") or "nothing"
    plugin = value.metadata.plugin_data.plugin_name
    name = _VALUE_KINDS.get(kind, kind)
    number = value.simple_value if kind == "simple_value" else None
    number = number if number is not None and math.isfinite(number) else None
    _add(
        tags,
        (value.tag, f"{name} ({plugin})" if kind == "tensor" and plugin else name),
        step,
        number,
    )


def _add(rows: dict[Any, list[Any]], key: Any, step: int, value: Any) -> None:
    row = rows.setdefault(key, [0, step, step, None])
    row[0] += 1
    row[2], row[3] = step, value


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"
