"""Rewriting: what a step computes, in fewer operations; the bits of what is fetched stay the same.

One walk in the order of execution does all of it, so that each operation sees what became of those
before it. A pure operation whose inputs are known becomes a constant, one that computes what an
earlier one computes gives way to that, and so does one that gives its input. Then what nobody needs
any more is left out. That is the value numbering of compilers (Cocke and Schwartz, "Programming
Languages and Their Compilers", 1970), and needs no second look at anything.

Nothing new is put into a graph. An operation stays the user's, with its name and its device; only
what it reads and waits for changes, and whether its value is known (see `wiring.Wired`). What is
fed or fetched, and what a program asks to run, is never replaced by another operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfsession.core.dtypes import resource, variant
from tfsession.core.op_def import OpDef
from tfsession.core.rules import kernels
from tfsession.devices.device import Device
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.config import Optimizations
from tfsession.runtime.plan import Signature
from tfsession.runtime.rewrite_fold import Evaluator, Folding
from tfsession.runtime.rewrite_rules import IDENTITIES, Rule, rules
from tfsession.runtime.wiring import Wired, controls_of, inputs_of, sources_of

# Which of their inputs are there is the business of runtime.regions.
_CONTROL_FLOW = frozenset({"Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"})
# Loops are recognized by what these read in the graph.
_READS_AS_IN_GRAPH = frozenset({"Exit", "Merge", "RefExit", "RefMerge"})
# These look at files, run code of the program, or are there to be fed.
_LOOKS_OUTSIDE = frozenset(
    {"MatchingFiles", "PlaceholderWithDefault", "PyFuncStateless", "ReadFile"}
)
# Values that the graph may tell whatever is in the tensors.
_TELL_SHAPES = frozenset({"Rank", "Shape", "ShapeN", "Size", "StridedSlice"})
# Bytes of constants that are compared.
_SMALL = 1 << 10


def rewrite(
    ops: Sequence[Operation],
    placement: Mapping[Operation, Device],
    signature: Signature,
    optimizations: Optimizations,
    evaluator: Evaluator,
) -> tuple[Signature, Sequence[Operation]]:
    """A step that gives the same, and what it runs.

    Args:
        ops: what the step runs, in an order in which it can.
        placement: the device of each operation.
        signature: what is fed and fetched.
        optimizations: what may be done.
        evaluator: computes the values of constants.
    """
    # What is connected may have another shape and dtype than the graph says.
    if not optimizations.rewrites or signature.connections:
        return signature, ops
    walk = _Walk(placement, signature, optimizations, evaluator)
    walk.folding.ops = ops
    for op in ops:
        walk.visit(op)
    if not (walk.wired or walk.instead):
        return signature, ops
    signature = replace(signature, rewired=walk.wired)
    return signature, _needed(ops, signature)


def _needed(ops: Sequence[Operation], signature: Signature) -> list[Operation]:
    """Those of the operations that a rewritten step runs, in the same order."""
    feeds, wiring = frozenset(signature.feeds), signature.wiring
    needed = {*signature.targets, *(t.op for t in signature.fetches if t not in feeds)}
    stack = list(needed)
    while stack:
        for source in sources_of(stack.pop(), feeds, wiring):
            if source not in needed:
                needed.add(source)
                stack.append(source)
    return [op for op in ops if op in needed]


def _is_pure(definition: OpDef) -> bool:
    """Whether operations of a type give what their inputs say, and do nothing else."""
    if definition.is_stateful or definition.graph_only or not definition.outputs:
        return False
    if definition.name in _CONTROL_FLOW or definition.name in _LOOKS_OUTSIDE:
        return False
    if any(a.is_ref or a.type in (resource, variant) for a in definition.inputs):
        return False
    if any(a.is_ref or a.type in (resource, variant) for a in definition.outputs):
        return False
    found = kernels.get(definition.name) or ()
    return bool(found) and not any(kernel.stateful or kernel.blocking for kernel in found)


class _Walk:
    """What is known of a step while its operations are visited in order.

    `instead` has the tensor that is read in place of each one that is replaced, `wired` what is
    read and waited for by operations that do not do so as in the graph.
    """

    def __init__(
        self,
        placement: Mapping[Operation, Device],
        signature: Signature,
        optimizations: Optimizations,
        evaluator: Evaluator,
    ) -> None:
        self.instead: dict[Tensor, Tensor] = {}
        self.wired: dict[Operation, Wired] = {}
        self._placement = placement
        self._optimizations = optimizations
        self._wiring = signature.wiring
        self._feeds = signature.feed_memories
        self._is_arriving = signature.arriving
        self._fixed = {tensor.op for tensor in (*signature.feeds, *signature.fetches)}
        self._fixed.update(signature.targets)
        self._fed = {tensor.op for tensor in signature.feeds}
        self._done_by: dict[Operation, Operation] = {}
        self._kinds: dict[str, bool] = {}
        self._twins: dict[tuple[Any, ...], list[Operation]] = {}
        # References: who reads one reads a variable, whose value changes.
        self._volatile: set[Tensor] = set()
        # What has effects, is not always alive, or depends on such.
        self._bound: set[Operation] = set()
        self.folding = Folding(
            placement, self._feeds, self._wiring, optimizations.most_folded_bytes, evaluator
        )

    def visit(self, op: Operation) -> None:
        """Take in an operation, all sources of which were visited."""
        inputs, controls, is_changed = self._reads(op)
        is_pure = self._kinds.get(op.type)
        if is_pure is None:
            is_pure = self._kinds[op.type] = _is_pure(op.op_def)
        wired = None
        if is_pure:
            is_open = op not in self._fed and self._volatile.isdisjoint(inputs)
            if self._is_arriving and op.control_inputs:
                is_open = False  # it may wait for what is fed later
            if is_open and not self._give_way(op, inputs, controls):
                wired = self._fold(op, inputs, controls)
            if self._is_bound(inputs, controls):
                self._bound.add(op)
        else:
            self._take_in(op, inputs)
        if wired is not None:
            self.wired[op] = wired
        elif is_changed:
            self.wired[op] = Wired(inputs, controls)

    def _reads(self, op: Operation) -> tuple[Sequence[Tensor], Sequence[Operation], bool]:
        """What an operation reads and waits for by now, and whether that was changed here."""
        inputs = inputs_of(op, self._wiring) if self._wiring else op.inputs
        controls: Sequence[Operation] = ()
        is_changed = False
        instead, done_by = self.instead, self._done_by
        if instead and not instead.keys().isdisjoint(inputs) and op.type not in _READS_AS_IN_GRAPH:
            inputs = tuple([instead.get(tensor, tensor) for tensor in inputs])
            is_changed = True
        if op.control_inputs:
            controls = controls_of(op, self._feeds, self._wiring)
            if done_by and not done_by.keys().isdisjoint(controls):
                controls = tuple(dict.fromkeys(done_by.get(c, c) for c in controls))
                is_changed = True
        return inputs, controls, is_changed

    def _is_bound(self, inputs: Sequence[Tensor], controls: Sequence[Operation]) -> bool:
        bound = self._bound
        if not bound:
            return False
        for tensor in inputs:
            if tensor.op in bound:
                return True
        return not bound.isdisjoint(controls)

    def _take_in(self, op: Operation, inputs: Sequence[Tensor]) -> None:
        """Note what an operation that is not pure means for others."""
        self._bound.add(op)
        self._volatile.update([tensor for tensor in op.outputs if tensor.dtype.is_ref])
        if op.type == "Enter" and op.attrs["is_constant"] and self._optimizations.folds:
            self.folding.enter(op, inputs[0])

    # --- what gives way to another --------------------------------------------------------------

    def _give_way(
        self, op: Operation, inputs: Sequence[Tensor], controls: Sequence[Operation]
    ) -> bool:
        """Whether others read something else in place of what an operation gives."""
        optimizations = self._optimizations
        if op in self._fixed:
            if optimizations.shares:
                self._twin(op, inputs, controls)
            return False
        rule: Rule | None = None
        if op.type in IDENTITIES:
            rule = rules[op.type] if optimizations.bypasses else None
        elif optimizations.simplifies:
            rule = rules.get(op.type)
        if rule is not None and not controls:
            tensor = rule(op, inputs, self)
            if tensor is not None and self._is_there(tensor, op):
                self.instead[op.outputs[0]] = self.instead.get(tensor, tensor)
                return True
        if not optimizations.shares:
            return False
        twin = self._twin(op, inputs, controls)
        if twin is None:
            return False
        self.instead.update(zip(op.outputs, twin.outputs, strict=True))
        self._done_by[op] = twin
        return True

    def _is_there(self, tensor: Tensor, op: Operation) -> bool:
        """Whether a tensor lies where `op` puts out: no copy then takes the place of that one."""
        device = self._placement[op]
        if tensor in self._feeds:
            is_host = device.device_type == "CPU" and not device.index
            return is_host and self._feeds[tensor] is None
        return self._placement[tensor.op] is device

    def _twin(
        self, op: Operation, inputs: Sequence[Tensor], controls: Sequence[Operation]
    ) -> Operation | None:
        """An earlier operation that gives the same, if there is one."""
        key: tuple[Any, ...] = (op.type, *inputs, self._placement[op])
        if not inputs:
            if op.type != "Const":
                return None
            value = op.attrs["value"]
            if value.nbytes > _SMALL or value.dtype.hasobject:
                return None
            key = (value.dtype, value.shape, value.tobytes(), self._placement[op])
        if controls:
            key = (*key, frozenset(controls))
        twins = self._twins.setdefault(key, [])
        for twin in twins:
            if not inputs or _says_the_same(op, twin):
                return twin
        twins.append(op)
        return None

    # --- what rules ask for ---------------------------------------------------------------------

    def value_of(self, tensor: Tensor) -> np.ndarray[Any, Any] | None:
        """The value of a tensor that is known on the host."""
        return self.folding.value_of(tensor)

    def inputs_of(self, op: Operation) -> Sequence[Tensor]:
        """What an operation that was visited reads."""
        wired = self.wired.get(op)
        return inputs_of(op, self._wiring) if wired is None else wired.inputs

    def is_fed(self, tensor: Tensor) -> bool:
        """Whether a tensor is fed, whatever would make it."""
        return tensor in self._feeds

    # --- what is known --------------------------------------------------------------------------

    def _fold(
        self, op: Operation, inputs: Sequence[Tensor], controls: Sequence[Operation]
    ) -> Wired | None:
        """An operation as a constant, if its value is known."""
        if not self._optimizations.folds:
            return None
        if not inputs:
            self.folding.take_constant(op, controls)
            return None
        folding = self.folding
        if op.type not in _TELL_SHAPES:
            return folding.fold(op, inputs, controls)
        bound = [t.op for t in inputs if t.op in self._bound and t not in self._feeds]
        return folding.fold_shape(op, inputs, (*controls, *bound)) or folding.fold(
            op, inputs, controls
        )


def _says_the_same(op: Operation, other: Operation) -> bool:
    """Whether the attributes that a kernel sees are the same."""
    if op.attrs == other.attrs:
        return True
    return all(op.attrs.get(name) == other.attrs.get(name) for name in op.op_def.attrs)
