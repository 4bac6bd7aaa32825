"""SyncReplicasOptimizer: one update from the gradients of several replicas of a training step.

Each replica adds its gradients to accumulators, and waits for a token before its next step. A
thread of the chief's takes the averages, updates the variables, and hands out the tokens, which
tell the replicas the number of the next step: gradients of older steps are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from tfsession.core import verbosity
from tfsession.core.exports import export
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.accumulator import ConditionalAccumulator, SparseConditionalAccumulator
from tfsession.ops.constant import fill, group, no_op
from tfsession.ops.queue_kinds import FIFOQueue
from tfsession.ops.state import assign
from tfsession.ops.variables import Variable, global_variables, report_uninitialized_variables
from tfsession.train.optimizer import Optimizer
from tfsession.train.queue_runner import QueueRunner
from tfsession.train.session_hooks import SessionRunHook
from tfsession.train.session_manager import uninitialized


@export("train.SyncReplicasOptimizer")
class SyncReplicasOptimizer(Optimizer):
    """Averages the gradients of several replicas, and updates the variables once for all of them.

    The replicas are threads that run the training operation in one session. One of them, the chief,
    has the hook that `make_session_run_hook(True)` gives, which starts the thread of the updates.

    Args:
        opt: the optimizer that updates the variables.
        replicas_to_aggregate: how many gradients make an update.
        total_num_replicas: how many replicas there are; `replicas_to_aggregate` when None. Of more,
            the last ones of each step are dropped; with fewer, each gives several gradients.
        variable_averages: an ExponentialMovingAverage that is updated with the variables, or None.
        variables_to_average: the variables that it averages, or None.
        use_locking: not needed: updates are atomic here.
        name: the name scope of what is made.
    """

    def __init__(
        self,
        opt: Optimizer,
        replicas_to_aggregate: int,
        total_num_replicas: int | None = None,
        variable_averages: Any = None,
        variables_to_average: Any = None,
        use_locking: bool = False,
        name: str = "sync_replicas",
    ) -> None:
        if total_num_replicas is None:
            total_num_replicas = replicas_to_aggregate
        super().__init__(use_locking, name)
        verbosity.info(
            "SyncReplicasOptimizer: %s gradients an update, of %s replicas",
            replicas_to_aggregate,
            total_num_replicas,
        )
        self._opt = opt
        self._replicas_to_aggregate = replicas_to_aggregate
        self._total_num_replicas = total_num_replicas
        self._tokens_per_step = max(total_num_replicas, replicas_to_aggregate)
        self._variable_averages = variable_averages
        self._variables_to_average = variables_to_average
        self._global_step: Any = None
        self._local_step: Any = None
        self._sync_token_queue: Any = None
        self._chief_queue_runner: QueueRunner | None = None
        self.local_step_init_op: Any = None
        self.ready_for_local_init_op: Any = None
        self.chief_init_op: Any = None

    def compute_gradients(self, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """Pairs of a gradient and its variable, as the optimizer inside computes them."""
        return self._opt.compute_gradients(*args, **kwargs)

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, Any]],
        global_step: Any = None,
        name: str | None = None,
    ) -> Any:
        """The operation that adds the gradients to the accumulators and waits for the next step.

        Raises:
            ValueError: there are no variables, or no global step.
        """
        pairs = list(grads_and_vars)
        if not pairs:
            raise ValueError("Must supply at least one variable")
        if global_step is None:
            raise ValueError("Global step is required to check staleness")
        self._global_step = global_step
        graph = get_default_graph()
        with graph.colocate_with(no_op()):
            self._local_step = Variable(
                initial_value=0,
                trainable=False,
                collections=[GraphKeys.LOCAL_VARIABLES],
                dtype=global_step.dtype.base_dtype,
                name="sync_rep_local_step",
            )
        self.local_step_init_op = assign(self._local_step, global_step)
        self.ready_for_local_init_op = report_uninitialized_variables(global_variables())
        with graph.name_scope(self._name):
            accumulators, adds, averages = self._accumulate(pairs)
            with self._beside_step():
                update = self._opt.apply_gradients(averages, global_step)
            with self._beside_step():
                queue = FIFOQueue(
                    -1,
                    global_step.dtype.base_dtype,
                    shapes=(),
                    name="sync_token_q",
                    shared_name="sync_token_q",
                )
            self._sync_token_queue = queue
            train_op = self._wait_for_token(adds, update)
            steps = []
            for accumulator, device in accumulators:
                with graph.device(device):
                    steps.append(accumulator.set_global_step(global_step, name="SetGlobalStep"))
            self.chief_init_op = group(self.local_step_init_op, *steps)
        return train_op

    def _beside_step(self) -> AbstractContextManager[Any]:
        """Outside of all name scopes, on the device of the global step."""
        graph, stacked = get_default_graph(), ExitStack()
        stacked.enter_context(graph.device(self._global_step.device))
        stacked.enter_context(graph.name_scope(""))
        return stacked

    def _accumulate(self, pairs: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any], list[Any]]:
        """Accumulators with their devices, what adds to them, and pairs of what is taken."""
        accumulators: list[Any] = []
        adds: list[Operation] = []
        averages: list[Any] = []
        for grad, variable in pairs:
            with get_default_graph().device(variable.device):
                if grad is None:
                    averages.append((None, variable))
                    continue
                name, count = f"{variable.name}/grad_accum", self._replicas_to_aggregate
                taken: Any
                if isinstance(grad, Tensor):
                    dense = ConditionalAccumulator(grad.dtype, variable.get_shape(), name)
                    adds.append(dense.apply_grad(grad, self._local_step))
                    accumulator, taken = dense, dense.take_grad(count)
                elif isinstance(grad, IndexedSlices):
                    sparse = SparseConditionalAccumulator(grad.dtype, (), name)
                    adds.append(sparse.apply_indexed_slices_grad(grad, self._local_step))
                    accumulator, taken = sparse, sparse.take_indexed_slices_grad(count)
                else:
                    raise ValueError(f"Unknown grad type! {grad}")
                averages.append((taken, variable))
                accumulators.append((accumulator, variable.device))
        return accumulators, adds, averages

    def _wait_for_token(self, adds: list[Operation], update: Any) -> Any:
        """The training operation; makes the runner that updates and hands out tokens."""
        graph, queue = get_default_graph(), self._sync_token_queue
        with self._beside_step():
            with graph.control_dependencies(adds):
                token = queue.dequeue()
            train_op = assign(self._local_step, token)
            with graph.control_dependencies([update]):
                tokens = fill([self._tokens_per_step], self._global_step)
                sync_op = queue.enqueue_many((tokens,))
            if self._variable_averages is not None:
                with graph.control_dependencies([sync_op]), graph.name_scope(""):
                    sync_op = self._variable_averages.apply(self._variables_to_average)
            self._chief_queue_runner = QueueRunner(queue, [sync_op])
        return train_op

    def get_chief_queue_runner(self) -> QueueRunner:
        """The runner of the chief: it updates the variables and hands out the tokens.

        Raises:
            ValueError: `apply_gradients` was not called yet.
        """
        if self._chief_queue_runner is None:
            raise ValueError("Should be called after apply_gradients().")
        return self._chief_queue_runner

    def get_init_tokens_op(self, num_tokens: int = -1) -> Operation:
        """The operation that hands out the first tokens.

        Args:
            num_tokens: how many; `replicas_to_aggregate` for -1. With fewer replicas than gradients
                of an update there must be one for each gradient that is missing.

        Raises:
            ValueError: too few tokens for the first update, or `apply_gradients` was not called.
        """
        if self._chief_queue_runner is None:
            raise ValueError("get_init_tokens_op() should be called after apply_gradients().")
        needed = self._replicas_to_aggregate - self._total_num_replicas
        if num_tokens == -1:
            num_tokens = self._replicas_to_aggregate
        elif num_tokens < needed:
            raise ValueError(
                f"Too few tokens to finish the first step: {num_tokens} (given) vs {needed} "
                "(needed)"
            )
        if num_tokens <= 0:
            return no_op(name="no_init_tokens")
        with self._beside_step():
            tokens = fill([num_tokens], self._global_step)
            operation: Operation = self._sync_token_queue.enqueue_many((tokens,))
        return operation

    def make_session_run_hook(self, is_chief: bool, num_tokens: int = -1) -> SessionRunHook:
        """The hook that a replica needs: it sets its step; the chief's starts the updates, too."""
        return _SyncReplicasOptimizerHook(self, is_chief, num_tokens)

    def get_slot(self, *args: Any, **kwargs: Any) -> Any:
        """The slot of a variable in the optimizer inside, or None."""
        return self._opt.get_slot(*args, **kwargs)

    def get_slot_names(self, *args: Any, **kwargs: Any) -> list[str]:
        """The names of the slots of the optimizer inside."""
        return self._opt.get_slot_names(*args, **kwargs)

    def variables(self) -> list[Any]:
        """The variables of the optimizer inside, by name."""
        return self._opt.variables()


class _SyncReplicasOptimizerHook(SessionRunHook):
    """Initializes the local step; for the chief, hands out tokens and starts the updates."""

    def __init__(self, optimizer: SyncReplicasOptimizer, is_chief: bool, num_tokens: int) -> None:
        self._sync_optimizer = optimizer
        self._is_chief = is_chief
        self._num_tokens = num_tokens
        self._local_init_op: Any = None
        self._init_tokens_op: Any = None
        self._q_runner: QueueRunner | None = None

    def begin(self) -> None:
        optimizer = self._sync_optimizer
        if optimizer.chief_init_op is None:
            raise ValueError(
                "SyncReplicasOptimizer.apply_gradient should be called before using the hook."
            )
        self._local_init_op = optimizer.local_step_init_op
        if self._is_chief:
            self._local_init_op = optimizer.chief_init_op
            self._q_runner = optimizer.get_chief_queue_runner()
            self._init_tokens_op = optimizer.get_init_tokens_op(self._num_tokens)

    def after_create_session(self, session: Any, coord: Any) -> None:
        missing = uninitialized(
            self._sync_optimizer.ready_for_local_init_op,
            session,
            "Model is not ready for SyncReplicasOptimizer local init.",
        )
        if missing is not None:
            raise RuntimeError(
                "Init operations did not make model ready for SyncReplicasOptimizer local_init. "
                f"Init op: {self._local_init_op.name}, error: {missing}"
            )
        session.run(self._local_init_op)
        if self._init_tokens_op is not None:
            session.run(self._init_tokens_op)
        if self._q_runner is not None:
            self._q_runner.create_threads(session, coord=coord, daemon=True, start=True)
