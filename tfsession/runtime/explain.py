"""Explaining a placement: rows of a report, read from what the placer and the partitioner know.

Nothing is compiled or run, no constant is made on a device. What placing did not note, because it
has to be fast, is found here, when somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from tfsession.core.device_spec import parse_device_name
from tfsession.core.dtypes import DType
from tfsession.core.rules import find_kernel, kernels
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.colocation import Group
from tfsession.runtime.compile import fetch_transfers
from tfsession.runtime.decision import Decision, Reason, Round, asks_for_device
from tfsession.runtime.device_support import OpKind, absent_dtypes
from tfsession.runtime.execute import Engine
from tfsession.runtime.moves import Move, moves_of, unit_bytes
from tfsession.runtime.partition import HOST_DTYPES, make_node
from tfsession.runtime.place import Placer
from tfsession.runtime.placement_errors import full_name_of
from tfsession.runtime.placement_report import (
    HOST,
    OpRow,
    PlacementReport,
    TransferRow,
    short_device,
)
from tfsession.runtime.plan import Signature

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")


def explain_graph(engine: Engine) -> PlacementReport:
    """The report about all operations that are placed; raises as a run does."""
    with engine.placed() as placer:
        placement = engine.placement()
        rows = operation_rows(placer, sorted(placement, key=attrgetter("_id")))
    return PlacementReport(rows, None, [device.name for device in engine.devices.devices])


def explain_step(
    engine: Engine, elements: Sequence[Tensor | Operation], feeds: Sequence[Tensor]
) -> PlacementReport:
    """The report about what a step runs and copies; raises as a run does.

    Args:
        engine: the session's.
        elements: the fetched tensors, and operations.
        feeds: tensors that are fed from the host, besides all placeholders that are reached.
    """
    targets = tuple(dict.fromkeys(e for e in elements if isinstance(e, Operation)))
    fed = dict.fromkeys(feeds)
    with engine.placed() as placer:
        while True:
            tensors = [e for e in dict.fromkeys(elements) if isinstance(e, Tensor)]
            fetches = tuple([tensor for tensor in tensors if tensor not in fed])
            signature = Signature(fetches, targets, tuple(fed), (None,) * len(fed))
            reached = engine.needed(signature)
            placeholders = [
                op.outputs[0]
                for op in reached
                if op.type in _PLACEHOLDERS and op not in targets and op.outputs[0] not in fed
            ]
            if not placeholders:
                break
            fed |= dict.fromkeys(placeholders)
        signature, ops, layout = engine.layout(signature)
        rows = operation_rows(placer, ops)
        moves = moves_of(layout, signature.feed_memories, fetch_transfers(layout, signature)[1])
        transfers = [_transfer_row(move, placer) for move in moves]
    return PlacementReport(rows, transfers, [device.name for device in engine.devices.devices])


# --- operations -----------------------------------------------------------------------------------


def operation_rows(placer: Placer, ops: Sequence[Operation]) -> list[OpRow]:
    """A row for each operation, all of which were placed."""
    rows = _Rows(placer)
    return [rows.row(op) for op in ops]


class _Rows:
    """Makes the rows of operations, of one or several rounds of placing."""

    def __init__(self, placer: Placer) -> None:
        self._placer = placer
        self._readers: dict[int, dict[Operation, Operation]] = {}
        self._memories: dict[tuple[OpKind, str], _Memory] = {}

    def row(self, op: Operation) -> OpRow:
        """What is to be told of an operation."""
        its = self._placer.round_of(op)
        device, decision = its.placement[op], its.decision(op)
        if decision.reason is Reason.FOLLOWS_CONSUMER:
            decision = Decision(decision.reason, self._reader(op, its))
        memory, host_inputs, data = self._memory(op, its, device)
        why = self._why(op, its, decision)
        if data:
            why += f"; {data} in host memory"
        other = "" if decision.other is None else decision.other.name
        return OpRow(
            op.name,
            op.type,
            device.name,
            decision.reason,
            other,
            op.device,
            memory,
            host_inputs,
            why,
        )

    def _memory(self, op: Operation, its: Round, device: Device) -> _Memory:
        """Where an operation computes: that is the same for all of its kind."""
        key = its.groups.kinds.kind(op), device.device_type
        if key not in self._memories:
            self._memories[key] = _memory_of(op, device)
        return self._memories[key]

    def _reader(self, op: Operation, its: Round) -> Operation | None:
        """The first consumer of an operation without inputs."""
        readers = self._readers.get(id(its))
        if readers is None:
            readers = self._readers[id(its)] = {}
            for reader in its.ops:
                for source in (*(t.op for t in reader.inputs), *reader.control_inputs):
                    if not source.inputs:
                        readers.setdefault(source, reader)
        return readers.get(op)

    def _why(self, op: Operation, its: Round, decision: Decision) -> str:
        reason, other = decision
        if reason is Reason.KEPT:
            first = self._placer.first_decision(op)
            return f"{reason.value} ({first.reason.value}{_named(first.other)})"
        if reason is Reason.COLOCATED and other is not None:
            why = f"{reason.value}{_named(other)} ({its.decision(other).reason.value})"
            is_asked = asks_for_device(op) and not _fits(op, its.placement[op])
            return f"{why}, though it asks for {_asked(op)}" if is_asked else why
        if reason is Reason.SOFT_FALLBACK:
            group = its.groups.find(op)
            assert group is not None
            return f"{reason.value} from {_asked(op)}: {_obstacle(op, its, group)}"
        if reason is Reason.REQUESTED:
            return f"{reason.value} {_asked(op)}"
        types = its.groups.kinds.types
        if reason is Reason.ONLY_KERNEL:
            return f"{reason.value}: {_lacking(op, types, its.groups.kinds.kind(op).supported)}"
        if reason is Reason.HOST_DTYPE:
            return f"{reason.value}: {_absent(op, types)}"
        if reason is Reason.PREFERRED and len(its.groups.kinds.devices) == 1:
            return f"{reason.value}, the only one"
        return f"{reason.value}{_named(other)}"


def _named(op: Operation | None) -> str:
    return "" if op is None else f" '{op.name}'"


def _fits(op: Operation, device: Device) -> bool:
    own = parse_device_name(op._device)
    return own is not None and own.matches(full_name_of(device))


def _asked(op: Operation) -> str:
    """The device that an operation asks for, without a job that goes without saying."""
    return op.device if op.device.startswith("/job:") else short_device(op.device) or op.device


class _Memory(NamedTuple):
    """Where an operation computes; of one of a GPU, its host inputs and the data kept there."""

    where: str
    host_inputs: tuple[str, ...] = ()
    data: str = ""


def _memory_of(op: Operation, device: Device) -> _Memory:
    if device.device_type == "CPU":
        return _Memory(HOST)
    kernel = find_kernel(op.type, device.device_type, op.attrs)
    if kernel is None:
        return _Memory("device")
    named = tuple([arg.name for arg in op.op_def.inputs if arg.name in kernel.host])
    data = _host_data(op) if make_node(op, device).memory is None else ""
    return _Memory(HOST if data else "device", named, data)


def _host_data(op: Operation) -> str:
    """The dtypes of an operation that stay in host memory everywhere, as text."""
    dtypes = [tensor.dtype.base_dtype for tensor in (*op.outputs, *op.inputs)]
    dtypes += [value for value in op.attrs.values() if isinstance(value, DType)]
    return " and ".join(dict.fromkeys(d.name for d in dtypes if d in HOST_DTYPES))


def _lacking(op: Operation, types: Sequence[str], supported: frozenset[str]) -> str:
    """Which device types have no kernel for an operation, or none for its dtypes."""
    return ", ".join(_no_kernel(op, each) for each in types if each not in supported)


def _no_kernel(op: Operation, device_type: str) -> str:
    candidates = [k for k in kernels.get(op.type) or () if k.device in (None, device_type)]
    attrs = {name for kernel in candidates for name in kernel.types if name in op.attrs}
    named = ", ".join(f"{name}={_type_text(op.attrs[name])}" for name in sorted(attrs))
    return f"no {device_type} kernel{f' for {named}' if named else ''}"


def _type_text(value: object) -> str:
    values = value if isinstance(value, list) else [value]
    return ",".join(each.name if isinstance(each, DType) else str(each) for each in values)


def _absent(op: Operation, types: Sequence[str]) -> str:
    """Which data of an operation some device type cannot hold."""
    for device_type in types:
        kernel = find_kernel(op.type, device_type, op.attrs)
        absent = absent_dtypes(op, device_type, kernel) if kernel is not None else ()
        if absent:
            names = " and ".join(sorted(dtype.name for dtype in absent))
            return f"{device_type} memory holds no {names}"
    return "it reads what was made for the host"


def _obstacle(op: Operation, its: Round, group: Group) -> str:
    """Why an operation cannot be where it asks to be."""
    kinds, own = its.groups.kinds, parse_device_name(op._device)
    assert own is not None
    fitting = [device for device in kinds.devices if own.matches(full_name_of(device))]
    if not fitting:
        return "no such device"
    wanted = {device.device_type for device in fitting}
    supported = kinds.kind(op).supported
    if wanted.isdisjoint(supported):
        device_type = sorted(wanted)[0]
        if find_kernel(op.type, device_type, op.attrs) is None:
            return _no_kernel(op, device_type)
        return _absent(op, [device_type])
    for member in its.group_of(group):
        if wanted.isdisjoint(kinds.kind(member).supported):
            return f"colocated with '{member.name}', {_no_kernel(member, sorted(wanted)[0])}"
        name = parse_device_name(member._device) if asks_for_device(member) else None
        if name is not None and not any(name.matches(full_name_of(each)) for each in fitting):
            return f"colocated with '{member.name}', which asks for {_asked(member)}"
        kept = its.groups.kept.get(member)
        if kept is not None and kept not in fitting:
            return f"colocated with '{member.name}', which is on {short_device(kept.name)}"
    return "its group went elsewhere"


# --- transfers ------------------------------------------------------------------------------------


def _memory_name(memory: Memory) -> str:
    return HOST if memory is None else memory.name


def _transfer_row(move: Move, placer: Placer) -> TransferRow:
    transfer = move.transfer
    tensor = transfer.tensor
    known, unit = unit_bytes(tensor)
    kind = "fed" if move.is_fed else "implicit" if move.readers else "fetched"
    return TransferRow(
        tensor.name,
        tensor.dtype.base_dtype.name,
        tensor._shape,
        _memory_name(transfer.source),
        _memory_name(transfer.destination),
        known,
        unit,
        kind,
        tuple([op.name for op in move.readers]),
        "/".join(move.frame),
        move.is_conditional,
        _what_for(move, placer),
    )


def _what_for(move: Move, placer: Placer) -> str:
    parts = ["fed"] if move.is_fed else []
    if move.readers:
        reader, more = move.reader, len(move.readers) - 1
        device = placer.round_of(reader).placement[reader]
        place = f" of {short_device(device.name)}"
        is_host_input = move.transfer.destination is None and device.device_type != "CPU"
        text = f"read {'on the host ' if is_host_input else ''}by '{reader.name}'"
        text += place if is_host_input else ""
        parts.append(f"{text} and {more} more" if more else text)
    if move.is_fetched:
        parts.append("fetched")
    if move.frame:
        parts.append(f"in each iteration of '{move.frame[-1]}'")
    if move.is_conditional:
        parts.append("on one way of a conditional")
    return ", ".join(parts)
