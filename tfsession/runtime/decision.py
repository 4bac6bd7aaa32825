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


FOLLOWS_CONSUMER = Decision(Reason.FOLLOWS_CONSUMER)


@dataclass(slots=True)
class Round:
    """One placement: the operations with their kinds and groups, and where they went.

    `members` is the set of the operations where they are a part of the graph; None where all are
    there. `followers` holds the decisions that no group tells.
    """

    ops: Sequence[Operation]
    groups: Groups
    members: set[Operation] | None = None
    kinds: list[OpKind] = field(default_factory=list)
    followers: dict[Operation, Decision] = field(default_factory=dict)
    placement: dict[Operation, Device] = field(default_factory=dict)
    _by_group: dict[Group, list[Operation]] | None = None

    def pairs(self) -> Iterator[tuple[Operation, OpKind]]:
        """Each operation with its kind."""
        return zip(self.ops, self.kinds, strict=True)

    def has(self, op: Operation) -> bool:
        """Whether `op` takes part."""
        return self.members is None or op in self.members

    def is_deferred(self, op: Operation, kind: OpKind) -> bool:
        """Whether `op` is placed after its consumers."""
        return kind.is_generator and op not in self.groups.kept

    def decision(self, op: Operation) -> Decision:
        """Why `op` went where it is."""
        found = self.followers.get(op)
        if found is not None:
            return found
        if op in self.groups.kept:
            return Decision(Reason.KEPT)
        group = self.groups.find(op)
        if group is not None and self.has_fallen(op, group):
            return Decision(Reason.SOFT_FALLBACK)
        if group is not None and (leader := self._leader(op, group)) is not None:
            return Decision(Reason.COLOCATED, leader)
        if asks_for_device(op):
            return Decision(Reason.REQUESTED)
        types, supported = self.groups.kinds.types, self.groups.kinds.kind(op).supported
        if len(supported) == len(types):
            # A group may be held to the host by variants that it reads.
            limited = group is not None and len(group.supported) < len(types)
            return Decision(Reason.HOST_DTYPE if limited else Reason.PREFERRED)
        return Decision(Reason.HOST_DTYPE if _is_for_the_host(op, types) else Reason.ONLY_KERNEL)

    def has_fallen(self, op: Operation, group: Group) -> bool:
        """Whether soft placement has put `op` elsewhere than it asks for."""
        own = parse_device_name(op._device) if group.softened and op._device else None
        device = self.placement.get(op)
        if own is None or device is None:
            return False
        return not own.matches(placement_errors.full_name_of(device))

    def _leader(self, op: Operation, group: Group) -> Operation | None:
        """The operation that brought the group of `op` where it is; None for `op` itself."""
        decider = group.decider
        if decider is not None and asks_for_device(decider):
            return None if decider is op else decider
        # Nobody asks: one that has fewer kernels than the others decides, else who came first.
        kinds = self.groups.kinds
        if len(group.supported) < len(kinds.types):
            if group.supported == kinds.kind(op).supported:
                return None
            for member in self.group_of(group):
                if kinds.kind(member).supported == group.supported:
                    return member
        return None if decider is op else decider

    def group_of(self, group: Group) -> list[Operation]:
        """The operations of a group; all groups are looked through once."""
        if self._by_group is None:
            self._by_group = self.groups.by_group()
        return self._by_group[group]


def asks_for_device(op: Operation) -> bool:
    """Whether `op` asks for a type or a number: a job or a task alone leaves the choice."""
    name = parse_device_name(op._device) if op._device else None
    return name is not None and (name.device_type is not None or name.device_index is not None)


def _is_for_the_host(op: Operation, types: Sequence[str]) -> bool:
    """Whether kernels would do everywhere, were it not for data that only the host can hold."""
    return all(find_kernel(op.type, device_type, op.attrs) is not None for device_type in types)
