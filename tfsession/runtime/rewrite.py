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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfsession.core.dtypes import resource, variant
from tfsession.core.lazy import lazy
from tfsession.core.op_def import OpDef
from tfsession.core.rules import Kernel, kernels
from tfsession.devices.device import Device
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.config import Optimizations
from tfsession.runtime.plan import Signature
from tfsession.runtime.rewrite_fold import Evaluator, Folding
from tfsession.runtime.rewrite_rules import IDENTITIES, NEEDS_NO_CONSTANT, rules
from tfsession.runtime.rewrite_sizes import SymbolicSizes
from tfsession.runtime.rewrite_waits import without_idle
from tfsession.runtime.wiring import Wired, controls_of, inputs_of, sources_of

# Which of their inputs are there is the business of runtime.regions.
_CONTROL_FLOW = frozenset({"Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch"})
# Loops are recognized by what these read in the graph.
_READS_AS_IN_GRAPH = frozenset({"Exit", "Merge", "RefExit", "RefMerge"})
# These look at files, or run code of the program.
_LOOKS_OUTSIDE = frozenset({"MatchingFiles", "PyFuncStateless", "ReadFile"})
# Its default is no constant: it is there to be fed.
_TO_BE_FED = "PlaceholderWithDefault"
# Values that the graph may tell whatever is in the tensors.
_TELL_SHAPES = frozenset({"Rank", "Shape", "ShapeN", "Size", "StridedSlice"})
_TELLS_AXES = "BroadcastGradientArgs"
_TELL = _TELL_SHAPES | {_TELLS_AXES}
_VARIABLES = frozenset({"ReadVariableOp", "VarHandleOp", "Variable", "VariableV2"})
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
    walk = _Walk(ops, placement, signature, optimizations, evaluator)
    walk.run()
    if walk.wired or walk.instead:
        signature = replace(signature, rewired=walk.wired)
        ops = _needed(ops, signature)
    if optimizations.bypasses and not signature.arriving:
        wired = without_idle(ops, signature, walk.is_pure)
        if wired:
            signature = replace(signature, rewired={**signature.rewired, **wired})
            ops = _needed(ops, signature)
    return signature, ops


def _needed(ops: Sequence[Operation], signature: Signature) -> list[Operation]:
    """Those of the operations that a rewritten step runs, in the same order."""
    feeds, wiring = frozenset(signature.feeds), signature.wiring
    needed = {*signature.targets, *(t.op for t in signature.fetches if t not in feeds)}
    waiting, rewired, is_as_in_graph = list(needed), wiring.rewired, not wiring.elements
    for op in waiting:
        wired = rewired.get(op)
        if wired is not None:
            sources = [tensor.op for tensor in wired.inputs if tensor not in feeds]
            sources += wired.controls
        elif is_as_in_graph and not op.control_inputs:
            sources = [tensor.op for tensor in op.inputs if tensor not in feeds]
        else:
            sources = sources_of(op, feeds, wiring)
        for source in sources:
            if source not in needed:
                needed.add(source)
                waiting.append(source)
    return [op for op in ops if op in needed]


def _is_pure(definition: OpDef) -> bool:
    """Whether operations of a type give what their inputs say, and do nothing else."""
    if definition.is_stateful or definition.graph_only or not definition.outputs:
        return False
    name = definition.name
    if name in _CONTROL_FLOW or name in _LOOKS_OUTSIDE or name == _TO_BE_FED:
        return False
    if any(a.is_ref or a.type in (resource, variant) for a in definition.inputs):
        return False
    if any(a.is_ref or a.type in (resource, variant) for a in definition.outputs):
        return False
    found = kernels.get(name) or ()
    return bool(found) and not any(kernel.stateful or kernel.blocking for kernel in found)


# What an operation reads, and what it waits for.
_Reads = tuple[tuple[Tensor, ...], tuple[Operation, ...]]


class _Walk:
    """What is known of a step while its operations are visited in order.

    `instead` has the tensor that is read in place of each one that is replaced, `wired` what is
    read and waited for by operations that do not do so as in the graph.
    """

    def __init__(
        self,
        ops: Sequence[Operation],
        placement: Mapping[Operation, Device],
        signature: Signature,
        optimizations: Optimizations,
        evaluator: Evaluator,
    ) -> None:
        self.instead: dict[Tensor, Tensor] = {}
        self.wired: dict[Operation, Wired] = {}
        self._ops = ops
        self._placement = placement
        self._optimizations = optimizations
        self._wiring = signature.wiring
        self._feeds = signature.feed_memories
        self._is_arriving = signature.arriving
        self._fed = {tensor.op for tensor in signature.feeds}
        self._fixed = {*self._fed, *signature.targets, *(t.op for t in signature.fetches)}
        self._done_by: dict[Operation, Operation] = {}
        self._purity: dict[str, bool] = {}
        # By a hash: no container for each operation, which the garbage collector would look after.
        self._twins: dict[int, Operation] = {}
        self._constants: dict[tuple[Any, ...], Operation] = {}  # by value
        # References: who reads one reads a variable, whose value changes.
        self._volatile: set[Tensor] = set()
        # What is full of one number, of a shape that may not be known.
        self._filled: set[Tensor] = set()
        # What those that run as something else by now would read and wait for.
        self._before: dict[Operation, _Reads] = {}
        self._folding = Folding(
            ops, placement, self._feeds, self._wiring, optimizations.most_folded_bytes, evaluator
        )
        self.value_of = self._folding.value_of

    def run(self) -> None:
        """Visit all operations; all that each one needs comes before it."""
        wired, purity, volatile, fed = self.wired, self._purity, self._volatile, self._fed
        is_wired, instead, done_by = bool(self._wiring), self.instead, self._done_by
        for op in self._ops:
            inputs = tuple(inputs_of(op, self._wiring)) if is_wired else op.inputs
            controls: tuple[Operation, ...] = ()
            is_changed = False
            if op.control_inputs:
                controls = tuple(controls_of(op, self._feeds, self._wiring))
                if done_by and not done_by.keys().isdisjoint(controls):
                    controls = tuple(dict.fromkeys(done_by.get(c, c) for c in controls))
                    is_changed = True
            is_replaced = instead and not instead.keys().isdisjoint(inputs)
            if is_replaced and op.type not in _READS_AS_IN_GRAPH:
                inputs = tuple([instead.get(tensor, tensor) for tensor in inputs])
                is_changed = True
            if is_changed:
                wired[op] = Wired(inputs, controls)
            is_pure = purity.get(op.type)
            if is_pure is None:
                is_pure = self.is_pure(op)
            may_wait_for_feed = self._is_arriving and op.control_inputs
            if not is_pure:
                self._take_in(op, inputs)
            elif op in fed or may_wait_for_feed or not volatile.isdisjoint(inputs):
                continue
            elif inputs:
                self._improve(op, inputs, controls)
            else:
                self._take_source(op, controls)

    def is_pure(self, op: Operation) -> bool:
        """Whether an operation gives what its inputs say, and does nothing else."""
        found = self._purity.get(op.type)
        if found is None:
            found = self._purity[op.type] = _is_pure(op.op_def)
        return found

    def _take_in(self, op: Operation, inputs: Sequence[Tensor]) -> None:
        """Note what an operation that is not pure means for others."""
        for tensor in op.outputs:
            if tensor.dtype.is_ref:
                self._volatile.add(tensor)
        if op.type == "Enter" and op.attrs["is_constant"] and self._optimizations.folds:
            self._folding.enter(op, inputs[0])

    def _take_source(self, op: Operation, controls: tuple[Operation, ...]) -> None:
        """Note the value of a pure operation without inputs, or put an earlier one in its place."""
        value = op.attrs["value"] if op.type == "Const" else None
        self._folding.take_constant(op, value, controls)
        if not self._optimizations.shares or not isinstance(value, np.ndarray):
            return
        if value.nbytes <= _SMALL and not value.dtype.hasobject:
            device = self._placement[op]
            key = value.tobytes(), value.dtype, value.shape, device, *controls
            twin = self._constants.setdefault(key, op)
            if twin is not op and op not in self._fixed:
                self._replace(op, twin)

    def _replace(self, op: Operation, twin: Operation) -> None:
        """Let others read what an earlier operation gives."""
        for tensor, other in zip(op.outputs, twin.outputs, strict=True):
            self.instead[tensor] = self.instead.get(other, other)
        self._done_by[op] = twin

    def _improve(
        self, op: Operation, inputs: tuple[Tensor, ...], controls: tuple[Operation, ...]
    ) -> None:
        """Replace a pure operation, or make it a constant, if that may be."""
        optimizations = self._optimizations
        if optimizations.shares:
            key = hash((op.type, self._placement[op], inputs, controls))
            twin: Operation | None = self._twins.setdefault(key, op)
            if twin is not op:
                twin = self._twin(op, key, inputs, controls)
                if twin is not None and op not in self._fixed:
                    self._replace(op, twin)
                    return
        known = self._folding.known
        count = 0
        for tensor in inputs:
            count += tensor in known
        if optimizations.folds and (count == len(inputs) or op.type in _TELL):
            constant = self._fold(op, inputs, controls)
            if constant is not None:
                self.wired[op] = constant
                self._before[op] = inputs, controls
                return
        if op.type == "Fill":
            self._filled.update(op.outputs)
        is_plain = not count and op.type not in NEEDS_NO_CONSTANT
        if is_plain and self._filled.isdisjoint(inputs):
            return  # no rule says anything of it
        rule = rules.get(op.type)
        is_wanted = optimizations.bypasses if op.type in IDENTITIES else optimizations.simplifies
        given = rule(op, inputs, self) if rule is not None and is_wanted else None
        if given is not None and self._is_there(given, op):
            self._hand_on(op, given, inputs, controls)

    # --- what gives way to another --------------------------------------------------------------

    def _hand_on(
        self,
        op: Operation,
        given: Tensor,
        inputs: tuple[Tensor, ...],
        controls: tuple[Operation, ...],
    ) -> None:
        """Let others read `given`; or what is left of `op`, if it is fixed or has to wait."""
        awaited = self._folding.awaited(inputs, controls)
        if given not in inputs:  # it went into an operation between
            awaited = self._folding.awaited(*self._reads_of(inputs[0].op), awaited)
        if not awaited and op not in self._fixed:
            self.instead[op.outputs[0]] = self.instead.get(given, given)
        elif op.type not in IDENTITIES:
            node = self._folding.node(op)
            if node is not None and node.memory is None:
                forward = Kernel(op.type, None, forwards=True)
                node = replace(
                    node, kernel=forward, inputs=(given,), controls=awaited, input_memories=(None,)
                )
                self.wired[op] = Wired((given,), awaited, node)
                self._before[op] = inputs, controls

    def _is_there(self, tensor: Tensor, op: Operation) -> bool:
        """Whether a tensor lies where `op` puts out: no copy then takes the place of that one."""
        device = self._placement[op]
        if tensor in self._feeds:
            is_host = device.device_type == "CPU" and not device.index
            return is_host and self._feeds[tensor] is None
        return self._placement[tensor.op] is device

    def _twin(
        self,
        op: Operation,
        key: int,
        inputs: tuple[Tensor, ...],
        controls: tuple[Operation, ...],
    ) -> Operation | None:
        """An earlier operation that gives the same, if there is one; `key` is that of another."""
        twins, device = self._twins, self._placement[op]
        while (twin := twins.setdefault(key, op)) is not op:
            if (
                twin.type == op.type
                and self._placement[twin] is device
                and self._reads_of(twin) == (inputs, controls)
                and _says_the_same(op, twin)
            ):
                return twin
            key += 1
        return None

    def _reads_of(self, op: Operation) -> _Reads:
        """What an operation that was visited reads and waits for, whatever runs in its place."""
        found = self._before.get(op)
        if found is not None:
            return found
        wired = self.wired.get(op)
        if wired is not None:
            return tuple(wired.inputs), tuple(wired.controls)
        controls = controls_of(op, self._feeds, self._wiring)
        return tuple(inputs_of(op, self._wiring)), tuple(controls)

    # --- what rules ask for ---------------------------------------------------------------------

    def inputs_of(self, op: Operation) -> Sequence[Tensor]:
        """What an operation that was visited reads."""
        return self._reads_of(op)[0]

    def is_fed(self, tensor: Tensor) -> bool:
        """Whether a tensor is fed, whatever would make it."""
        return tensor in self._feeds

    def are_same_sizes(self, first: Tensor, second: Tensor) -> bool:
        """Whether two tensors surely have one shape."""
        return self._sizes.are_same(first, second)

    # --- what is known --------------------------------------------------------------------------

    def _fold(
        self, op: Operation, inputs: tuple[Tensor, ...], controls: tuple[Operation, ...]
    ) -> Wired | None:
        """An operation as a constant, if its value is known."""
        folding = self._folding
        values = folding.static_values(op, inputs) if op.type in _TELL_SHAPES else None
        if values is None and op.type == _TELLS_AXES:
            values = self._axes_of(op, inputs)
        if values is None:
            return folding.fold(op, inputs, controls)
        all_bound = self._alive_at_times if op.type == _TELLS_AXES else self._bound
        bound = [t.op for t in inputs if t not in self._feeds and t.op in all_bound]
        return folding.tell(op, values, inputs, (*controls, *bound))

    def _axes_of(self, op: Operation, inputs: Sequence[Tensor]) -> list[Any] | None:
        """The axes along which gradients are summed, if they are known though a size is not."""
        is_of_shapes = all(t.op.type == "Shape" and t not in self._feeds for t in inputs)
        if not is_of_shapes or op in self._fixed or all(t in self._folding.known for t in inputs):
            return None
        first, second = (self._reads_of(tensor.op)[0][0] for tensor in inputs)
        return self._sizes.axes_to_sum(first, second, op.outputs[0].dtype.numpy)

    @lazy
    def _sizes(self) -> SymbolicSizes:
        return SymbolicSizes(self)

    @lazy
    def _bound(self) -> set[Operation]:
        """What has effects or is not always alive, and what depends on such."""
        return self._depending(lambda op: op.type == _TO_BE_FED or self.is_pure(op))

    @lazy
    def _alive_at_times(self) -> set[Operation]:
        """As `_bound`, but to read a variable is no effect."""
        return self._depending(
            lambda op: op.type == _TO_BE_FED or op.type in _VARIABLES or self.is_pure(op)
        )

    def _depending(self, is_free: Callable[[Operation], bool]) -> set[Operation]:
        """The operations that are not free, and those that depend on such."""
        found: set[Operation] = set()
        feeds, wiring = self._feeds, self._wiring
        for op in self._ops:
            if not is_free(op) or not found.isdisjoint(sources_of(op, feeds, wiring)):
                found.add(op)
        return found


def _says_the_same(op: Operation, other: Operation) -> bool:
    """Whether the attributes that a kernel sees are the same."""
    attrs, others = op.attrs, other.attrs
    return attrs == others or all(attrs.get(n) == others.get(n) for n in op.op_def.attrs)
