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
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.runtime import placement_errors
from tfsession.runtime.colocation import ANYWHERE, Group, Groups
from tfsession.runtime.decision import Decision, Round
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
        self._empty = self._new_round(())
        # The latest round of each graph: the session's, and those of its functions. Where parts of
        # a graph are placed one by one: the latest round of each operation.
        self._whole: dict[Graph, Round] = {}
        self._rounds: dict[Operation, Round] = {}
        self._first: dict[Operation, Decision] = {}
        self._well_formed: set[str] = set()
        self._candidates: dict[tuple[DeviceName, frozenset[str]], tuple[Device, ...]] = {}
        self._fallen: set[str] = set()
        self._has_warned = False
        self._client = next((d for d in self._kinds.devices if d.device_type == "CPU"), None)

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
        self._tell(now)
        return placement

    def _keep(self, now: Round) -> None:
        """Keep what is needed to tell later why operations are where they are."""
        for op in now.groups.kept:
            if op not in self._first:
                self._first[op] = self.decision(op)
        if now.members is not None:
            self._rounds.update(dict.fromkeys(now.ops, now))
        elif now.ops:
            graph = now.ops[0].graph
            self._whole[graph] = now
            self._rounds = {op: r for op, r in self._rounds.items() if op.graph is not graph}

    def round_of(self, op: Operation) -> Round:
        """The latest placement of `op`."""
        return self._rounds.get(op) or self._whole.get(op.graph, self._empty)

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
            elif kind.is_identity and not op.control_inputs:
                now.passing.add(op)
            if kind.handle_inputs:
                now.readers.append((op, kind))
            if "_class" in op.attrs:
                now.labelled.append(op)
        return free

    def _assign(self, now: Round) -> dict[Operation, Device]:
        """Choose a device for each operation: generators last, after their consumers."""
        _keep_passing(now)
        placed: dict[Operation, Device] = {}
        # The device of all consumers of an operation without inputs; None where they differ.
        consumers: dict[Operation, Device | None] = {}
        bound, kept, passing = now.groups.bound, now.groups.kept, now.passing
        for op, kind in now.pairs():
            device: Device | None = None
            if kind.is_generator and op not in kept:
                pass
            elif kind.is_metadata or op in passing:
                source = op.inputs[0].op
                # A fed value comes from the client's device.
                wish = placed.get(source) if now.has(source) else self._client
                device = placed[op] = self._choose(now, op, kind, wish)
                if device is wish:
                    now.note_follower(op, source)
            elif op in bound or (candidates := kind.candidates.get(op._device)) is None:
                device = placed[op] = self._choose(now, op, kind, None)
            else:
                device = placed[op] = candidates[0]
            if device is not None:
                for tensor in op.inputs:
                    source = tensor.op
                    if not source.inputs and consumers.setdefault(source, device) is not device:
                        consumers[source] = None
            for source in op.control_inputs:
                if not source.inputs and consumers.setdefault(source, device) is not device:
                    consumers[source] = None
        for op, kind in now.pairs():
            if kind.is_generator and op not in kept:
                wish = consumers.get(op)
                device = placed[op] = self._choose(now, op, kind, wish)
                if device is wish:
                    now.note_follower(op, None)
        return placed

    def _choose(self, now: Round, op: Operation, kind: OpKind, wish: Device | None) -> Device:
        """The device of `op`: `wish` if it is a candidate, else the preferred candidate."""
        group = now.groups.find(op)
        if group is None:
            candidates = kind.candidates.get(op._device)
            if candidates is None:
                candidates = self._alone(now, op, kind)
            return wish if wish is not None and wish in candidates else candidates[0]
        if group.device is None:
            kept = now.groups.kept.get(op)
            if kept is not None:
                return kept
            candidates = self._candidates_of(op, group, now.groups)
            group.device = wish if wish is not None and wish in candidates else candidates[0]
            if group.decider is None:
                group.decider = op
        if group.softened and op._device:
            now.softened.append(op)
        return group.device

    def _alone(self, now: Round, op: Operation, kind: OpKind) -> tuple[Device, ...]:
        """The candidates of an operation that asks for a device and shares it with no other."""
        candidates = kind.softened.get(op._device)
        if candidates is None:
            group = now.groups.group(op)
            candidates = self._candidates_of(op, group, now.groups)
            known = kind.softened if group.softened else kind.candidates
            known[op._device] = candidates
        if op._device in kind.softened:
            now.softened.append(op)
        return candidates

    def _tell(self, now: Round) -> None:
        """Log what was asked for in vain, once each, and all devices if that is wanted."""
        for op in now.softened:
            device, name = now.placement[op], parse_device_name(op._device)
            fits = name is not None and name.matches(placement_errors.full_name_of(device))
            if not fits and op.name not in self._fallen:
                self._fallen.add(op.name)
                logger.info(
                    "Soft placement: '%s' asks for %s and runs on %s",
                    op.name,
                    op._device,
                    device.name,
                )
        if self._log:
            _log_placement(now, now.placement)

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
                if found and not self._has_warned:
                    self._has_warned = True
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


def _keep_passing(now: Round) -> None:
    """Leave in `passing` the identities that go where their input is.

    These have at most one consumer, and it asks for the same as the input: mostly for nothing.
    """
    passing = now.passing
    if not passing:
        return
    asked: dict[Operation, str] = {}
    for reader in now.ops:
        for tensor in reader.inputs:
            source = tensor.op
            if source in passing:
                if source in asked:
                    passing.discard(source)
                asked[source] = reader._device
        for source in reader.control_inputs:
            if source in passing:
                if source in asked:
                    passing.discard(source)
                asked[source] = reader._device
    passing.difference_update(
        [op for op in passing if asked.get(op, "") != op.inputs[0].op._device]
    )


def _bind(now: Round) -> None:
    """Join the operations that must share a device."""
    for op, kind in now.readers:
        for index in kind.handle_inputs:
            source = op.inputs[index].op
            if now.has(source):
                now.groups.connect(source, op)
    if any(kind.reads_variants for kind in set(now.kinds)):
        _keep_host_variants(now)
    if now.labelled:
        now.groups.colocate(now.ops, now.labelled)


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
    """Tell, once in a session, of the first group: there may be thousands like it."""
    logger.warning(
        "Failed to place the graph without changing the devices of some resources. Some of the "
        "operations (that had to be colocated with resource generating operations) are not "
        "supported on the resources' devices. Current candidate devices are [%s]. Other groups "
        "that are moved are told of at level INFO only, operation by operation.%s",
        ", ".join(device.name for device in candidates),
        placement_errors.debug_info(group, groups),
    )


def _log_placement(now: Round, placement: Mapping[Operation, Device]) -> None:
    """One line for each operation, to stdout and to the log: generators last."""
    deferred = {op: None for op, kind in now.pairs() if now.is_deferred(op, kind)}
    for op in [*(op for op in now.ops if op not in deferred), *deferred]:
        line = f"{op.name}: ({op.type}): {placement[op].name}"
        sys.stdout.write(line + "\n")
        logger.info("%s", line)
