"""The errors of placing, in TensorFlow's words: what is asked, what there is, who is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tfsession.core.device_spec import DeviceName, parse_device_name
from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import Kernel, kernels
from tfsession.devices.device import Device
from tfsession.graph.node_text import attr_text, summary
from tfsession.graph.operation import Operation

if TYPE_CHECKING:
    from tfsession.runtime.colocation import Group, Groups

# What a kernel without a device type stands for in lists of kernels.
_COMMON_TYPES = ("CPU", "GPU")


def about(op: Operation, text: str) -> InvalidArgumentError:
    """The error about `op`, whose name closes the text."""
    tag = f"{{{{node {op.name}}}}}"
    name = op.name if tag in text else tag
    return InvalidArgumentError(op.node_def, op, f"{text}\n\t [[{name}]]")


def no_kernel(op: Operation, device_types: Sequence[str]) -> InvalidArgumentError:
    """None of the session's device types can run `op`."""
    return about(
        op,
        f"No OpKernel was registered to support Op '{op.type}' used by {{{{node {op.name}}}}} "
        f"with these attrs: [{_attrs(op)}]\nRegistered devices: [{', '.join(device_types)}]\n"
        f"Registered kernels:\n{registered_kernels(op.type)}",
    )


def malformed_device(op: Operation) -> InvalidArgumentError:
    """The requested device of `op` is no device name."""
    node = summary(op.type, op.name, op.attrs, op.inputs, op.control_inputs, op.device)
    # TensorFlow numbers a graph's nodes after a source and a sink.
    return about(
        op,
        f"Malformed device specification '{op.device}' in node: {{name:'{op.name}' id:{op._id + 2} "
        f"op device:{{requested: '{op.device}', assigned: ''}} def:{{{node}}}}}",
    )


def handle_conflict(
    kind: str, source: Operation, reader: Operation, groups: Groups
) -> InvalidArgumentError:
    """A reference or resource connects groups that must stay on different devices.

    `kind` is the part of their requests that they cannot give up: "assigned" or "resource".
    """
    there, here = groups.group(source), groups.group(reader)
    ours, theirs = getattr(there, kind), getattr(here, kind)
    text = (
        "Cannot place the graph because a reference or resource edge connects colocation groups "
        f"with incompatible {kind} devices: {ours.to_string()} vs {theirs.to_string()}. The edge "
        f"src node is name='{source.name}' (op='{source.type}'), and the dst node is "
        f"name='{reader.name}' (op='{reader.type}')."
    )
    told = in_conflict(there, here, groups, (source, reader))
    return InvalidArgumentError(reader.node_def, reader, text + told)


def in_conflict(group: Group, other: Group, groups: Groups, named: Sequence[Operation] = ()) -> str:
    """Who of two groups asks for what cannot be had together; "" if these are `named` already."""
    at = next(
        (
            index
            for index, (mine, its) in enumerate(zip(group.requested, other.requested, strict=True))
            if mine is not None and its is not None and mine != its
        ),
        None,
    )
    if at is None:
        return ""
    askers = [_asker(each, at, groups) for each in (group, other)]
    if {op for op, _ in askers} <= set(named):
        return ""
    texts = [f"'{op.name}' ({op.type}) {text}" for op, text in askers]
    return f"\nIn conflict: {', '.join(texts)}"


def _asker(group: Group, at: int, groups: Groups) -> tuple[Operation, str]:
    """The operation of a group that brought in the part `at` of what the group asks for."""
    members = groups.members(group)
    wanted = group.requested[at]
    for op in members:
        kept = groups.kept.get(op)
        if kept is not None and full_name_of(kept)[at] == wanted:
            return op, f"is on {kept.name}"
    for op in members:
        name = parse_device_name(op.device)
        if name is not None and name[at] == wanted:
            return op, f"asks for {op.device}"
    return members[0], f"is held to {group.requested.to_string()}"


def no_candidate(
    op: Operation, own: DeviceName, group: Group, groups: Groups, devices: Sequence[Device]
) -> InvalidArgumentError:
    """No device satisfies what `op` and the operations colocated with it ask for."""
    start = f"Cannot assign a device for operation {op.name}: "
    asked = f"Could not satisfy explicit device specification '{op.device}'"
    names = ", ".join(sorted(device.name for device in devices))
    debug = debug_info(group, groups)
    if own != group.requested:
        text = (
            f"{asked} because the node {{{{colocation_node {op.name}}}}} was colocated with a "
            f"group of nodes that required incompatible device '{group.requested.to_string()}'. "
            f"All available devices [{names}]. {debug}"
        )
    elif not any(own.matches(full_name_of(device)) for device in devices):
        text = (
            f"{{{{node {op.name}}}}} was explicitly assigned to {op.device} but available devices "
            f"are [ {names} ]. Make sure the device specification refers to a valid device."
        )
        wants_gpu = (own.device_type or "").lower() == "gpu"
        if wants_gpu and not any(device.device_type == "GPU" for device in devices):
            text += " The requested device appears to be a GPU, but CUDA is not enabled."
    elif own.device_type is not None:
        text = (
            f"{asked} because no supported kernel for {own.device_type} devices is available."
            f"{debug}\nOp: {op.type}\nNode attrs: {_attrs(op)}\n"
            f"Registered kernels:\n{registered_kernels(op.type)}"
        )
    else:
        text = f"{asked}.{debug}"
    return about(op, start + text)


def full_name_of(device: Device) -> DeviceName:
    """The parts of the full name of a session's device."""
    return DeviceName("localhost", 0, 0, device.device_type, device.index)


def debug_info(group: Group, groups: Groups) -> str:
    """Who belongs to the group, what each one asked for, and what each type of device can run."""
    members = groups.members(group)
    types: dict[str, Iterable[str]] = {}
    for op in members:
        types.setdefault(op.type, sorted(groups.kinds.kind(op).supported))
    lines = ["", "Colocation Debug Info:"]
    lines.append("Colocation group had the following types and supported devices: ")
    lines.append(
        "Root Member(assigned_device_name_index_=-1 "
        f"requested_device_name_='{group.requested.to_string()}' "
        f"assigned_device_name_='{group.assigned.to_string()}' "
        f"resource_device_name_='{group.resource.to_string()}' "
        f"supported_device_types_=[{', '.join(sorted(group.supported))}] possible_devices_=[]"
    )
    lines.extend(f"{op_type}: {' '.join(supported)} " for op_type, supported in types.items())
    lines.append("")
    lines.append(
        "Colocation members, user-requested devices, and framework assigned devices, if any:"
    )
    for op in members:
        kept = groups.kept.get(op)
        assigned = f" framework assigned device={kept.name}" if kept is not None else ""
        lines.append(f"  {op.name} ({op.type}) {op.device}{assigned}")
    return "\n".join([*lines, ""])


def registered_kernels(op_type: str) -> str:
    """One line for each kernel of an op type."""
    lines = [
        f"  device='{device_type}'{_constraints(kernel)}\n"
        for kernel in kernels.get(op_type) or ()
        for device_type in ([kernel.device] if kernel.device is not None else _COMMON_TYPES)
    ]
    return "".join(lines) or "  <no registered kernels>\n"


def _constraints(kernel: Kernel) -> str:
    def number(dtype: DType) -> int:
        return dtype.as_datatype_enum

    return "".join(
        f"; {attr} in {attr_text(sorted(allowed, key=number))}"
        for attr, allowed in sorted(kernel.types.items())
    )


def _attrs(op: Operation) -> str:
    return ", ".join(f"{name}={attr_text(op.attrs[name])}" for name in sorted(op.attrs))
