"""The global step: a variable that counts training steps."""

from __future__ import annotations

from typing import Any, Final

from tfsession.core.dtypes import int64
from tfsession.core.exports import export
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.cond import cond
from tfsession.ops.initializers import Zeros
from tfsession.ops.state import is_variable_initialized
from tfsession.ops.variable_scope import get_variable
from tfsession.ops.variables import VariableAggregation

_READ_KEY: Final = "global_step_read_op_cache"


@export("train.global_step")
def global_step(sess: Any, global_step_tensor: Any) -> int:
    """The value of the global step in a session."""
    return int(sess.run(global_step_tensor))


@export("train.get_global_step")
def get_global_step(graph: Graph | None = None) -> Any:
    """The global step of a graph, or None.

    Raises:
        TypeError: the collection holds something that is no integer scalar.
    """
    graph = graph or get_default_graph()
    steps = graph.get_collection(GraphKeys.GLOBAL_STEP)
    if len(steps) == 1:
        found = steps[0]
    elif not steps:
        if "global_step" not in graph._ops:
            return None
        found = graph.get_tensor_by_name("global_step:0")
    else:
        return None
    assert_global_step(found)
    return found


@export("train.create_global_step")
def create_global_step(graph: Graph | None = None) -> Any:
    """Make the global step; raises ValueError when there is one."""
    graph = graph or get_default_graph()
    if get_global_step(graph) is not None:
        raise ValueError('"global_step" already exists.')
    with graph.as_default(), graph.name_scope(None):
        return get_variable(
            GraphKeys.GLOBAL_STEP,
            shape=[],
            dtype=int64,
            initializer=Zeros(),
            trainable=False,
            collections=[GraphKeys.GLOBAL_VARIABLES, GraphKeys.GLOBAL_STEP],
            aggregation=VariableAggregation.ONLY_FIRST_REPLICA,
        )


@export("train.get_or_create_global_step")
def get_or_create_global_step(graph: Graph | None = None) -> Any:
    """The global step of a graph, made when there is none."""
    graph = graph or get_default_graph()
    found = get_global_step(graph)
    return create_global_step(graph) if found is None else found


@export("train.assert_global_step")
def assert_global_step(global_step_tensor: Any) -> None:
    """Raise TypeError unless the tensor or variable is an integer scalar."""
    if not global_step_tensor.dtype.base_dtype.is_integer:
        raise TypeError(
            f'Existing "global_step" does not have integer type: {global_step_tensor.dtype}'
        )
    rank = global_step_tensor.shape.ndims
    if rank not in (None, 0):
        raise TypeError(f'Existing "global_step" is not scalar: {global_step_tensor.shape}')


def global_step_read(graph: Graph | None = None) -> Tensor | None:
    """A tensor with the global step's value, or initial value; made once. None without a step.

    It is a copy: what counts the step in the same run does not change it.
    """
    graph = graph or get_default_graph()
    made = graph.get_collection(_READ_KEY)
    if made:
        return made[0]  # type: ignore[no-any-return]
    step = get_global_step(graph)
    if step is None:
        return None
    with graph.as_default(), graph.name_scope(None), graph.name_scope(f"{step.op.name}/"):
        if not isinstance(step, Tensor):
            initialized = is_variable_initialized(step)
            step = cond(initialized, step.read_value, lambda initial=step.initial_value: initial)
        read: Tensor = step + 0
        graph.add_to_collection(_READ_KEY, read)
    return read
