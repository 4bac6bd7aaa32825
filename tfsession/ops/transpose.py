"""The same elements in another order of dimensions."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import rank as rank_of


def _transpose_shape(op: Operation) -> list[Shape]:
    shape, perm = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 1)
    length = perm[0] if perm is not None else None
    if shape is None:
        return [None if length is None else (None,) * length]
    rank = len(shape)
    if length is not None and length != rank:
        raise ValueError(f"Dimension must be {rank} but is {length}")
    order = constant_value(op.inputs[1])
    if order is None:
        return [(None,) * rank]
    for dim in order.tolist():
        if not -rank <= dim < rank:
            raise ValueError(f"perm dim {dim} is out of range of input rank {rank}")
    return [tuple(shape[dim] for dim in order.tolist())]


for _name in ("Transpose", "ConjugateTranspose"):
    define_op(
        _name,
        inputs=["x: T", "perm: Tperm"],
        outputs=["y: T"],
        attrs=["T: type", "Tperm: {int32, int64} = DT_INT32"],
        shape=_transpose_shape,
    )
define_op(
    "InvertPermutation",
    inputs=["x: T"],
    outputs=["y: T"],
    attrs=["T: {int32, int64} = DT_INT32"],
    shape=lambda op: [with_rank(op.inputs[0]._shape, 1)],
)


def _blocks(op: Operation, shrink: bool) -> list[Shape]:
    """The shape when blocks go from the image to the depth (`shrink`), or back."""
    shape, block = with_rank(op.inputs[0]._shape, 4), op.attrs["block_size"]
    assert shape is not None
    depth = 1 if op.attrs["data_format"] == b"NCHW" else 3
    sizes = list(shape)
    for axis in range(1, 4):
        size, factor = sizes[axis], block * block if axis == depth else block
        if size is None:
            continue
        if (axis == depth) == shrink:
            sizes[axis] = size * factor
        elif size % factor:
            raise ValueError(f"Dimension size must be evenly divisible by {factor} but is {size}")
        else:
            sizes[axis] = size // factor
    return [tuple(sizes)]


_BLOCK_ATTRS = [
    "T: type",
    "block_size: int >= 2",
    "data_format: {'NHWC', 'NCHW', 'NCHW_VECT_C'} = 'NHWC'",
]
define_op(
    "DepthToSpace",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=_BLOCK_ATTRS,
    shape=lambda op: _blocks(op, shrink=False),
)
define_op(
    "SpaceToDepth",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=_BLOCK_ATTRS,
    shape=lambda op: _blocks(op, shrink=True),
)


@export("transpose")
def transpose(
    a: Any, perm: Any = None, name: str | None = "transpose", conjugate: bool = False
) -> Tensor:
    """The dimensions of `a` in the order `perm`, or in reverse order.

    Args:
        a: tensor.
        perm: the dimension of `a` that each dimension of the result is.
        name: name of the operation.
        conjugate: give the complex conjugate.
    """
    graph = graph_of([a, perm])
    with graph.as_default(), graph.name_scope(name or "transpose") as scope:
        tensor = convert_to_tensor(a, name="a")
        op_type = "ConjugateTranspose" if conjugate and tensor.dtype.is_complex else "Transpose"
        if perm is None:
            perm = _reversed_dims(tensor)
        elif isinstance(perm, range):
            perm = list(perm)
        result: Tensor = create_op(op_type, [tensor, perm], name=scope)
        return result


def _reversed_dims(tensor: Tensor) -> Any:
    if tensor._shape is not None:
        return list(range(len(tensor._shape) - 1, -1, -1)) or convert_to_tensor([], "int32", "perm")
    last = create_op("Sub", [rank_of(tensor), 1], name="sub")
    return create_op("Range", [last, -1, -1])


@export("matrix_transpose", "linalg.transpose", "linalg.matrix_transpose")
def matrix_transpose(
    a: Any, name: str | None = "matrix_transpose", conjugate: bool = False
) -> Tensor:
    """The last two dimensions of `a` in reverse order; ValueError below rank 2."""
    graph = graph_of([a])
    with graph.as_default(), graph.name_scope(name or "matrix_transpose"):
        tensor = convert_to_tensor(a, name="a")
        shape = tensor._shape
        if shape is None:
            return transpose(tensor, _swapped_last_dims(tensor), conjugate=conjugate)
        if len(shape) < 2:
            raise ValueError(
                "Argument `a` should be a (batch) matrix with rank >= 2.  Received `a` = "
                f"{a} with shape: {tensor.shape}"
            )
        rank = len(shape)
        return transpose(tensor, [*range(rank - 2), rank - 1, rank - 2], conjugate=conjugate)


def _swapped_last_dims(tensor: Tensor) -> Any:
    rank = rank_of(tensor)
    front = create_op("Range", [0, create_op("Sub", [rank, 2], name="sub"), 1])
    last = create_op("Sub", [rank, 1], name="sub")
    second = create_op("Sub", [rank, 2], name="sub")
    return create_op("ConcatV2", [[front, [last, second]], 0], name="concat")


@export("invert_permutation", "math.invert_permutation")
def invert_permutation(x: Any, name: str | None = None) -> Tensor:
    """The permutation that undoes the permutation `x`."""
    result: Tensor = create_op("InvertPermutation", [x], name=name)
    return result


@export("depth_to_space", "nn.depth_to_space")
def depth_to_space(
    input: Any, block_size: int, name: str | None = None, data_format: str = "NHWC"
) -> Tensor:
    """Blocks of depth spread over an image that is `block_size` times as high and wide."""
    attrs = {"block_size": block_size, "data_format": data_format}
    result: Tensor = create_op("DepthToSpace", [input], attrs, name)
    return result


@export("space_to_depth", "nn.space_to_depth")
def space_to_depth(
    input: Any, block_size: int, name: str | None = None, data_format: str = "NHWC"
) -> Tensor:
    """Square blocks of an image gathered in its depth; undone by `depth_to_space`."""
    attrs = {"block_size": block_size, "data_format": data_format}
    result: Tensor = create_op("SpaceToDepth", [input], attrs, name)
    return result
