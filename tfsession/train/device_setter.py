"""Devices of replicas: variables with the parameter servers, the rest with the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tfsession.core import verbosity
from tfsession.core.device_spec import DeviceSpecV1
from tfsession.core.exports import export
from tfsession.train.cluster import ClusterSpec

# The operations whose state belongs to parameter servers.
_STANDARD_OPS: Final = (
    *("Variable", "VariableV2", "AutoReloadVariable", "VarHandleOp"),
    *("MutableHashTable", "MutableHashTableV2"),
    *("MutableHashTableOfTensors", "MutableHashTableOfTensorsV2"),
    *("MutableDenseHashTable", "MutableDenseHashTableV2", "ResourceConditionalAccumulator"),
    *("BoostedTreesEnsembleResourceHandleOp", "BoostedTreesQuantileStreamResourceHandleOp"),
    "DecisionTreeResource",
)


class _RoundRobin:
    def __init__(self, num_tasks: int) -> None:
        self._num_tasks = num_tasks
        self._next = 0

    def __call__(self, op: Any) -> int:
        task, self._next = self._next, (self._next + 1) % self._num_tasks
        return task


@export("train.replica_device_setter")
def replica_device_setter(
    ps_tasks: int = 0,
    ps_device: str = "/job:ps",
    worker_device: str = "/job:worker",
    merge_devices: bool = True,
    cluster: Any = None,
    ps_ops: Sequence[str] | None = None,
    ps_strategy: Any = None,
) -> Callable[[Any], str] | None:
    """A function for `tf.device`: variables to the tasks of parameter servers, in turn.

    Args:
        ps_tasks: how many tasks of `ps_device`'s job there are.
        ps_device: the device of variables.
        worker_device: the device of other operations.
        merge_devices: fill up the devices that operations ask for; else leave those alone.
        cluster: a ClusterSpec, or what can be made one, that says how many tasks there are.
        ps_ops: types of operations that count as variables.
        ps_strategy: `f(operation)` that gives the task of a variable.

    Returns:
        The function; None when there are no such tasks.

    Raises:
        TypeError: `ps_strategy` cannot be called, or `cluster` is no cluster.
    """
    if cluster is not None:
        spec = ClusterSpec(cluster)
        job = DeviceSpecV1.from_string(ps_device).job
        ps_tasks = spec.num_tasks(job) if job in spec.jobs else 0
    if ps_tasks == 0:
        return None
    if not merge_devices:
        verbosity.warning(
            "DEPRECATION: It is recommended to set merge_devices=true in replica_device_setter"
        )
    strategy = _RoundRobin(ps_tasks) if ps_strategy is None else ps_strategy
    if not callable(strategy):
        raise TypeError("ps_strategy must be callable")
    ps_types = frozenset(_STANDARD_OPS if ps_ops is None else ps_ops)

    def device(op: Any) -> str:
        if op.device and not merge_devices:
            return str(op.device)
        asked = DeviceSpecV1.from_string(op.device or "")
        op_type = op.type if hasattr(op, "type") else op.op  # a NodeDef has `op`
        found = DeviceSpecV1.from_string(worker_device or "")
        if ps_device and op_type in ps_types:
            found = DeviceSpecV1.from_string(ps_device)
            if found.job and asked.job in (None, found.job):
                found = found.replace(task=strategy(op))
        return str(found.make_merged_spec(asked).to_string())

    return device


@export("contrib.training.GreedyLoadBalancingStrategy")
class GreedyLoadBalancingStrategy:
    """A `ps_strategy`: each variable to the task with the least load so far.

    Args:
        num_tasks: how many tasks there are.
        load_fn: `f(operation)` that gives the load of a variable.
    """

    def __init__(self, num_tasks: int, load_fn: Callable[[Any], float]) -> None:
        self._load_fn = load_fn
        self._loads = np.zeros(num_tasks)

    def __call__(self, op: Any) -> int:
        """The task of a variable."""
        task = int(np.argmin(self._loads))
        self._loads[task] += self._load_fn(op)
        return task


@export("contrib.training.byte_size_load_fn")
def byte_size_load_fn(op: Any) -> float:
    """The bytes that a variable takes.

    Raises:
        ValueError: the operation has not one output, or its shape is not known.
    """
    if len(op.outputs) != 1:
        raise ValueError(f"Op {op} must have a single output")
    output = op.outputs[0]
    count = output.shape.num_elements()
    if count is None:
        raise ValueError(f"Incomplete shape: {output.shape}")
    return float(output.dtype.base_dtype.size * count)
