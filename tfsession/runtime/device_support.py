"""Which device types can run an operation: those with a kernel for it that takes its dtypes.

Operations of one type with the same type attributes share one `OpKind`, so that placing a node
costs one look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tfsession.core.dtypes import ALL_DTYPES, DType, resource, string, variant
from tfsession.core.op_def import ArgDef, OpDef
from tfsession.core.rules import Kernel, find_kernel
from tfsession.devices.device import Device
from tfsession.graph.operation import Operation
from tfsession.runtime import placement_errors
from tfsession.runtime.partition import input_arguments

if TYPE_CHECKING:
    from tfsession.runtime.colocation import Group

# Dtypes of which a device of the type can hold no array. CuPy knows NumPy's numbers and bfloat16:
# no text, no float8, nothing below 8 bits, no quantized types.
_SMALL_OR_NEW = ("float8", "float4", "int4", "uint4", "int2", "uint2")
ABSENT_DTYPES: dict[str, frozenset[DType]] = {
    "GPU": frozenset(
        dtype
        for dtype in ALL_DTYPES
        if dtype is string or dtype.is_quantized or dtype.name.startswith(_SMALL_OR_NEW)
    )
}

# Where an operation goes that nobody asked to go anywhere: to the type with the greatest number.
_TYPE_PRIORITY = {"GPU": 210, "CPU": 70}

# What these put out depends on the shape of their input alone, so they run where it lies.
_METADATA_OPS = frozenset({"Shape", "Size", "Rank"})

# These hand references and resources on to functions, whose operations are placed one by one.
_HANDLES_GO_THROUGH = frozenset(
    {
        "Case",
        "ExperimentalScanDataset",
        "If",
        "PartitionedCall",
        "ReduceDataset",
        "ScanDataset",
        "StatefulPartitionedCall",
        "StatelessCase",
        "StatelessIf",
        "StatelessWhile",
        "While",
    }
)


def _preference(device: Device) -> tuple[int, str]:
    # Names are compared as text, as TensorFlow does: CPU:10 comes before CPU:2.
    return -_TYPE_PRIORITY.get(device.device_type, 0), device.name


class OpKind:
    """What placing must know of all operations that share an op type and its type attributes.

    `supported` holds the session's device types that can run them, `devices` the devices of these
    types, the preferred one first; `candidates` holds those that fit a request, once it was met, or
    `softened` those that must do where none fits; `alone` is what an operation asks for by itself;
    `handle_inputs` says which inputs are references or resources, `holds_handle` that the operation
    makes one from nothing.
    """

    __slots__ = (
        "alone",
        "candidates",
        "devices",
        "handle_inputs",
        "holds_handle",
        "is_generator",
        "is_identity",
        "is_metadata",
        "is_stateful",
        "reads_variants",
        "softened",
        "supported",
    )

    def __init__(
        self, op: Operation, supported: frozenset[str], devices: tuple[Device, ...]
    ) -> None:
        self.supported = supported
        self.devices = devices
        self.alone: dict[str, Group] = {}
        self.candidates: dict[str, tuple[Device, ...]] = {"": devices}
        self.softened: dict[str, tuple[Device, ...]] = {}
        self.handle_inputs: tuple[int, ...] = ()
        if op.inputs and op.type not in _HANDLES_GO_THROUGH:
            self.handle_inputs = tuple(
                index
                for index, (tensor, arg) in enumerate(
                    zip(op.inputs, input_arguments(op), strict=True)
                )
                if arg.is_ref or tensor.dtype.base_dtype is resource
            )
        single = op.outputs[0].dtype if not op.inputs and len(op.outputs) == 1 else None
        self.holds_handle = single is not None and (single.is_ref or single is resource)
        self.is_generator = single is not None and not single.is_ref
        self.is_identity = op.type == "Identity"
        self.is_metadata = op.type in _METADATA_OPS
        self.is_stateful = op.op_def.is_stateful
        self.reads_variants = any(tensor.dtype is variant for tensor in op.inputs)


class KindTable:
    """The kinds of the operations of a session's graph, found once each."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self.devices = tuple(sorted(devices, key=_preference))
        self.types = tuple(sorted({device.device_type for device in self.devices}))
        # One set for each choice of types, so that `is` tells whether two are the same.
        self._supported: dict[frozenset[str], frozenset[str]] = {}
        self._tables: dict[str, tuple[Callable[[dict[str, Any]], Any], dict[Any, OpKind]]] = {}

    def kind(self, op: Operation) -> OpKind:
        """The kind of `op`; InvalidArgumentError when no device of the session can run it."""
        table = self._tables.get(op.type)
        if table is None:
            table = self._tables[op.type] = (_key_function(op.op_def), {})
        key_of, kinds = table
        key = key_of(op.attrs)
        found = kinds.get(key)
        if found is None:
            supported = frozenset(t for t in self.types if has_kernel(op, t))
            if not supported:
                raise placement_errors.no_kernel(op, self.types)
            supported = self._supported.setdefault(supported, supported)
            found = kinds[key] = OpKind(op, supported, self.devices_of(supported))
        return found

    def devices_of(self, supported: frozenset[str]) -> tuple[Device, ...]:
        """The session's devices of these types, the preferred one first."""
        return tuple(device for device in self.devices if device.device_type in supported)


def _key_function(op_def: OpDef) -> Callable[[dict[str, Any]], Any]:
    """A function of the attributes, equal for operations that no rule of placement tells apart."""
    names = [name for name, attr in op_def.attrs.items() if attr.type in ("type", "list(type)")]
    has_lists = any(op_def.attrs[name].type == "list(type)" for name in names)
    for arg in (*op_def.inputs, *op_def.outputs):
        if arg.number_attr is not None and arg.number_attr not in names:
            names.append(arg.number_attr)
    if not names:
        return _no_key
    if not has_lists:
        return itemgetter(*names)
    return lambda attrs: tuple(
        tuple(value) if isinstance(value, list) else value for value in map(attrs.get, names)
    )


def _no_key(attrs: dict[str, Any]) -> None:
    return None


def has_kernel(op: Operation, device_type: str) -> bool:
    """Whether a device of the type can run `op`: it has the kernel, and arrays of the dtypes."""
    op_def = op.op_def
    if op_def.graph_only:
        return True
    kernel = find_kernel(op.type, device_type, op.attrs)
    if kernel is None:
        return False
    return ABSENT_DTYPES.get(device_type) is None or not absent_dtypes(op, device_type, kernel)


def absent_dtypes(op: Operation, device_type: str, kernel: Kernel) -> frozenset[DType]:
    """The dtypes that `op` needs in the memory of a device of the type, which cannot hold them."""
    op_def = op.op_def
    on_device = [arg for arg in op_def.inputs if arg.name not in kernel.host]
    on_device += [arg for arg in op_def.outputs if arg.name not in kernel.host_outputs]
    dtypes = {dtype for arg in on_device for dtype in _dtypes_of(arg, op.attrs)}
    # A type attribute of no argument tells what lies behind a handle.
    used = {arg.type_attr or arg.type_list_attr for arg in (*op_def.inputs, *op_def.outputs)}
    for name, attr in op_def.attrs.items():
        if attr.type == "type" and name not in used:
            dtypes.add(op.attrs[name])
    return ABSENT_DTYPES.get(device_type, frozenset()) & dtypes


def _dtypes_of(arg: ArgDef, attrs: dict[str, Any]) -> Sequence[DType]:
    if arg.type_list_attr is not None:
        return attrs[arg.type_list_attr]  # type: ignore[no-any-return]
    if arg.type_attr is not None:
        return (attrs[arg.type_attr],)
    assert arg.type is not None
    return (arg.type,)
