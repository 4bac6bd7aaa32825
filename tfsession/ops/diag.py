"""Diagonals: taken out of tensors and matrices, put into them, and matrices made of them."""

from __future__ import annotations

from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least, with_rank_at_most
from tfsession.graph.tensor import Tensor

# --- definitions ----------------------------------------------------------------------------------

_TYPES = "T: {bfloat16, half, float, double, int32, int64, complex64, complex128}"


def _diag_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 1)
    return [None if shape is None else shape * 2]


def _diag_part_shape(op: Operation) -> list[Shape]:
    shape = op.inputs[0]._shape
    if shape is None:
        return [None]
    if len(shape) % 2 or not shape:
        raise ValueError(f"Input must have even and non-zero rank, input rank is {len(shape)}")
    half = len(shape) // 2
    return [tuple(map(merge_dims, shape[:half], shape[half:]))]


define_op("Diag", ["diagonal: T"], ["output: T"], [_TYPES], _diag_shape)
define_op("DiagPart", ["input: T"], ["diagonal: T"], [_TYPES], _diag_part_shape)


def _square_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 1)
    return [None if shape is None else (*shape, shape[-1])]


def _main_length(rows: int | None, columns: int | None) -> int | None:
    return None if rows is None or columns is None else min(rows, columns)


def _main_diagonal_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 2)
    return [None if shape is None else (*shape[:-2], _main_length(*shape[-2:]))]


def _set_main_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 2)
    diagonal = with_rank_at_least(op.inputs[1]._shape, 1)
    if shape is None:
        return [None if diagonal is None else (*diagonal[:-1], None, None)]
    if diagonal is not None:
        merge_dims(_main_length(*shape[-2:]), diagonal[-1])
        batch = shape_lib.merge(shape[:-2], diagonal[:-1])
        assert batch is not None
        shape = (*batch, *shape[-2:])
    return [shape]


define_op("MatrixDiag", ["diagonal: T"], ["output: T"], ["T: type"], _square_shape)
define_op("MatrixDiagPart", ["input: T"], ["diagonal: T"], ["T: type"], _main_diagonal_shape)
define_op("MatrixSetDiag", ["input: T", "diagonal: T"], ["output: T"], ["T: type"], _set_main_shape)


def _range_of(k: Tensor) -> tuple[int, int] | None:
    """The lowest and the highest diagonal, if the graph says."""
    value = constant_value(k)
    if value is None:
        return None
    indices = value.reshape(-1).tolist()
    if len(indices) not in (1, 2):
        raise ValueError(
            f"diag_index must be a vector with one or two elements. It has {len(indices)} elements."
        )
    lower, upper = indices[0], indices[-1]
    if lower > upper:
        raise ValueError("lower_diag_index is greater than upper_diag_index")
    return lower, upper


def _check_bounds(bounds: tuple[int, int], rows: int | None, columns: int | None) -> None:
    for index, which in zip(bounds, ("lower", "upper"), strict=True):
        too_low = rows is not None and index <= -rows
        too_high = columns is not None and index >= columns
        if index and (too_low or too_high):
            raise ValueError(f"{which}_diag_index is out of bound.")


def _diagonals_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 2)
    with_rank_at_most(op.inputs[1]._shape, 1)
    with_rank(op.inputs[2]._shape, 0)
    bounds = None if shape is None else _range_of(op.inputs[1])
    if bounds is None or shape is None:
        return [None]
    lower, upper = bounds
    rows, columns = shape[-2:]
    _check_bounds(bounds, rows, columns)
    longest = None
    if rows is not None and columns is not None:
        longest = min(rows + min(upper, 0), columns - max(lower, 0))
    count = () if lower == upper else (upper - lower + 1,)
    return [(*shape[:-2], *count, longest)]


def _matrix_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 1)
    with_rank_at_most(op.inputs[1]._shape, 1)
    for tensor in op.inputs[2:]:
        with_rank(tensor._shape, 0)
    bounds = None if shape is None else _range_of(op.inputs[1])
    if bounds is None or shape is None:
        return [None]
    lower, upper = bounds
    batch = shape[:-1]
    if lower < upper:
        with_rank_at_least(shape, 2)
        batch, count = shape[:-2], shape[-2]
        if count is not None and count != upper - lower + 1:
            raise ValueError(
                "The number of rows of `diagonal` doesn't match the number of diagonals implied "
                f"from `d_lower` and `d_upper`.\nnum_diags = {count}, d_lower = {lower}, d_upper = "
                f"{upper} {len(shape)} {len(shape)}"
            )
    rows, columns = (constant_value(tensor) for tensor in op.inputs[2:4])
    sizes = [-1 if value is None else int(value) for value in (rows, columns)]
    known = (rows is not None, columns is not None)
    return [(*batch, *_matrix_sizes(shape[-1], bounds, sizes, known))]


def _matrix_sizes(
    longest: int | None, bounds: tuple[int, int], sizes: list[int], known: tuple[bool, bool]
) -> tuple[int | None, int | None]:
    """Rows and columns of matrices with these diagonals; -1 in `sizes` asks for the least."""
    if longest is None:
        return tuple(None if size == -1 else size for size in sizes)  # type: ignore[return-value]
    lower, upper = bounds
    least = (longest - min(upper, 0), longest + max(lower, 0))
    if sizes == [-1, -1]:
        return (max(least), max(least)) if all(known) else (None, None)
    for size, minimum, which in zip(sizes, least, ("rows", "cols"), strict=True):
        if size != -1 and size < minimum:
            raise ValueError(f"num_{which} is too small")
    rows, columns = (m if size == -1 else size for size, m in zip(sizes, least, strict=True))
    if rows != least[0] and columns != least[1]:
        raise ValueError(
            "num_rows and num_cols are not consistent with lower_diag_index, upper_diag_index, and "
            f"the length of the given diagonals.\nnum_rows = {rows} != min_num_rows = {least[0]}, "
            f"num_cols = {columns} != min_num_cols = {least[1]}"
        )
    return rows if known[0] else None, columns if known[1] else None


def _set_diagonals_shape(op: Operation) -> list[Shape]:
    shape = with_rank_at_least(op.inputs[0]._shape, 2)
    diagonal = with_rank_at_least(op.inputs[1]._shape, 1)
    with_rank_at_most(op.inputs[2]._shape, 1)
    bounds = _range_of(op.inputs[2])
    if shape is None or bounds is None:
        return [shape]
    single = bounds[0] == bounds[1]
    diagonal = with_rank(diagonal, len(shape) - single)
    _check_bounds(bounds, *shape[-2:])
    assert diagonal is not None
    batch = shape_lib.merge(shape[:-2], diagonal[: len(shape) - 2])
    assert batch is not None
    return [(*batch, *shape[-2:])]


_ALIGN = "align: {'LEFT_RIGHT', 'RIGHT_LEFT', 'LEFT_LEFT', 'RIGHT_RIGHT'} = 'RIGHT_LEFT'"
for _version, _attrs in (("V2", ["T: type"]), ("V3", ["T: type", _ALIGN])):
    define_op(
        f"MatrixDiag{_version}",
        ["diagonal: T", "k: int32", "num_rows: int32", "num_cols: int32", "padding_value: T"],
        ["output: T"],
        _attrs,
        _matrix_shape,
    )
    define_op(
        f"MatrixDiagPart{_version}",
        ["input: T", "k: int32", "padding_value: T"],
        ["diagonal: T"],
        _attrs,
        _diagonals_shape,
    )
    define_op(
        f"MatrixSetDiag{_version}",
        ["input: T", "diagonal: T", "k: int32"],
        ["output: T"],
        _attrs,
        _set_diagonals_shape,
    )

# --- builders -------------------------------------------------------------------------------------


@export("diag", "linalg.tensor_diag")
def diag(diagonal: Any, name: str | None = None) -> Tensor:
    """A tensor of twice the rank that is `diagonal` where both halves of an index agree, else 0."""
    result: Tensor = create_op("Diag", [diagonal], name=name)
    return result


@export("diag_part", "linalg.tensor_diag_part")
def diag_part(input: Any, name: str | None = None) -> Tensor:
    """The elements of a tensor for which both halves of the index agree.

    Raises:
        ValueError: the rank is odd, or the halves of the shape differ; InvalidArgumentError when
            that shows only at run time.
    """
    result: Tensor = create_op("DiagPart", [input], name=name)
    return result


@export("matrix_diag", "linalg.diag")
def matrix_diag(
    diagonal: Any,
    name: str = "diag",
    k: Any = 0,
    num_rows: Any = -1,
    num_cols: Any = -1,
    padding_value: Any = 0,
    align: str = "RIGHT_LEFT",
) -> Tensor:
    """Matrices with the given diagonals, and `padding_value` elsewhere.

    Args:
        diagonal: the diagonal in the last dimension; the last two hold several, highest first.
        name: name of the operation.
        k: which diagonal, 0 being the main one and above it positive; or a pair, lowest and
            highest.
        num_rows: number of rows; -1 takes the least.
        num_cols: number of columns; -1 takes the least.
        padding_value: what stands outside of the diagonals.
        align: whether shorter diagonals above, and below, the main one stand left or right.

    Raises:
        ValueError: sizes do not fit; InvalidArgumentError when that shows only at run time.
    """
    inputs = [diagonal, k, num_rows, num_cols, _padding(diagonal, padding_value)]
    result: Tensor = create_op("MatrixDiagV3", inputs, {"align": align}, name)
    return result


def _padding(values: Any, padding: Any) -> Any:
    is_bool = getattr(values, "dtype", None) == "bool"
    return bool(padding) if is_bool and not isinstance(padding, Tensor) else padding


@export("matrix_diag_part", "linalg.diag_part")
def matrix_diag_part(
    input: Any,
    name: str = "diag_part",
    k: Any = 0,
    padding_value: Any = 0,
    align: str = "RIGHT_LEFT",
) -> Tensor:
    """The diagonals `k` of the matrices in the last two dimensions; arguments as in `matrix_diag`.

    Several diagonals are padded to the length of the longest.
    """
    inputs = [input, k, _padding(input, padding_value)]
    result: Tensor = create_op("MatrixDiagPartV3", inputs, {"align": align}, name)
    return result


@export("matrix_set_diag", "linalg.set_diag")
def matrix_set_diag(
    input: Any, diagonal: Any, name: str = "set_diag", k: Any = 0, align: str = "RIGHT_LEFT"
) -> Tensor:
    """`input` with its diagonals `k` replaced by `diagonal`; arguments as in `matrix_diag`."""
    result: Tensor = create_op("MatrixSetDiagV3", [input, diagonal, k], {"align": align}, name)
    return result
