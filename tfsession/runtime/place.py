"""Placing: the device of each operation, and what decided it, by TensorFlow's rules.

A device that an operation asks for, the groups that must stay together, and the types of device
that have a kernel leave some candidates; of these the preferred one is taken, unless an operation
had better follow its input or its consumers.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from tfsession.core.device_spec import DeviceName, parse_device_name
from tfsession.devices.device import Device
from tfsession.graph.operation import Operation
from tfsession.runtime import placement_errors
from tfsession.runtime.colocation import ANYWHERE, Group, Groups
from tfsession.runtime.device_support import KindTable, OpKind

logger = logging.getLogger("tfsession")


class Reason(Enum):
    """What decided where an operation runs."""

    REQUESTED = "requested"
    COLOCATED = "colocated with"
    ONLY_KERNEL = "only kernel"
    PREFERRED = "preferred device"
    FOLLOWS_INPUT = "follows input"
    FOLLOWS_CONSUMER = "follows consumer"
    SOFT_FALLBACK = "soft fallback"
    KEPT = "placed before"


class Decision(NamedTuple):
    """Why an operation is where it is; `other` is the operation that it follows, if it does."""

    reason: Reason
    other: Operation | None = None


_FOLLOWS_CONSUMER = Decision(Reason.FOLLOWS_CONSUMER)


class Placer:
    """Places the operations of a session's graph on its devices.

    `allow_soft_placement` lets an operation run elsewhere than on the device type and index it asks
    for when they do not exist or have no kernel; `log_device_placement` writes a line for each.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        allow_soft_placement: bool,
        log_device_placement: bool,
    ) -> None:
        self._kinds = KindTable(devices)
        self._soft = allow_soft_placement
        self._log = log_device_placement
        self._groups = Groups(self._kinds, soft=allow_soft_placement, log=log_device_placement)
        self._followers: dict[Operation, Decision] = {}
        self._well_formed: set[str] = set()
        self._candidates: dict[tuple[DeviceName, frozenset[str]], tuple[Device, ...]] = {}
        self._candidates_alone: dict[tuple[str, OpKind], tuple[Device, ...]] = {}
        self._fallen: set[str] = set()
        self._client = next((d for d in self._kinds.devices if d.device_type == "CPU"), None)
        if log_device_placement:
            _log_device_mapping(devices)

    def place(
        self, ops: Sequence[Operation], previous: Mapping[Operation, Device]
    ) -> dict[Operation, Device]:
        """The device of each of `ops`, which are in order of creation.

        Args:
            ops: the operations of a graph, or those of one step.
            previous: an earlier placement; operations that hold state keep the devices they have
                there.

        Raises:
            InvalidArgumentError: an operation has no kernel, or its constraints leave no device.
        """
        groups = Groups(self._kinds, soft=self._soft, log=self._log)
        kinds, free = self._survey(ops, previous, groups)
        common = {kind.devices[0] for kind in set(kinds)}
        followers: dict[Operation, Decision] = {}
        if free and len(common) == 1:
            # Nothing is asked for, and all kinds prefer one device: so do all groups of them.
            placement = dict.fromkeys(ops, common.pop())
        else:
            _bind(ops, kinds, groups)
            placement = self._assign(ops, kinds, groups, followers)
        self._groups, self._followers = groups, followers
        if self._log:
            _log_placement(ops, kinds, groups, placement)
        return placement

    def decision(self, op: Operation) -> Decision:
        """Why the latest placement put `op` where it is."""
        found = self._followers.get(op)
        if found is not None:
            return found
        group = self._groups.find(op)
        if op in self._groups.kept:
            return Decision(Reason.KEPT)
        if op._device and op.name in self._fallen:
            return Decision(Reason.SOFT_FALLBACK)
        if group is not None and group.decider is not op and group.decider is not None:
            return Decision(Reason.COLOCATED, group.decider)
        if op._device:
            return Decision(Reason.REQUESTED)
        alone = len(self._kinds.kind(op).supported) < len(self._kinds.types)
        return Decision(Reason.ONLY_KERNEL if alone else Reason.PREFERRED)

    def _survey(
        self, ops: Sequence[Operation], previous: Mapping[Operation, Device], groups: Groups
    ) -> tuple[list[OpKind], bool]:
        """The kinds of all operations, and whether none of them asks for a device."""
        kind_of = self._kinds.kind
        well_formed = self._well_formed
        kinds = []
        free = True
        for op in ops:
            kind = kind_of(op)
            kinds.append(kind)
            if kind.is_stateful and (kept := previous.get(op)) is not None:
                groups.keep(op, kind, kept)
                free = False
            elif op._device:
                free = False
                if op._device not in well_formed:
                    if parse_device_name(op._device) is None:
                        raise placement_errors.malformed_device(op)
                    well_formed.add(op._device)
        return kinds, free

    def _assign(
        self,
        ops: Sequence[Operation],
        kinds: Sequence[OpKind],
        groups: Groups,
        followers: dict[Operation, Decision],
    ) -> dict[Operation, Device]:
        """Choose a device for each operation: generators last, after their consumers."""
        placed: dict[Operation, Device] = {}
        generators: list[tuple[Operation, OpKind]] = []
        # The device of all consumers of an operation without inputs; None where they differ.
        consumers: dict[Operation, Device | None] = {}
        for op, kind in zip(ops, kinds, strict=True):
            device: Device | None = None
            if kind.is_generator and op not in groups.kept:
                generators.append((op, kind))
            else:
                wish = self._input_device(op, ops, placed) if kind.is_metadata else None
                device = placed[op] = self._choose(op, kind, groups, wish)
                if device is wish:
                    followers[op] = Decision(Reason.FOLLOWS_INPUT, op.inputs[0].op)
                for tensor in op.inputs:
                    source = tensor.op
                    if not source.inputs and consumers.setdefault(source, device) is not device:
                        consumers[source] = None
            for source in op.control_inputs:
                if not source.inputs and consumers.setdefault(source, device) is not device:
                    consumers[source] = None
        for op, kind in generators:
            wish = consumers.get(op)
            device = placed[op] = self._choose(op, kind, groups, wish)
            if device is wish and not op._device and groups.find(op) is None:
                followers[op] = _FOLLOWS_CONSUMER
        return placed

    def _input_device(
        self, op: Operation, ops: Sequence[Operation], placed: Mapping[Operation, Device]
    ) -> Device | None:
        """Where the input of a metadata operation is, if that is known yet."""
        source = op.inputs[0].op
        device = placed.get(source)
        if device is None and len(ops) < op.graph._version and source not in set(ops):
            return self._client  # a fed value comes from the client's device
        return device

    def _choose(self, op: Operation, kind: OpKind, groups: Groups, wish: Device | None) -> Device:
        """The device of `op`: `wish` if it is a candidate, else the preferred candidate."""
        group = groups.find(op)
        if group is None:
            if not op._device:
                candidates = kind.devices
            else:
                alone = self._candidates_alone.get((op._device, kind))
                candidates = self._alone(op, kind, groups) if alone is None else alone
            return wish if wish is not None and wish in candidates else candidates[0]
        if not group.devices:
            candidates = self._candidates_of(op, group, groups)
            device = wish if wish is not None and wish in candidates else candidates[0]
            group.devices = (device,)
            if group.decider is None:
                group.decider = op
        device = group.devices[0]
        if group.softened and op._device:
            self._note_fallback(op, device)
        return device

    def _alone(self, op: Operation, kind: OpKind, groups: Groups) -> tuple[Device, ...]:
        """The candidates of an operation that asks for a device and shares it with no other."""
        group = groups.group(op)
        candidates = self._candidates_of(op, group, groups)
        if group.softened:
            self._note_fallback(op, candidates[0])
        else:
            self._candidates_alone[op._device, kind] = candidates
        return candidates

    def _note_fallback(self, op: Operation, device: Device) -> None:
        name = parse_device_name(op._device)
        fits = name is not None and name.matches(placement_errors.full_name_of(device))
        if not fits and op.name not in self._fallen:
            self._fallen.add(op.name)
            logger.info(
                "Soft placement: '%s' asks for %s and runs on %s", op.name, op._device, device.name
            )

    def _candidates_of(self, op: Operation, group: Group, groups: Groups) -> tuple[Device, ...]:
        """The devices that the group of `op` may run on, the preferred one first."""
        if group.requested == ANYWHERE:
            return self._kinds.devices_of(group.supported)
        found = self._matching(group.requested, group.supported)
        if found or not self._soft:
            if not found:
                raise self._no_candidate(op, group, groups)
            return found
        group.softened = True
        found = self._matching(group.relaxed(keep_resources=True), group.supported)
        if not found:
            found = self._matching(group.relaxed(keep_resources=False), group.supported)
            if not found:
                raise self._no_candidate(op, group, groups)
            logger.warning(
                "Failed to place the graph without changing the devices of some resources. Some of "
                "the operations (that had to be colocated with resource generating operations) are "
                "not supported on the resources' devices. Current candidate devices are [%s].%s",
                ", ".join(device.name for device in found),
                placement_errors.debug_info(group, groups),
            )
        return found

    def _matching(self, name: DeviceName, supported: frozenset[str]) -> tuple[Device, ...]:
        key = (name, supported)
        found = self._candidates.get(key)
        if found is None:
            full_name = placement_errors.full_name_of
            found = self._candidates[key] = tuple(
                device
                for device in self._kinds.devices_of(supported)
                if name.matches(full_name(device))
            )
        return found

    def _no_candidate(self, op: Operation, group: Group, groups: Groups) -> Exception:
        own = parse_device_name(op._device) or ANYWHERE
        return placement_errors.no_candidate(op, own, group, groups, self._kinds.devices)


def _bind(ops: Sequence[Operation], kinds: Sequence[OpKind], groups: Groups) -> None:
    """Join the operations that must share a device."""
    members: set[Operation] | None = None
    if ops and len(ops) < ops[0].graph._version:
        members = set(ops)  # a pruned graph: sources may be missing
    labelled = []
    variants = False
    for op, kind in zip(ops, kinds, strict=True):
        for index in kind.handle_inputs:
            source = op.inputs[index].op
            if members is None or source in members:
                groups.connect(source, op)
        if "_class" in op.attrs:
            labelled.append(op)
        variants = variants or kind.reads_variants
    if variants:
        _keep_host_variants(ops, kinds, groups)
    if labelled:
        groups.colocate(ops, labelled)


def _keep_host_variants(ops: Sequence[Operation], kinds: Sequence[OpKind], groups: Groups) -> None:
    """A variant made where only the CPU has a kernel may hold host data: so may all made of it."""
    host_only = {op for op, kind in zip(ops, kinds, strict=True) if kind.supported == {"CPU"}}
    for op, kind in zip(ops, kinds, strict=True):
        if kind.reads_variants and any(
            tensor.dtype.base_dtype.name == "variant" and tensor.op in host_only
            for tensor in op.inputs
        ):
            groups.limit_to_host(op)
            host_only.add(op)


def _log_device_mapping(devices: Sequence[Device]) -> None:
    known = [d for d in devices if d.physical_description]
    if known:
        lines = "".join(f"\n{d.name} -> {d.physical_description}" for d in known)
        logger.info("Device mapping:%s", lines)
    else:
        logger.info("Device mapping: no known devices.")


def _log_placement(
    ops: Sequence[Operation],
    kinds: Sequence[OpKind],
    groups: Groups,
    placement: Mapping[Operation, Device],
) -> None:
    """One line for each operation, to stdout and to the log: generators last."""
    pairs = list(zip(ops, kinds, strict=True))
    deferred = [op for op, kind in pairs if kind.is_generator and op not in groups.kept]
    late = set(deferred)
    for op in [*(op for op in ops if op not in late), *deferred]:
        line = f"{op.name}: ({op.type}): {placement[op].name}"
        sys.stdout.write(line + "\n")
        logger.info("%s", line)
