"""The engine of a session: it places the graph, compiles plans, keeps them, and owns the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import Any

import numpy as np

from tfsession.core import forking
from tfsession.core.collections_off import no_collections
from tfsession.core.errors import CancelledError, InvalidArgumentError
from tfsession.devices.accelerator import Accelerator
from tfsession.devices.device import Device
from tfsession.devices.interchange import is_device_array, place_of
from tfsession.devices.manager import DeviceManager
from tfsession.devices.memory import on_behalf_of
from tfsession.devices.spares import Spares
from tfsession.devices.transfer import Memory
from tfsession.graph.graph import Graph
from tfsession.graph.loaded import check_loaded
from tfsession.graph.operation import Operation
from tfsession.graph.tensor_handle import TensorHandle
from tfsession.resources.session_tensors import SessionTensor
from tfsession.resources.store import SessionState
from tfsession.runtime.called import Called
from tfsession.runtime.compile import compile_plan, lay_out
from tfsession.runtime.config import RunTerms
from tfsession.runtime.control import CancellationManager
from tfsession.runtime.errors import failure_of
from tfsession.runtime.expected import asking_ahead
from tfsession.runtime.float_errors import SILENT, settings, use
from tfsession.runtime.functions import Functions
from tfsession.runtime.partition import Layout, Node
from tfsession.runtime.place import Placer
from tfsession.runtime.plan import Plan, Signature
from tfsession.runtime.prune import check_replaced_inputs, prune
from tfsession.runtime.rewrite import rewrite
from tfsession.runtime.run_metadata import PlanMetadata
from tfsession.runtime.segments import Function, Value
from tfsession.runtime.structure import each_within
from tfsession.runtime.transfer_guard import Guard

# While operations are put back as a session saw them.
_one_at_a_time = forking.rlock()


# From a NameAttrList, what runs the function.
CallableOf = Callable[[Any], Called]


class KernelContext:
    """What a stateful kernel may use: arrays, device, its node's name, the session's state.

    `function` gives a function of the graph by its NameAttrList, to be called with host values;
    `find_device` the session's device of a name, None if it has none.
    """

    __slots__ = (
        *("device", "find_device", "function", "memory", "name", "resources", "state", "tensors"),
        "xp",
    )

    def __init__(
        self,
        node: Node,
        session: SessionState,
        function: CallableOf,
        find_device: Callable[[str], Device | None],
    ) -> None:
        self.function = function
        self.find_device = find_device
        self.device = node.device
        self.memory = node.memory
        self.xp = array_module(node)
        self.name = node.op.name
        self.resources = session.on(node.device.name)
        self.state = self.resources.node_state(node.op.name)
        self.tensors = session.tensors

    def each_step(self, make: Callable[[], Any]) -> tuple[Any, bool]:
        """What `make` gives on the host for this step, an array, and False.

        Where a step is recorded, that is an array of the device, which holds something new at each
        replay, and True.
        """
        watch = None if self.memory is None else self.memory.watch
        return (make(), False) if watch is None else watch.each_step(make)

    def array_of_each_step(self, make: Callable[[], Any]) -> Any:
        """As `each_step`, but always an array of the memory in which the node computes."""
        memory = self.memory
        return memory.array_of_each_step(make) if isinstance(memory, Accelerator) else make()

    @property
    def update_lock(self) -> Any:
        """The lock that the device's variables share; None where each has its own."""
        return self.device.update_lock


def array_module(node: Node) -> Any:
    """NumPy, or the array module of the GPU in whose memory the node computes."""
    return np if node.memory is None else node.memory.xp


class Engine:
    """Runs steps of one graph on one set of devices.

    The graph may grow between runs: it is placed again then, stateful operations keeping their
    devices, and plans made before stay valid.
    """

    def __init__(
        self,
        graph: Graph,
        devices: DeviceManager,
        *,
        allow_soft_placement: bool = False,
        log_device_placement: bool = False,
        place_pruned_graph: bool = False,
        transfer_guard: Guard | None = None,
        terms: RunTerms | None = None,
    ) -> None:
        self.graph = graph
        self.devices = devices
        self.state = SessionState()
        self.cancellation = CancellationManager()
        self.terms = terms or RunTerms()
        self.place_pruned_graph = place_pruned_graph
        self.transfer_guard = transfer_guard
        self._placer = Placer(
            devices.devices,
            allow_soft_placement=allow_soft_placement,
            log_device_placement=log_device_placement,
        )
        self._functions = Functions(graph)
        self._called: dict[bytes, Signature] = {}
        self.spares = Spares()
        self._lock = forking.rlock()
        self._placement: dict[Operation, Device] = {}
        self._seen: dict[Operation, tuple[Any, ...]] = {}
        self._placed_version = -1
        self._plans: dict[Signature, Plan] = {}
        self._metadata: dict[Plan, PlanMetadata] = {}
        self._node_numbers = count()
        # By operation, and where it puts them.
        self._constants: dict[tuple[Operation, tuple[Memory, ...]], Value] = {}
        # What callers keep for signatures of their own; emptied in place when it may be wrong.
        self.steps: dict[Any, Any] = {}
        self.times_forgotten = 0
        # Types of operations that a device has refused to record.
        self.unrecorded: set[str] = set()
        self.closed = False
        graph._watchers.add(self)

    def keep_as_seen(self, op: Operation) -> bool:
        """Whether the operation was placed already: then it stays here as it is now."""
        if op not in self._placement:
            return False
        self._seen.setdefault(op, (op.inputs, op.control_inputs, dict(op.attrs)))
        return True

    @contextmanager
    def as_seen(self) -> Iterator[None]:
        """Operations that a program has changed are, in the block, as this session saw them."""
        if not self._seen:
            yield
            return
        with _one_at_a_time:
            now = {op: (op.inputs, op.control_inputs, op.attrs) for op in self._seen}
            try:
                for op, seen in self._seen.items():
                    op.inputs, op.control_inputs, op.attrs = seen
                yield
            finally:
                for op, changed in now.items():
                    op.inputs, op.control_inputs, op.attrs = changed

    def plan(self, signature: Signature) -> Plan:
        """The plan of a step, compiled at first sight.

        Raises:
            InvalidArgumentError: an operation of the graph cannot be placed.
            CancelledError: the engine is closed.
        """
        if self._placed_version == self.graph._version:
            plan = self._plans.get(signature)
            if plan is not None:
                return plan
        with self._lock, no_collections():
            self.check_open()
            self._extend()
            plan = self._plans.get(signature)
            if plan is None:
                self.terms.check_executor()
                with self.as_seen():
                    plan = self._plans[signature] = self._compile(signature)
            return plan

    def _compile(self, signature: Signature) -> Plan:
        signature, ops, placement = self._placed_for(signature)
        check_loaded(self.graph, ops, signature.feeds, dict(signature.lowered))
        signature, left = rewrite(ops, placement, signature, self.terms.optimizations, self)
        return compile_plan(left, placement, signature, self)

    def _placed_for(
        self, signature: Signature
    ) -> tuple[Signature, list[Operation], Mapping[Operation, Device]]:
        """The step with the bodies of functions for calls, what it runs, in order, and where."""
        signature = self._functions.lowered(signature)
        ops = self.needed(signature)
        check_replaced_inputs(ops, signature.feeds, dict(signature.connections))
        if signature.lowered or (ops and ops[0].graph is not self.graph):
            placement = self._placer.place(ops, self._placement)
            self._placement = {**placement, **self._placement}
            return signature, ops, placement
        return signature, ops, self._place(ops)

    @staticmethod
    def needed(signature: Signature) -> list[Operation]:
        """The operations that a step runs, in an order in which they can run."""
        return prune(signature.fetches, signature.targets, signature.feeds, signature.wiring)

    def runner(self, plan: Plan) -> Callable[[Sequence[Value]], list[Value]]:
        """Runs the plan under the session's own terms."""
        control = self.terms.default
        if not self.terms.counts_runs:
            return plan.run if control is None else lambda values: plan.execute(values, control())
        begin = self.metadata(plan).begin

        def run(values: Sequence[Value]) -> list[Value]:
            begin(None, is_wanted=False)
            return plan.run(values) if control is None else plan.execute(values, control())

        return run

    def metadata(self, plan: Plan) -> PlanMetadata:
        """What RunMetadata tells of a plan, made when first asked for."""
        with self._lock:
            found = self._metadata.get(plan)
            if found is None:
                host, config = self.devices.host, self.terms.config
                found = self._metadata[plan] = PlanMetadata(plan, host, self._node_numbers, config)
            return found

    def adopt(self, value: Any) -> tuple[Any, Device] | None:
        """A device array that a program holds, as an array of one of these devices, uncopied.

        None when it lies in host memory; TypeError when it lies on a device that is not here.
        """
        if not is_device_array(value):
            return None
        for device in self.devices.devices:
            array = device.adopt(value)
            if array is not None:
                return array, device
        raise TypeError(
            f"The fed {type(value).__name__} lies on {place_of(value)}, which is none of this "
            "session's devices: bring it to the host first, or let the session see that device."
        )

    def kept(self, handle: TensorHandle) -> SessionTensor:
        """What a handle stands for.

        Raises:
            CancelledError: the engine is closed.
            InvalidArgumentError: this session does not have it.
        """
        self.check_open()
        own = handle._session._engine is self
        found = self.state.tensors.get(handle.handle) if own else None
        if found is None:
            raise InvalidArgumentError(
                None, None, f"The tensor with handle '{handle}' is not in the session store."
            )
        return found

    def extend(self) -> None:
        """Place what the graph has grown by; raises as `plan` does."""
        if self._placed_version != self.graph._version:
            with self._lock:
                self.check_open()
                self._extend()

    def check_open(self) -> None:
        """Raise CancelledError when the engine is closed."""
        if self.closed:
            raise CancelledError(None, None, "Session has been closed.")

    def forget_steps(self) -> None:
        """Empty `steps`: what may be fed or fetched has changed."""
        self.times_forgotten += 1
        self.steps.clear()

    @contextmanager
    def placed(self) -> Iterator[Placer]:
        """The placer, with the graph placed as a run would place it; nothing changes meanwhile.

        Raises as `plan` does.
        """
        with self._lock:
            self.check_open()
            self._extend()
            with self.as_seen():
                yield self._placer

    def layout(self, signature: Signature) -> tuple[Signature, list[Operation], Layout]:
        """The step with the bodies of functions for calls, what it asks for, and how it is cut.

        What is not asked to run is left out of the segments where the step can do without.
        Nothing is made ready for running.

        Raises as `plan` does.
        """
        with self.placed():
            signature, ops, placement = self._placed_for(signature)
            optimizations = self.terms.optimizations
            signature, left = rewrite(ops, placement, signature, optimizations, self)
            return signature, ops, lay_out(left, placement, signature, self.strips_debug)

    def _extend(self) -> None:
        version = self.graph._version
        if version == self._placed_version:
            return
        if not self.place_pruned_graph:
            self._placement = self._placer.place(self.graph.get_operations(), self._placement)
        self._placed_version = version

    def _place(self, ops: Sequence[Operation]) -> dict[Operation, Device]:
        if not self.place_pruned_graph:
            return self._placement
        placement = self._placer.place(ops, self._placement)
        self._placement = {**self._placement, **placement}
        return placement

    def placement(self) -> dict[Operation, Device]:
        """The device of each operation placed so far."""
        with self._lock:
            if not self.place_pruned_graph:
                self._extend()
            return dict(self._placement)

    def callable_of(self, name_attrs: Any) -> Called:
        """A function of the graph as one of Python.

        Raises as `plan` does.
        """
        key = name_attrs.SerializeToString(deterministic=True)
        with self._lock:
            signature = self._called.get(key)
            if signature is None:
                signature = self._called[key] = self._functions.called_by_kernels(name_attrs)
        called = Called(signature, self.plan)
        for node in each_within(called.nodes):
            # Random numbers begin again with whoever asks for the function.
            self.state.on(node.device.name).node_state(node.op.name).pop("philox", None)
        return called

    def _device_named(self, name: str) -> Device | None:
        try:
            return self.devices.find(name)
        except InvalidArgumentError:
            return None

    # --- what compile.Binder asks for -----------------------------------------------------------

    def cannot_record(self, node: Node) -> None:
        """A device has refused to record an operation: steps are cut there from now on."""
        with self._lock:
            self.unrecorded.add(node.kernel.name)
            for signature, plan in list(self._plans.items()):
                if any(other.op is node.op for other in each_within(plan.nodes)):
                    del self._plans[signature]
            self.forget_steps()

    @property
    def threads(self) -> int:
        """How many threads may compute for a step; 0 for as many as there are cores."""
        return self.terms.threads

    @property
    def fuses(self) -> bool:
        """Whether the session's configuration lets operations be computed together."""
        return self.terms.optimizations.fuses

    @property
    def records(self) -> bool:
        """Whether the session's configuration lets GPUs record what they do."""
        return self.terms.optimizations.records

    @property
    def strips_debug(self) -> bool:
        """Whether the session's configuration takes checks and prints out of steps."""
        return self.terms.strips_debug

    def bind(self, node: Node) -> Function:
        """The kernel of a node as a function of its inputs, bound to this session's state."""
        kernel, op = node.kernel, node.op
        if kernel.ufunc is not None and node.memory is None and node.device.ledger is None:
            return kernel.bind(np, op.op_def, op.attrs)
        first = (
            KernelContext(node, self.state, self.callable_of, self._device_named)
            if kernel.stateful
            else array_module(node)
        )
        function = kernel.bind(first, op.op_def, op.attrs)
        device = node.allocator
        # A constant on the host is the graph's own array.
        if device is None or device.ledger is None or kernel.constant:
            return function
        if device.asks_ahead and not kernel.aliases:
            function = asking_ahead(function, op, device.ledger)
        return device.shown(device.counting(function), op.name)

    def constant(self, node: Node) -> Value:
        """The value of a constant node in its memory, made once for the session."""
        key = (node.op, node.output_memories)
        value = self._constants.get(key)
        if value is None:
            try:
                value = self._call(node, ())
            except Exception as error:
                raise failure_of(error, None, [node.op]) from None
            if value is not node.op.attrs.get("value"):
                self._constants[key] = value
        return value

    # --- what rewriting asks for ----------------------------------------------------------------

    def known_constant(self, node: Node) -> Value | None:
        """The value of a node that `constant` has made before."""
        return self._constants.get((node.op, node.output_memories))

    def evaluate(self, node: Node, values: Sequence[Value]) -> Value:
        """What the kernel of a node gives, as in a step."""
        before = settings()
        try:
            use(SILENT)
            return self._call(node, values)
        finally:
            use(before)

    def _call(self, node: Node, values: Sequence[Value]) -> Value:
        kernel, op = node.kernel, node.op
        if node.memory is None and kernel.constant and not kernel.stateful:
            return kernel.give(np, op.op_def, op.attrs)
        memory = nullcontext() if node.memory is None else node.memory.activate()
        with memory, on_behalf_of(op.name, op.type):
            return self.bind(node)(*values)

    def close(self) -> None:
        """Forget plans and state, and give all device memory back. Idempotent."""
        with self._lock:
            # Also when closed: steps that run nothing are kept between `reset` and this.
            self.steps.clear()
            if self.closed:
                return
            self.closed = True
            self.cancellation.cancel()
            self._placed_version = -1
            for plan in self._plans.values():
                plan.release()
            self._plans.clear()
            self._metadata.clear()
            self._constants.clear()
            self.state.clear()
            self.spares.clear()
            self.devices.close()
            self._placement = {}  # changes of operations are no matter any more
