"""How gradients flow back through variables: to the handle of a resource variable, as they come."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.join import concat
from tfsession.ops.shape import reshape, size

no_gradient("VariableV2", "Variable", "TemporaryVariable", "DestroyTemporaryVariable")
no_gradient("IsVariableInitialized", "VarIsInitializedOp", "VariableShape", "VarHandleOp")
no_gradient("Assign", "AssignAdd", "AssignSub", "CountUpTo", "DestroyResourceOp")
no_gradient("DisableCopyOnRead")
no_gradient("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")
for _kind in ("Update", "Add", "Sub", "Mul", "Div", "Min", "Max"):
    no_gradient(f"Scatter{_kind}", f"ResourceScatter{_kind}")
for _kind in ("Update", "Add", "Sub", "Min", "Max"):
    no_gradient(f"ScatterNd{_kind}", f"ResourceScatterNd{_kind}")


@gradient("ReadVariableOp")
def _read_variable(op: Operation, grad: Any) -> Any:
    return grad


@gradient("ResourceGather")
def _resource_gather(op: Operation, grad: Tensor) -> list[Any]:
    handle, indices = op.inputs
    shape = create_op("VariableShape", [handle])
    rows = reshape(indices, [-1])
    values = reshape(grad, concat([reshape(size(indices), [1]), shape[1:]], 0))
    return [IndexedSlices(values, rows, shape), None]


@gradient("ResourceGatherNd")
def _resource_gather_nd(op: Operation, grad: Tensor) -> list[Any]:
    handle, indices = op.inputs
    shape = create_op("VariableShape", [handle], {"out_type": indices.dtype})
    if indices._shape is not None and len(indices._shape) == 2 and indices._shape[-1] == 1:
        return [IndexedSlices(grad, reshape(indices, [-1]), shape), None]
    return [create_op("ScatterNd", [indices, grad, shape]), None]
