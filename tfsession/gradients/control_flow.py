"""How gradients flow back through conditionals: by the way on which the value came.

The gradient of a Merge goes back through a Switch on the same predicate; the gradient of a Switch
is the Merge of what comes back on both ways, zeros where the value went the other way.
"""

from __future__ import annotations

from typing import Any, NoReturn

from tfsession.core.dtypes import int64
from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.context import CondContext, WhileContext, switch
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.nesting import context_of_outputs
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal
from tfsession.ops.cond import merge
from tfsession.ops.sequence import range_

no_gradient("LoopCond", "ControlTrigger")


def _refuse_loop(op: Operation) -> NoReturn:
    raise NotImplementedError(
        f"Gradients through loops are not there yet: operation '{op.name}' ({op.type}) is part of "
        "one. Unroll the loop, or stop the gradient before it with tf.stop_gradient."
    )


@gradient("Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "RefNextIteration")
def _of_a_loop(op: Operation, grad: Any) -> NoReturn:
    _refuse_loop(op)


@gradient("Switch", "RefSwitch")
def _switch(op: Operation, *grads: Any) -> tuple[Tensor | None, None]:
    pred, context = op.inputs[1], op._control_flow_context
    if isinstance(context, WhileContext):
        _refuse_loop(op)
    if isinstance(context, CondContext):
        if grads[1 - context.branch] is None:
            return None, None
        return _merged(list(grads), "cond_grad"), None
    return _merged([_switched(grad, pred)[way] for way, grad in enumerate(grads)], "Merge"), None


@gradient("Merge", "RefMerge")
def _merge(op: Operation, grad: Any, _: Any) -> list[Any]:
    context = context_of_outputs(op.inputs[0].op)
    if isinstance(context, WhileContext):
        _refuse_loop(op)
    if isinstance(context, CondContext):
        return _switched(grad, context.pred, "cond_grad")
    came = [equal(op.outputs[1], index) for index in range(len(op.inputs))]
    return [_switched(grad, this)[1] for this in came]


def _as_slices(grad: Any) -> IndexedSlices:
    if isinstance(grad, IndexedSlices):
        return grad
    shape = create_op("Shape", [grad])
    return IndexedSlices(grad, range_(0, shape[0]), shape)


def _merged(grads: list[Any], name: str) -> Any:
    """Whichever of two gradients is there; as slices if one of them is."""
    if not any(isinstance(grad, IndexedSlices) for grad in grads):
        return merge(grads, name)
    with grads[0].graph.name_scope(name):
        slices = [_as_slices(grad) for grad in grads]
        if len({part.indices.dtype for part in slices}) > 1:
            slices = [
                IndexedSlices(part.values, cast(part.indices, int64), part.dense_shape)
                for part in slices
            ]
        pairs = zip(*((s.values, s.indices, s.dense_shape) for s in slices), strict=True)
        return IndexedSlices(*[merge(list(pair)) for pair in pairs])


def _switched(grad: Any, pred: Tensor, name: str = "Switch") -> list[Any]:
    """Both ways out of a Switch for a gradient."""
    if not isinstance(grad, IndexedSlices):
        return list(switch(grad, pred, name))
    parts = [
        [None, None] if part is None else switch(part, pred)
        for part in (grad.values, grad.indices, grad.dense_shape)
    ]
    return [IndexedSlices(*[part[way] for part in parts]) for way in (0, 1)]
