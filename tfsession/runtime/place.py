"""Placing: the device of each operation, and what decided it, by TensorFlow's rules.

A device that an operation asks for, the groups that must stay together, and the types of device
that have a kernel leave some candidates; of these the preferred one is taken, unless an operation
had better follow its input or its consumers.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence

from tfsession.core.device_spec import DeviceName, parse_device_name
from tfsession.core.dtypes import variant
from tfsession.devices.device import Device
from tfsession.graph.operation import Operation
from tfsession.runtime import placement_errors
from tfsession.runtime.colocation import ANYWHERE, Group, Groups
from tfsession.runtime.decision import FOLLOWS_CONSUMER, Decision, Reason, Round
from tfsession.runtime.device_support import KindTable, OpKind

logger = logging.getLogger("tfsession")


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
        self._latest = self._new_round(())
        # Where parts of the graph are placed one by one: the latest round of each operation.
        self._rounds: dict[Operation, Round] = {}
        self._first: dict[Operation, Decision] = {}
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
        now = self._new_round(ops)
        if ops and len(ops) < ops[0].graph._version:
            now.members = set(ops)
        free = self._survey(now, previous)
        common = {kind.devices[0] for kind in set(now.kinds)}
        if free and len(common) == 1 and (now.members is None or len(self._kinds.types) == 1):
            # Nothing is asked for, and all kinds prefer one device: so do all groups of them.
            placement = dict.fromkeys(ops, common.pop())
        else:
            _bind(now)
            placement = self._assign(now)
        now.placement = placement
        self._keep(now)
        if self._log:
            _log_placement(now, placement)
        return placement

    def _keep(self, now: Round) -> None:
        """Keep what is needed to tell later why operations are where they are."""
        for op in now.groups.kept:
            if op not in self._first:
                self._first[op] = self.decision(op)
        self._latest = now
        if now.members is None:
            self._rounds.clear()
        else:
            self._rounds.update(dict.fromkeys(now.ops, now))

    def round_of(self, op: Operation) -> Round:
        """The latest placement of `op`."""
        return self._rounds.get(op, self._latest)

    def decision(self, op: Operation) -> Decision:
        """Why the latest placement of `op` put it where it is."""
        return self.round_of(op).decision(op)

    def first_decision(self, op: Operation) -> Decision:
        """As `decision`; where an operation is kept on its device, why it came there."""
        return self._first.get(op) or self.decision(op)

    def _new_round(self, ops: Sequence[Operation]) -> Round:
        return Round(ops, Groups(self._kinds, soft=self._soft, log=self._log))

    def _survey(self, now: Round, previous: Mapping[Operation, Device]) -> bool:
        """Find the kinds of all operations; True when none of them asks for a device."""
        kind_of = self._kinds.kind
        well_formed = self._well_formed
        free = True
        for op in now.ops:
            kind = kind_of(op)
            now.kinds.append(kind)
            if kind.is_stateful and (kept := previous.get(op)) is not None:
                now.groups.keep(op, kind, kept)
                free = False
            elif op._device:
                free = False
                if op._device not in well_formed:
                    if parse_device_name(op._device) is None:
                        raise placement_errors.malformed_device(op)
                    well_formed.add(op._device)
        return free

    def _assign(self, now: Round) -> dict[Operation, Device]:
        """Choose a device for each operation: generators last, after their consumers."""
        placed: dict[Operation, Device] = {}
        generators: list[tuple[Operation, OpKind]] = []
        # The device of all consumers of an operation without inputs; None where they differ.
        consumers: dict[Operation, Device | None] = {}
        passes = _Passes(now.ops)
        for op, kind in now.pairs():
            device: Device | None = None
            if now.is_deferred(op, kind):
                generators.append((op, kind))
            else:
                wish = None
                if kind.is_metadata or (kind.is_identity and passes.through(op)):
                    source = op.inputs[0].op
                    # A fed value comes from the client's device.
                    wish = placed.get(source) if now.has(source) else self._client
                device = placed[op] = self._choose(op, kind, now.groups, wish)
                if device is wish and now.groups.find(op) is None:
                    now.followers[op] = Decision(Reason.FOLLOWS_INPUT, op.inputs[0].op)
                for tensor in op.inputs:
                    source = tensor.op
                    if not source.inputs and consumers.setdefault(source, device) is not device:
                        consumers[source] = None
            for source in op.control_inputs:
                if not source.inputs and consumers.setdefault(source, device) is not device:
                    consumers[source] = None
        for op, kind in generators:
            wish = consumers.get(op)
            device = placed[op] = self._choose(op, kind, now.groups, wish)
            if device is wish and not op._device and now.groups.find(op) is None:
                now.followers[op] = FOLLOWS_CONSUMER
        return placed

    def _choose(self, op: Operation, kind: OpKind, groups: Groups, wish: Device | None) -> Device:
        """The device of `op`: `wish` if it is a candidate, else the preferred candidate."""
        kept = groups.kept.get(op)
        if kept is not None:
            return kept
        group = groups.find(op)
        if group is None:
            if not op._device:
                candidates = kind.devices
            else:
                alone = self._candidates_alone.get((op._device, kind))
                candidates = self._alone(op, kind, groups) if alone is None else alone
            return wish if wish is not None and wish in candidates else candidates[0]
        if group.device is None:
            candidates = self._candidates_of(op, group, groups)
            group.device = wish if wish is not None and wish in candidates else candidates[0]
            if group.decider is None:
                group.decider = op
        device = group.device
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
        if not found and self._soft:
            group.softened = True
            found = self._matching(group.relaxed(keep_resources=True), group.supported)
            if not found:
                found = self._matching(group.relaxed(keep_resources=False), group.supported)
                if found:
                    _warn_of_moved_resources(found, group, groups)
        if not found:
            own = parse_device_name(op._device) or ANYWHERE
            raise placement_errors.no_candidate(op, own, group, groups, self._kinds.devices)
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


class _Passes:
    """Finds the identities that go where their input is.

    These ask for nothing, have one input and at most one consumer, and both ask for the same.
    """

    def __init__(self, ops: Sequence[Operation]) -> None:
        self._ops = ops
        self._requests: dict[Operation, list[str]] | None = None

    def through(self, op: Operation) -> bool:
        """Whether `op` follows its input."""
        if op._device or op.control_inputs:
            return False
        if self._requests is None:
            self._requests = self._requests_of_consumers()
        requests = self._requests.get(op, [""])
        return len(requests) == 1 and requests[0] == op.inputs[0].op._device

    def _requests_of_consumers(self) -> dict[Operation, list[str]]:
        found: dict[Operation, list[str]] = {}
        for reader in self._ops:
            sources = [tensor.op for tensor in reader.inputs if tensor.op.type == "Identity"]
            sources += [source for source in reader.control_inputs if source.type == "Identity"]
            for source in sources:
                found.setdefault(source, []).append(reader._device)
        return found


def _bind(now: Round) -> None:
    """Join the operations that must share a device."""
    labelled = []
    variants = False
    for op, kind in now.pairs():
        for index in kind.handle_inputs:
            source = op.inputs[index].op
            if now.has(source):
                now.groups.connect(source, op)
        if "_class" in op.attrs:
            labelled.append(op)
        variants = variants or kind.reads_variants
    if variants:
        _keep_host_variants(now)
    if labelled:
        now.groups.colocate(now.ops, labelled)


def _keep_host_variants(now: Round) -> None:
    """A variant made where only the CPU has a kernel may hold host data: so may all made of it."""
    host_only = {op for op, kind in now.pairs() if kind.supported == {"CPU"}}
    for op, kind in now.pairs():
        if kind.reads_variants and any(
            tensor.dtype is variant and tensor.op in host_only for tensor in op.inputs
        ):
            now.groups.limit_to_host(op)
            host_only.add(op)


def _warn_of_moved_resources(candidates: Sequence[Device], group: Group, groups: Groups) -> None:
    logger.warning(
        "Failed to place the graph without changing the devices of some resources. Some of the "
        "operations (that had to be colocated with resource generating operations) are not "
        "supported on the resources' devices. Current candidate devices are [%s].%s",
        ", ".join(device.name for device in candidates),
        placement_errors.debug_info(group, groups),
    )


def _log_device_mapping(devices: Sequence[Device]) -> None:
    known = [d for d in devices if d.physical_description]
    if known:
        lines = "".join(f"\n{d.name} -> {d.physical_description}" for d in known)
        logger.info("Device mapping:%s", lines)
    else:
        logger.info("Device mapping: no known devices.")


def _log_placement(now: Round, placement: Mapping[Operation, Device]) -> None:
    """One line for each operation, to stdout and to the log: generators last."""
    deferred = {op: None for op, kind in now.pairs() if now.is_deferred(op, kind)}
    for op in [*(op for op in now.ops if op not in deferred), *deferred]:
        line = f"{op.name}: ({op.type}): {placement[op].name}"
        sys.stdout.write(line + "\n")
        logger.info("%s", line)
