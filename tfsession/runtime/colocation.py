"""Colocation: the groups of operations that must share a device, and what each group asks for.

Groups grow along references and resources, and by `_class` attributes. Only operations that ask
for a device or share one are in a group; all others go where their kind prefers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from tfsession.core.device_spec import DeviceName, parse_device_name
from tfsession.devices.device import Device
from tfsession.graph.operation import Operation
from tfsession.runtime import placement_errors
from tfsession.runtime.device_support import KindTable, OpKind

logger = logging.getLogger("tfsession")

ANYWHERE = DeviceName()
_PREFIX = b"loc:@"
_PLURALS = ("jobs", "replicas", "tasks", "types", "ids")


@lru_cache(maxsize=4096)
def merged(name: DeviceName, other: DeviceName, soft: bool = False) -> DeviceName:
    """What both names ask for together; ValueError where they contradict each other.

    `soft` gives up a type or an index that they do not agree on; never job, replica or task.
    """
    if name == other:
        return name
    parts: dict[str, Any] = dict(zip(DeviceName._fields, name, strict=True))
    for part, its, plural in zip(DeviceName._fields, other, _PLURALS, strict=True):
        mine = parts[part]
        if its is None or mine == its:
            continue
        if mine is None:
            parts[part] = its
        elif soft and plural == "types":
            parts["device_type"] = parts["device_index"] = None
            break
        elif soft and plural == "ids":
            parts["device_index"] = None
        else:
            raise ValueError(
                f"Cannot merge devices with incompatible {plural}: '{_text(parts)}' and "
                f"'{other.to_string()}'"
            )
    return DeviceName(**parts)


def _text(parts: dict[str, Any]) -> str:
    """The name as far as it was merged when a conflict showed."""
    return DeviceName(**parts).to_string()


@lru_cache(maxsize=4096)
def overlay(name: DeviceName, over: DeviceName) -> DeviceName:
    """`name` with every part that `over` has put in its place."""
    if over is ANYWHERE:
        return name
    return DeviceName(
        *(mine if its is None else its for mine, its in zip(name, over, strict=True))  # type: ignore[arg-type]
    )


@lru_cache(maxsize=4096)
def agree(name: DeviceName, other: DeviceName) -> bool:
    """Whether a device could have both names."""
    return all(
        mine is None or its is None or mine == its for mine, its in zip(name, other, strict=True)
    )


class Group:
    """Operations that must share a device.

    `requested` is all that they ask for; the part of it in `resource` comes from operations that
    hold state, the part in `assigned` from those placed before. `device` is the one chosen, once
    it is; `decider` is the operation whose request decided, or which was placed first.
    """

    __slots__ = (
        "assigned",
        "decider",
        "device",
        "parent",
        "rank",
        "requested",
        "resource",
        "softened",
        "supported",
    )

    def __init__(self, supported: frozenset[str]) -> None:
        self.parent: Group | None = None
        self.rank = 0
        self.supported = supported
        self.assigned = self.resource = self.requested = ANYWHERE
        self.device: Device | None = None
        self.decider: Operation | None = None
        self.softened = False

    def copy(self) -> Group:
        """A new group that asks for the same."""
        group = Group(self.supported)
        group.requested, group.resource = self.requested, self.resource
        return group

    def root(self) -> Group:
        """The group that this one has become part of."""
        group = self
        while group.parent is not None:
            if group.parent.parent is not None:
                group.parent = group.parent.parent
            group = group.parent
        return group

    def relaxed(self, *, keep_resources: bool) -> DeviceName:
        """What is asked for without the type and index that soft placement may change."""
        fixed = overlay(self.assigned, self.resource) if keep_resources else self.assigned
        requested = self.requested
        if fixed.device_type is None:
            requested = requested._replace(device_type=None)
        if fixed.device_index is None:
            requested = requested._replace(device_index=None)
        return requested


class _Conflict(Exception):
    """Two operations cannot share a device: what their groups ask for contradicts.

    `explain` tells more of it, which takes time, and often nobody asks.
    """

    def __init__(self, text: str, explain: Callable[[], str]) -> None:
        super().__init__(text)
        self.explain = explain


class Groups:
    """The groups of one placement."""

    def __init__(self, kinds: KindTable, *, soft: bool, log: bool) -> None:
        self.kinds = kinds
        self.kept: dict[Operation, Device] = {}
        self.bound: dict[Operation, Group] = {}  # or a group that has become part of another
        self._soft = soft
        self._log = log

    def find(self, op: Operation) -> Group | None:
        """The group of `op`, or None when nothing binds it."""
        group = self.bound.get(op)
        return None if group is None else group.root()

    def members(self, group: Group) -> list[Operation]:
        """The operations of a group in order of creation."""
        found = [op for op, its in self.bound.items() if its.root() is group]
        return sorted(found, key=attrgetter("_id"))

    def by_group(self) -> dict[Group, list[Operation]]:
        """The operations of each group in order of creation."""
        found: dict[Group, list[Operation]] = {}
        for op in sorted(self.bound, key=attrgetter("_id")):
            found.setdefault(self.bound[op].root(), []).append(op)
        return found

    def group(self, op: Operation) -> Group:
        """The group of `op`; one with what it asks for itself when nothing has bound it yet."""
        group = self.bound.get(op)
        if group is not None:
            return group.root()
        group = self.bound[op] = self._alone(op).copy()
        if group.requested != ANYWHERE:
            group.decider = op
        return group

    def _alone(self, op: Operation) -> Group:
        """What `op` asks for itself, to be read only: others of its kind share it."""
        kind = self.kinds.kind(op)
        group = kind.alone.get(op._device)
        if group is None:
            group = kind.alone[op._device] = Group(kind.supported)
            name = parse_device_name(op._device)
            if name is not None and name != ANYWHERE:
                group.requested = name
            if kind.holds_handle:
                group.resource = group.requested
        return group

    def keep(self, op: Operation, kind: OpKind, device: Device) -> None:
        """Hold `op` to the device where it was placed before."""
        group = self.bound[op] = Group(kind.supported)
        name = placement_errors.full_name_of(device)
        group.assigned = group.requested = name
        group.decider = op
        self.kept[op] = device

    def connect(self, source: Operation, reader: Operation) -> None:
        """Put the reader of a reference or resource where its source is.

        What the reader asked for gives way, silently, except to another resource's device.
        """
        if self._enter(source, reader):
            return
        there, here = self.group(source), self.group(reader)
        if not agree(there.assigned, here.assigned):
            raise placement_errors.handle_conflict("assigned", source, reader, self)
        if not agree(there.resource, here.resource):
            raise placement_errors.handle_conflict("resource", source, reader, self)
        if not agree(there.requested, here.requested):
            if self._log:
                logger.info(
                    "Ignoring device specification %s for node '%s' because the input edge from "
                    "'%s' is a reference connection and already has a device field set to %s",
                    here.requested.to_string(),
                    reader.name,
                    source.name,
                    there.requested.to_string(),
                )
            here.requested = overlay(overlay(there.requested, here.resource), here.assigned)
            here.decider = there.decider
        try:
            self._unite(source, reader)
        except _Conflict as conflict:
            raise placement_errors.about(
                reader,
                "Nodes were connected by a reference or resource connection (requiring them to be "
                "on the same device), but the two nodes were assigned two different devices: "
                f"{conflict}{conflict.explain()}",
            ) from None

    def colocate(self, ops: Sequence[Operation], labelled: Sequence[Operation]) -> None:
        """Form the groups that `_class` attributes name; an operation's name is a group, too."""
        labels = {op: _labels(op) for op in labelled}
        named = {name for names in labels.values() for name in names}
        concerned = {op for op in ops if op.name in named}
        concerned.update(labels)
        first: dict[str, Operation] = {}
        for op in sorted(concerned, key=attrgetter("_id")):
            for name in labels.get(op, ()):
                self._join(op, first.setdefault(name, op))
            if op.name in named:
                self._join(op, first.setdefault(op.name, op))

    def _join(self, op: Operation, other: Operation) -> None:
        if op is other or self._enter(op, other):
            return
        try:
            self._unite(op, other)
        except _Conflict as conflict:
            if not self._soft:
                raise placement_errors.about(op, f"{conflict}{conflict.explain()}") from None
            if self._log:
                logger.info(
                    "Ignoring request to colocate node '%s' with nodes in colocation group '%s' "
                    "because soft placement is on and an attempt at doing so resulted in the "
                    "following error: %s",
                    op.name,
                    other.name,
                    conflict,
                )

    def _enter(self, x: Operation, y: Operation) -> bool:
        """Whether two operations are in one group now, as one had none, and asks for no more.

        So it is with most that are tied, and it spares them a group of their own.
        """
        root, other = self.find(x), self.find(y)
        if root is not None and other is not None:
            return root is other
        if root is None and other is None:
            # The group is that of the one who asks for something.
            root = self.group(x if self._alone(x).requested is not ANYWHERE else y)
            other = self.find(y)
        if other is None:
            x = y
        else:
            root = other
        assert root is not None
        alone = self._alone(x)
        if alone.requested is not ANYWHERE and (
            alone.requested is not root.requested
            or (alone.resource is not ANYWHERE and alone.resource is not root.resource)
        ):
            return False
        if alone.supported is not root.supported and not root.supported <= alone.supported:
            return False
        self.bound[x] = root
        root.rank = root.rank or 1
        if root.decider is not None and x._id < root.decider._id and x._device:
            root.decider = x
        return True

    def _unite(self, x: Operation, y: Operation) -> None:
        """Make one group of two; _Conflict, and nothing changed, when they contradict."""
        root, other = self.group(x), self.group(y)
        if root is other:
            return
        if root.rank < other.rank:
            root, other = other, root
        try:
            assigned = merged(root.assigned, other.assigned)
            resource = merged(root.resource, other.resource)
            requested = merged(root.requested, other.requested, self._soft)
            if self._soft:  # what it gave up is still asked for by resources and earlier steps
                requested = overlay(overlay(requested, resource), assigned)
        except ValueError as conflict:
            raise _Conflict(
                f"Cannot colocate nodes {_pair(x, y)}: {conflict}",
                lambda: placement_errors.in_conflict(root, other, self, (x, y)),
            ) from None
        supported = root.supported & other.supported
        if not supported:
            raise _Conflict(
                f"Cannot colocate nodes {_pair(x, y)} because no device type supports both of "
                "those nodes and the other nodes colocated with them.",
                lambda: "".join(placement_errors.debug_info(each, self) for each in (root, other)),
            )
        if self._soft:
            root.softened |= other.softened or not agree(root.requested, other.requested)
        root.assigned, root.resource, root.requested = assigned, resource, requested
        root.supported = supported
        root.decider = _earlier(root.decider, other.decider)
        root.rank += root.rank == other.rank
        other.parent = root

    def limit_to_host(self, op: Operation) -> None:
        """Keep `op` on the CPU: what it reads can lie nowhere else."""
        group = self.group(op)
        if "CPU" in group.supported:
            group.supported = frozenset({"CPU"})


def _earlier(x: Operation | None, y: Operation | None) -> Operation | None:
    if x is None or y is None:
        return x or y
    return x if x._id < y._id else y


def _pair(x: Operation, y: Operation) -> str:
    return f"{{{{colocation_node {x.name}}}}} and {{{{colocation_node {y.name}}}}}"


def _labels(op: Operation) -> list[str]:
    groups = op.attrs["_class"]
    if not isinstance(groups, list | tuple):
        logger.error(
            "The value for colocation attribute '_class' must be a list of strings, not a single "
            "string: %s",
            op.name,
        )
        return []
    return [name for group in groups if (name := _label(group)) is not None]


@lru_cache(maxsize=4096)
def _label(group: bytes | str) -> str | None:
    """The name in an entry of `_class`; None when it speaks of something else."""
    text = group.encode() if isinstance(group, str) else group
    return (
        text[len(_PREFIX) :].decode(errors="backslashreplace") if text.startswith(_PREFIX) else None
    )
