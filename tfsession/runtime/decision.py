"""Decisions: what put an operation where it is, found in a finished placement when asked for.

Placing itself notes only who follows whom; all else can be read from the groups it has formed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from tfsession.core.device_spec import parse_device_name
from tfsession.core.rules import find_kernel
from tfsession.devices.device import Device
from tfsession.graph.operation import Operation
from tfsession.runtime import placement_errors
from tfsession.runtime.colocation import Group, Groups
from tfsession.runtime.device_support import OpKind


class Reason(Enum):
    """What decided where an operation runs."""

    REQUESTED = "requested"
    COLOCATED = "colocated with"
    ONLY_KERNEL = "only kernel"
    HOST_DTYPE = "host dtype"
    PREFERRED = "preferred device"
    FOLLOWS_INPUT = "follows input"
    FOLLOWS_CONSUMER = "follows consumer"
    SOFT_FALLBACK = "soft fallback"
    KEPT = "placed before"


class Decision(NamedTuple):
    """Why an operation is where it is; `other` is the operation that it follows, if it is known."""

    reason: Reason
    other: Operation | None = None


@dataclass(slots=True)
class Round:
    """One placement: the operations with their kinds and groups, and where they went.

    `members` is the set of the operations where they are a part of the graph; None where all are
    there. `readers` read references or resources, `labelled` have a `_class`, `passing` are
    identities that may go where their input is. `softened` may not be where they ask to be;
    `followers` went to their input's device, which is named, or to their consumers'.
    """

    ops: Sequence[Operation]
    groups: Groups
    members: set[Operation] | None = None
    kinds: list[OpKind] = field(default_factory=list)
    readers: list[tuple[Operation, OpKind]] = field(default_factory=list)
    labelled: list[Operation] = field(default_factory=list)
    passing: set[Operation] = field(default_factory=set)
    softened: list[Operation] = field(default_factory=list)
    followers: dict[Operation, Operation | None] = field(default_factory=dict)
    placement: dict[Operation, Device] = field(default_factory=dict)
    _by_group: dict[Group, list[Operation]] | None = None
    _leaders: dict[Group, Operation | None] = field(default_factory=dict)

    def pairs(self) -> Iterator[tuple[Operation, OpKind]]:
        """Each operation with its kind."""
        return zip(self.ops, self.kinds, strict=True)

    def has(self, op: Operation) -> bool:
        """Whether `op` takes part."""
        return self.members is None or op in self.members

    def is_deferred(self, op: Operation, kind: OpKind) -> bool:
        """Whether `op` is placed after its consumers."""
        return kind.is_generator and op not in self.groups.kept

    def note_follower(self, op: Operation, source: Operation | None) -> None:
        """Remember whom `op` followed, unless it asked for something, or others did for it."""
        if not op._device and self.groups.find(op) is None:
            self.followers[op] = source

    def decision(self, op: Operation) -> Decision:
        """Why `op` went where it is."""
        if op in self.followers:
            source = self.followers[op]
            reason = Reason.FOLLOWS_CONSUMER if source is None else Reason.FOLLOWS_INPUT
            return Decision(reason, source)
        if op in self.groups.kept:
            return Decision(Reason.KEPT)
        kinds = self.groups.kinds
        supported, group = kinds.kind(op).supported, self.groups.find(op)
        if (group is None or group.softened) and self._is_elsewhere(op):
            return Decision(Reason.SOFT_FALLBACK)
        if group is not None:
            leader = self._leader(group)
            if leader is not None and leader is not op and not self._speaks_for_itself(op):
                asked = asks_for_device(leader) or leader in self.groups.kept
                if asked or supported != group.supported or len(supported) == len(kinds.types):
                    return Decision(Reason.COLOCATED, leader)
            if len(group.supported) < len(supported):
                return Decision(Reason.HOST_DTYPE)  # it reads variants that may hold host data
        if asks_for_device(op):
            return Decision(Reason.REQUESTED)
        if len(supported) == len(kinds.types):
            return Decision(Reason.PREFERRED)
        is_host = _is_for_the_host(op, kinds.types)
        return Decision(Reason.HOST_DTYPE if is_host else Reason.ONLY_KERNEL)

    def _speaks_for_itself(self, op: Operation) -> bool:
        """Whether `op` asks for just the device where it is, and not because of a colocation."""
        return asks_for_device(op) == 2 and not _is_tied(op) and not self._is_elsewhere(op)

    def _is_elsewhere(self, op: Operation) -> bool:
        """Whether `op` is on another device than it asks for."""
        own = parse_device_name(op._device) if op._device else None
        device = self.placement.get(op)
        if own is None or device is None:
            return False
        return not own.matches(placement_errors.full_name_of(device))

    def _leader(self, group: Group) -> Operation | None:
        """The operation that brought a group where it is.

        That is one kept there, else the first that asks for the device, on its own account if one
        does, else one for whose lack of kernels it is there, else one that holds what others use,
        else the one that was placed first.
        """
        if group in self._leaders:
            return self._leaders[group]
        members, kinds = self.group_of(group), self.groups.kinds
        kept = [op for op in members if op in self.groups.kept]
        asking = [op for op in members if asks_for_device(op) and not self._is_elsewhere(op)]
        lacking: list[Operation] = []
        if len(group.supported) < len(kinds.types):
            lacking = [op for op in members if kinds.kind(op).supported == group.supported]
        asking.sort(key=lambda op: (-asks_for_device(op), _is_tied(op)))
        holding = [op for op in members if kinds.kind(op).holds_handle]
        leader = next(iter([*kept, *asking, *lacking, *holding]), group.decider)
        self._leaders[group] = leader
        return leader

    def group_of(self, group: Group) -> list[Operation]:
        """The operations of a group; all groups are looked through once."""
        if self._by_group is None:
            self._by_group = self.groups.by_group()
        return self._by_group[group]


def asks_for_device(op: Operation) -> int:
    """How much of a device `op` asks for: type and number, one of them, or none: 2, 1 or 0.

    A job or a task alone leaves the choice.
    """
    name = parse_device_name(op._device) if op._device else None
    return 0 if name is None else (name.device_type is not None) + (name.device_index is not None)


def _is_tied(op: Operation) -> bool:
    """Whether `op` names others with which it must be colocated."""
    own = f"loc:@{op.name}".encode()
    groups = op.attrs.get("_class")
    return isinstance(groups, list | tuple) and any(group != own for group in groups)


def _is_for_the_host(op: Operation, types: Sequence[str]) -> bool:
    """Whether kernels would do everywhere, were it not for data that only the host can hold."""
    return all(find_kernel(op.type, device_type, op.attrs) is not None for device_type in types)
