"""StepStats messages at two microseconds a node: all but the times is encoded once for a plan.

Protocol buffers let a varint be longer than it need be. So each time gets a field of fixed width,
in the same place of each node, and NumPy writes the times of all nodes of a step at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tfsession.core import protos
from tfsession.core.dtypes import DType
from tfsession.core.wire import nested, varint
from tfsession.devices.transfer import Memory

if TYPE_CHECKING:
    import numpy.typing as npt

# The shape of an output; None where there is no value yet, as in a variable before its first.
OutputShape = tuple[int, ...] | None

_START_MICROS, _MICROS, _START_NANOS, _NANOS = range(4)
# Fields of NodeExecStats: number, which of the times above, bytes for its value (7 bits each). An
# operation starts when it is scheduled and has ended when it has run.
_FIELDS: Final = (
    (2, _START_MICROS, 8),  # all_start_micros
    (9, _START_MICROS, 8),  # scheduled_micros
    (4, _MICROS, 6),  # op_end_rel_micros
    (5, _MICROS, 6),  # all_end_rel_micros
    (13, _START_NANOS, 9),  # all_start_nanos
    (17, _START_NANOS, 9),  # scheduled_nanos
    (15, _NANOS, 8),  # op_end_rel_nanos
    (16, _NANOS, 8),  # all_end_rel_nanos
)


def _blank(width: int) -> bytes:
    """A varint of the value 0 in so many bytes."""
    return b"\x80" * (width - 1) + b"\0"


_BLANKS = [(varint(field << 3), width) for field, _, width in _FIELDS]
_BLOCK = b"".join(tag + _blank(width) for tag, width in _BLANKS)
# A time has up to 63 bits, 7 in a byte. For each byte of the block that has bits of a time: its
# place, and where they are among the bits of all times of the node, once with the mark that more
# bytes follow, once without.
_GROUPS: Final = 9
_SHIFTS = 7 * np.arange(_GROUPS)[:, None, None]
_PLACES = np.array(
    [
        place
        for index, (tag, width) in enumerate(_BLANKS)
        for start in [sum(len(t) + w for t, w in _BLANKS[:index]) + len(tag)]
        for place in range(start, start + width)
    ]
)
_SOURCES = np.array(
    [
        time + 4 * (i if i < width - 1 else i + _GROUPS)
        for _, time, width in _FIELDS
        for i in range(width)
    ]
)
_MICROS_WIDTH: Final = 8


class Output(NamedTuple):
    """What is known of an output before a step: where it lies, and whether its memory is new."""

    dtype: DType
    memory: Memory
    is_new: bool
    is_persistent: bool

    @property
    def allocator(self) -> str:
        """The name of the allocator of its memory."""
        return allocator_of(self.memory)

    def nbytes(self, shape: OutputShape) -> int:
        """How many bytes a value of this shape takes; of strings and handles, those of pointers."""
        itemsize = self.dtype.size or 8
        return 0 if shape is None else int(np.prod(shape, dtype=np.int64)) * itemsize


def allocator_of(memory: Memory) -> str:
    """TensorFlow's name of the allocator of a memory."""
    return "cpu" if memory is None else f"{memory.device_type}_{memory.index}_bfc"


class NodeRecord(NamedTuple):
    """One execution of a node, but for its times: encoded, and where its times go.

    `allocation` is the place of the time of its allocation, 0 where it made none.
    """

    encoded: bytes
    times: int
    allocation: int


def encode_node(
    name: str, label: str, outputs: Sequence[Output], shapes: Sequence[OutputShape]
) -> NodeRecord:
    """A NodeExecStats field of DeviceStepStats, with blanks for the times."""
    message = protos.NodeExecStats(node_name=name, timeline_label=label)
    persistent = 0
    fresh: dict[str, int] = {}
    for slot, (output, shape) in enumerate(zip(outputs, shapes, strict=True)):
        nbytes = output.nbytes(shape)
        description = message.output.add(slot=slot).tensor_description
        fill_description(description, output, shape)
        if output.is_new:
            fresh[output.allocator] = fresh.get(output.allocator, 0) + nbytes
        elif output.is_persistent:
            persistent += nbytes
    if persistent:
        message.memory_stats.persistent_memory_size = persistent
    memory, allocation = _encode_memory(fresh)
    body = _BLOCK + memory + message.SerializeToString()
    encoded = nested(2, body)
    times = len(encoded) - len(body)
    return NodeRecord(encoded, times, times + len(_BLOCK) + allocation if allocation else 0)


def _encode_memory(fresh: dict[str, int]) -> tuple[bytes, int]:
    """AllocatorMemoryUsed fields, and the place in them of the time of the first allocation.

    The kernels of an operation allocate in one memory; in a second one there is at most what the
    host gets to see of a result, of which no time is told.
    """
    encoded, place = b"", 0
    for allocator, nbytes in fresh.items():
        if not nbytes:
            continue
        message = protos.AllocatorMemoryUsed(
            allocator_name=allocator, total_bytes=nbytes, peak_bytes=nbytes, live_bytes=nbytes
        )
        content = message.SerializeToString()
        if not encoded:
            record = b"\x08" + _blank(_MICROS_WIDTH) + b"\x10" + varint(nbytes)
            content = nested(6, record) + content
            place = 1 + len(varint(len(content))) + 1 + len(varint(len(record))) + 1
        encoded += nested(6, content)
    return encoded, place


def fill_description(message: Any, output: Output, shape: OutputShape) -> None:
    """Write an output into a TensorDescription."""
    message.dtype = output.dtype.base_dtype.as_datatype_enum
    if shape is None:
        message.shape.unknown_rank = True
    else:
        message.shape.SetInParent()
        for size in shape:
            message.shape.dim.add(size=size)
    allocation = message.allocation_description
    allocation.requested_bytes = nbytes = output.nbytes(shape)
    allocation.allocated_bytes = nbytes if output.is_new else 0
    allocation.allocator_name = output.allocator


class Layout:
    """The StepStats of a sequence of executions, but for their times.

    Args:
        devices: the name of the device of each execution.
        records: the executions.
    """

    def __init__(self, devices: Sequence[str], records: Sequence[NodeRecord]) -> None:
        order = sorted(range(len(devices)), key=devices.__getitem__)
        times, allocations = np.zeros((2, len(records)), np.int64)
        parts: list[bytes] = []
        length = 0
        for device, group in groupby(order, key=devices.__getitem__):
            members = list(group)
            name = nested(1, device.encode())
            size = len(name) + sum(len(records[i].encoded) for i in members)
            head = b"\x0a" + varint(size) + name
            parts.append(head)
            length += len(head)
            for i in members:
                record = records[i]
                times[i] = length + record.times
                allocations[i] = length + record.allocation if record.allocation else 0
                parts.append(record.encoded)
                length += len(record.encoded)
        self._blank = np.frombuffer(b"".join(parts), np.uint8)
        self._times = (times + _PLACES[:, None]).ravel()
        self._allocating = np.flatnonzero(allocations)
        self._allocations = allocations[self._allocating] + np.arange(_MICROS_WIDTH)[:, None]

    def encode(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> bytes:
        """The message, with the nanoseconds since 1970 at which the executions began and ended."""
        encoded = self._blank.copy()
        start_micros, end_micros = starts // 1000, ends // 1000
        times = np.stack([start_micros, end_micros - start_micros, starts, ends - starts])
        bits = (times >> _SHIFTS & 127).astype(np.uint8).reshape(4 * _GROUPS, -1)
        encoded[self._times] = np.concatenate([bits | 128, bits])[_SOURCES].ravel()
        if len(self._allocating):
            micros = end_micros[self._allocating] >> _SHIFTS[:_MICROS_WIDTH, 0] & 127
            encoded[self._allocations] |= micros.astype(np.uint8)
        return encoded.tobytes()


def encode_copies(device: str, copies: Sequence[tuple[str, str, int, int, int]]) -> bytes:
    """A DeviceStepStats field of copies: name, kind, bytes, start and end in nanoseconds."""
    stats = protos.DeviceStepStats(device=device)
    for name, kind, nbytes, start, end in copies:
        micros = end // 1000 - start // 1000
        stats.node_stats.add(
            node_name=f"{name}:{kind}",
            timeline_label=f"{kind} {nbytes} bytes",
            all_start_micros=start // 1000,
            scheduled_micros=start // 1000,
            op_end_rel_micros=micros,
            all_end_rel_micros=micros,
            all_start_nanos=start,
            scheduled_nanos=start,
            op_end_rel_nanos=end - start,
            all_end_rel_nanos=end - start,
        )
    return nested(1, stats.SerializeToString())
