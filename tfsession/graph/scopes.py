"""The scopes of a graph: what the enclosing `with` blocks say about the operations made inside."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tfsession.core.device_spec import DeviceFields, as_requested, fields_of, merge

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph
    from tfsession.graph.operation import Operation

_VALID_SCOPE = re.compile(r"^[A-Za-z0-9_.\\/>-]*$")
_VALID_TOP_SCOPE = re.compile(r"^[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*$")

DeviceFunction = Callable[[Any], Any]
DeviceStack = tuple[DeviceFields | DeviceFunction | None, ...]
_NOTHING = fields_of("")


class Scopes(threading.local):
    """The scope state of one graph in one thread."""

    def __init__(self) -> None:
        self.name_prefix = ""
        # Innermost last; fields are merged, a callable decides for each op, None stops.
        self.devices: DeviceStack = ()
        self.static_device: str | None = ""  # the merged text when no callable is in the way
        self.controls: tuple[ControlDependencies, ...] = ()
        self.colocations: tuple[Operation, ...] = ()
        self.container = ""
        self.attrs: dict[str, Any] = {}
        self.gradient_overrides: dict[str, str] = {}
        self.control_flow_context: Any = None
        # Functions that make variables, the innermost scope's last.
        self.variable_creators: tuple[Callable[..., Any], ...] = ()

    def check_scope_name(self, name: str) -> None:
        """Raise ValueError unless `name` may be opened as a scope inside the current one."""
        kind, valid = "scope", _VALID_SCOPE
        if not self.name_prefix:
            kind, valid = "root scope", _VALID_TOP_SCOPE
        if not valid.match(name):
            raise ValueError(
                f"'{name}' is not a valid {kind} name. A {kind} name has to match the following "
                f"pattern: {valid.pattern}"
            )


class ControlDependencies:
    """One `control_dependencies` block, and the operations made inside it."""

    __slots__ = ("inputs", "previous", "seen")

    def __init__(
        self, inputs: tuple[Operation, ...], previous: tuple[ControlDependencies, ...]
    ) -> None:
        self.inputs = inputs
        self.previous = previous
        self.seen: set[Operation] = set()


def implied_controls(scopes: Scopes, sources: Collection[Operation]) -> list[Operation]:
    """What the blocks let an operation wait for that reads from `sources`.

    A block asks for nothing where a source was made in it: that one waits already.
    """
    controls: dict[Operation, None] = {}
    for block in scopes.controls:
        if block.seen.isdisjoint(sources):
            controls.update((c, None) for c in block.inputs if c not in sources)
    return list(controls)


def merge_device_stack(devices: DeviceStack, op: Any, device: str = "") -> str:
    """The device of an op: entries apply from innermost to outermost, what is set stays.

    `device` is what the op has before.
    """
    for entry in reversed(devices):
        if entry is None:
            break
        if isinstance(entry, tuple):
            if entry != _NOTHING:
                device = merge(entry, device)
        else:
            op._device = device
            device = as_requested(entry(op))
    return device


def static_device_of(devices: DeviceStack) -> str | None:
    """The merged device when no callable takes part, else None."""
    for entry in reversed(devices):
        if entry is None:
            break
        if not isinstance(entry, tuple):
            return None
    return merge_device_stack(devices, None)


@contextmanager
def device_scope(scopes: Scopes, device: Any) -> Iterator[None]:
    """Enter a device scope.

    Raises:
        ValueError: a text is not a device.
        RuntimeError: on leaving, when a scope that was entered inside was not left.
    """
    if device is not None and not callable(device):
        device = fields_of(device)
    previous = scopes.devices, scopes.static_device
    mine = scopes.devices = (*scopes.devices, device)
    scopes.static_device = static_device_of(mine)
    try:
        yield
    finally:
        if scopes.devices is not mine:
            raise RuntimeError("Exiting device scope without proper scope nesting.")
        scopes.devices, scopes.static_device = previous


@contextmanager
def colocation_scope(
    graph: Graph, scopes: Scopes, op: Operation | None, ignore_existing: bool
) -> Iterator[None]:
    """Enter a colocation scope, inside which device scopes have no effect."""
    if op is None and not ignore_existing:
        raise ValueError("Trying to reset colocation (op is None) but ignore_existing is not True")
    previous = scopes.colocations, scopes.devices, scopes.static_device
    kept = () if ignore_existing else scopes.colocations
    scopes.colocations = kept if op is None else (*kept, op)
    scopes.devices, scopes.static_device = (), ""
    try:
        yield
    finally:
        scopes.colocations, scopes.devices, scopes.static_device = previous


@contextmanager
def control_scope(
    scopes: Scopes, inputs: tuple[Operation, ...] | None
) -> Iterator[ControlDependencies]:
    """Enter a control-dependency scope; None clears those around it, and the context."""
    previous, context = scopes.controls, scopes.control_flow_context
    block = ControlDependencies(inputs or (), previous)
    if inputs is None:
        scopes.controls = ()
        scopes.control_flow_context = None
    else:
        scopes.controls = (*previous, block)
    try:
        yield block
    finally:
        scopes.controls, scopes.control_flow_context = previous, context


@contextmanager
def name_prefix_scope(graph: Graph, scopes: Scopes, name: str | None) -> Iterator[str]:
    """Enter a name scope; yields the prefix with its slash, or an empty string at the top."""
    previous = scopes.name_prefix
    if name:
        scopes.check_scope_name(name)
        prefix = name if name.endswith("/") else graph.unique_name(name) + "/"
    else:
        prefix = ""
    scopes.name_prefix = prefix
    try:
        yield prefix
    finally:
        scopes.name_prefix = previous
