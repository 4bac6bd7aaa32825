"""Random tensors that a seed given as a tensor determines wholly.

The first generation of ops takes the seed, the second a key and a counter made of it; builders use
the second. Kernels stand in `kernels/random.py`.
"""

from __future__ import annotations

import enum
from typing import Any

from tfsession.core import dtypes
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import scalar, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.random import (
    categories_shape,
    category_type,
    integers_shape,
    random_shape,
    scaled,
    sizes_tensor,
)

# --- definitions ----------------------------------------------------------------------------------

_FLOATS = "dtype: {half, bfloat16, float, double} = DT_FLOAT"
_FULL_INTEGERS = "dtype: {int32, int64, uint32, uint64} = DT_UINT64"
_SIZES = "T: {int32, int64} = DT_INT32"
_NEW_SIZES = "Tshape: {int32, int64} = DT_INT32"
_SEED = "Tseed: {int32, int64} = DT_INT64"
_POSITION = ["key: uint64", "counter: uint64", "alg: int32"]


def _with_length(tensor: Tensor, length: int) -> None:
    shape = with_rank(tensor._shape, 1)
    if shape is not None and shape[0] not in (None, length):
        raise ValueError(f"Dimension must be {length} but is {shape[0]}")


def _check_seed(op: Operation, index: int) -> None:
    _with_length(op.inputs[index], 2)


def _check_position(op: Operation) -> None:
    _with_length(op.inputs[1], 1)
    with_rank(op.inputs[2]._shape, 1)
    with_rank(op.inputs[3]._shape, 0)


def _seeded(op: Operation) -> list[Shape]:
    _check_seed(op, 1)
    return integers_shape(op) if len(op.inputs) == 4 else random_shape(op)


def _resumed(op: Operation) -> list[Shape]:
    _check_position(op)
    return integers_shape(op) if len(op.inputs) == 6 else random_shape(op)


def _seeded_categories(op: Operation) -> list[Shape]:
    _check_seed(op, 2)
    return categories_shape(op)


def _shuffled(op: Operation) -> list[Shape]:
    _check_position(op)
    return [op.inputs[0]._shape]


def _positions(op: Operation) -> list[Shape]:
    _check_seed(op, 0)
    shapes: list[Shape] = [(1,), (2,), ()]
    return shapes[: len(op.outputs)]


for _name in ("StatelessRandomUniform", "StatelessRandomNormal", "StatelessTruncatedNormal"):
    define_op(
        _name,
        inputs=["shape: T", "seed: Tseed"],
        outputs=["output: dtype"],
        attrs=[_FLOATS, _SIZES, _SEED],
        shape=_seeded,
    )
    define_op(
        f"{_name}V2",
        inputs=["shape: Tshape", *_POSITION],
        outputs=["output: dtype"],
        attrs=[_FLOATS, _NEW_SIZES],
        shape=_resumed,
    )
define_op(
    "StatelessRandomUniformInt",
    inputs=["shape: T", "seed: Tseed", "minval: dtype", "maxval: dtype"],
    outputs=["output: dtype"],
    attrs=["dtype: {int32, int64}", "T: {int32, int64}", _SEED],
    shape=_seeded,
)
define_op(
    "StatelessRandomUniformIntV2",
    inputs=["shape: Tshape", *_POSITION, "minval: dtype", "maxval: dtype"],
    outputs=["output: dtype"],
    attrs=["dtype: {int32, int64, uint32, uint64}", _NEW_SIZES],
    shape=_resumed,
)
define_op(
    "StatelessRandomUniformFullInt",
    inputs=["shape: T", "seed: Tseed"],
    outputs=["output: dtype"],
    attrs=[_FULL_INTEGERS, _SIZES, "Tseed: {int32, int64, uint32, uint64} = DT_INT64"],
    shape=_seeded,
)
define_op(
    "StatelessRandomUniformFullIntV2",
    inputs=["shape: Tshape", *_POSITION],
    outputs=["output: dtype"],
    attrs=[_FULL_INTEGERS, _NEW_SIZES],
    shape=_resumed,
)
define_op(
    "StatelessMultinomial",
    inputs=["logits: T", "num_samples: int32", "seed: Tseed"],
    outputs=["output: output_dtype"],
    attrs=["T: realnumbertype", _SEED, "output_dtype: {int32, int64} = DT_INT64"],
    shape=_seeded_categories,
)
define_op(
    "StatelessShuffle",
    inputs=["value: T", *_POSITION],
    outputs=["output: T"],
    attrs=["T: type"],
    shape=_shuffled,
)
define_op(
    "StatelessRandomGetKeyCounter",
    inputs=["seed: Tseed"],
    outputs=_POSITION[:2],
    attrs=[_SEED],
    shape=_positions,
)
define_op(
    "StatelessRandomGetKeyCounterAlg",
    inputs=["seed: Tseed"],
    outputs=_POSITION,
    attrs=[_SEED],
    shape=_positions,
)
define_op("StatelessRandomGetAlg", outputs=["alg: int32"], stateful=True, shape=scalar)

# --- seeds ----------------------------------------------------------------------------------------


@export("random.Algorithm", "random.experimental.Algorithm")
class Algorithm(enum.Enum):
    """How random words are made. Only Philox, which AUTO_SELECT means, can be run."""

    PHILOX = 1
    THREEFRY = 2
    AUTO_SELECT = 3


def _algorithm(alg: Any) -> Any:
    """The number of an algorithm; a tensor passes."""
    if isinstance(alg, Algorithm):
        return alg.value
    if isinstance(alg, Tensor):
        return alg
    if isinstance(alg, str):
        names = {member.name.lower(): member.value for member in Algorithm}
        if alg not in names:
            raise ValueError(
                f"Argument `alg` got unsupported value {alg}. Supported values are philox for the "
                "Philox algorithm, threefry for the ThreeFry algorithm, and auto_select for "
                "auto-selection."
            )
        return names[alg]
    if alg not in [member.value for member in Algorithm]:
        raise ValueError(
            f"Argument `alg` got unsupported value {alg}. Supported values are 1 for the Philox "
            "algorithm, 2 for the ThreeFry algorithm, and 3 for auto-selection."
        )
    return alg


def _position(seed: Any, alg: Any) -> list[Any]:
    """Key, counter and algorithm for a seed."""
    number = _algorithm(alg)
    key, counter = create_op("StatelessRandomGetKeyCounter", [seed])
    return [key, counter, number]


@export("random.split", "random.experimental.stateless_split")
def split(seed: Any, num: Any = 2, alg: Any = "auto_select") -> Tensor:
    """`num` new seeds, as the rows of a matrix, that have nothing to do with each other."""
    seed = convert_to_tensor(seed)
    return stateless_uniform([num, 2], seed, None, None, seed.dtype, alg=alg)


@export("random.fold_in", "random.experimental.stateless_fold_in")
def fold_in(seed: Any, data: Any, alg: Any = "auto_select") -> Tensor:
    """A new seed made of a seed and an integer scalar."""
    data = convert_to_tensor(data)
    first = stateless_uniform([], seed, None, None, data.dtype, alg=alg)
    result: Tensor = create_op("Pack", [[first, data]], name="stack")
    return result


# --- numbers --------------------------------------------------------------------------------------

_UNIFORM_TYPES = (
    *(dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64),
    *(dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.uint64),
)


def _check_uniform(dtype: DType, minval: Any, maxval: Any) -> None:
    if dtype not in _UNIFORM_TYPES:
        accepted = ", ".join(repr(accepted) for accepted in _UNIFORM_TYPES)
        raise ValueError(
            f"Argument `dtype` got invalid value {dtype}. Accepted dtypes are ({accepted})."
        )
    if not dtype.is_integer:
        return
    if (minval is None) != (maxval is None):
        raise ValueError(
            f"For integer `dtype` argument {dtype}, argument `minval` and `maxval` must be both "
            f"None or not None. Got `minval`={minval} and `maxval`={maxval}."
        )
    if minval is not None and dtype.is_unsigned:
        raise ValueError(
            f"Argument `dtype` got invalid value {dtype} when argument `minval` is not None. "
            "Please don't use unsigned integers in this case."
        )


@export("random.stateless_uniform")
def stateless_uniform(
    shape: Any,
    seed: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: Any = "auto_select",
) -> Tensor:
    """Numbers of [minval, maxval), the same ones for the same seed.

    Args:
        shape: a vector tensor, a list of sizes or a TensorShape.
        seed: two integers.
        minval: a number, or a tensor that the shape broadcasts with; a scalar for integers.
        maxval: the same; None means 1. Both None means any integer.
        dtype: a floating type, int32, int64, uint32 or uint64.
        name: name of the operation.
        alg: "auto_select" or "philox", which are the same.

    Raises:
        ValueError: another dtype or algorithm, or bounds that integers do not allow.
        InvalidArgumentError: (when it runs) as `tf.random_uniform`.
    """
    dtype = as_dtype(dtype)
    _check_uniform(dtype, minval, maxval)
    if not dtype.is_integer and maxval is None:
        maxval = 1
    graph = graph_of([shape, seed, minval, maxval])
    with graph.as_default(), graph.name_scope(name or "stateless_random_uniform") as scope:
        sizes = sizes_tensor(shape)
        bounds = []
        if minval is not None or not dtype.is_integer:
            bounds.append(convert_to_tensor(minval, dtype, name="min"))
            bounds.append(convert_to_tensor(maxval, dtype, name="max"))
        position = _position(seed, alg)
        if dtype.is_integer:
            op_type = f"StatelessRandomUniform{'Int' if bounds else 'FullInt'}V2"
            inputs = [sizes, *position, *bounds]
            result: Tensor = create_op(op_type, inputs, {"dtype": dtype}, scope)
            return result
        least, limit = bounds
        drawn = create_op("StatelessRandomUniformV2", [sizes, *position], {"dtype": dtype})
        return scaled(drawn, create_op("Sub", [limit, least], name="sub"), least, scope)


def _normal(
    op_type: str, name: str, shape: Any, seed: Any, mean: Any, stddev: Any, dtype: Any, alg: Any
) -> Tensor:
    graph = graph_of([shape, seed, mean, stddev])
    with graph.as_default(), graph.name_scope(name) as scope:
        sizes = sizes_tensor(shape)
        mean = convert_to_tensor(mean, dtype, name="mean")
        stddev = convert_to_tensor(stddev, dtype, name="stddev")
        drawn = create_op(op_type, [sizes, *_position(seed, alg)], {"dtype": as_dtype(dtype)})
        return scaled(drawn, stddev, mean, scope)


@export("random.stateless_normal")
def stateless_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: Any = "auto_select",
) -> Tensor:
    """Normally distributed numbers, the same ones for the same seed; as `tf.random_normal`."""
    name = name or "stateless_random_normal"
    return _normal("StatelessRandomNormalV2", name, shape, seed, mean, stddev, dtype, alg)


@export("random.stateless_truncated_normal")
def stateless_truncated_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: Any = "auto_select",
) -> Tensor:
    """As `stateless_normal`, but less than two deviations off the mean."""
    name = name or "stateless_truncated_normal"
    return _normal("StatelessTruncatedNormalV2", name, shape, seed, mean, stddev, dtype, alg)


# --- choices --------------------------------------------------------------------------------------


@export("random.stateless_categorical")
def stateless_categorical(
    logits: Any,
    num_samples: Any,
    seed: Any,
    dtype: Any = dtypes.int64,
    name: str | None = None,
) -> Tensor:
    """Classes drawn for each row of `logits`; as `tf.random.categorical`."""
    return _categories(logits, num_samples, seed, dtype, name or "stateless_categorical")


@export("random.stateless_multinomial")
def stateless_multinomial(
    logits: Any,
    num_samples: Any,
    seed: Any,
    output_dtype: Any = dtypes.int64,
    name: str | None = None,
) -> Tensor:
    """As `stateless_categorical`, its older name."""
    return _categories(logits, num_samples, seed, output_dtype, name or "stateless_multinomial")


def _categories(logits: Any, num_samples: Any, seed: Any, dtype: Any, name: str) -> Tensor:
    graph = graph_of([logits, seed])
    with graph.as_default(), graph.name_scope(name):
        logits = convert_to_tensor(logits, name="logits")
        attrs = {"output_dtype": category_type(dtype)}
        result: Tensor = create_op("StatelessMultinomial", [logits, num_samples, seed], attrs)
        return result


@export("random.experimental.stateless_shuffle")
def stateless_shuffle(
    value: Any, seed: Any, alg: Any = "auto_select", name: str | None = None
) -> Tensor:
    """`value` with its first dimension in an order that the seed determines."""
    graph = graph_of([value, seed])
    with graph.as_default(), graph.name_scope(name or "stateless_shuffle"):
        position = _position(seed, alg)
        result: Tensor = create_op("StatelessShuffle", [value, *position])
        return result
