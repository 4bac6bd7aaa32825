"""Random tensors from streams that advance from run to run, and the seeds of the streams.

Every random operation of a session has a stream of its own, which its two seeds determine.
"""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_shape, constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import greater_equal
from tfsession.ops.constant import constant, with_dependencies
from tfsession.ops.reduce import reduce_all
from tfsession.ops.shape import shape as shape_of

# --- definitions ----------------------------------------------------------------------------------

_SEEDS = ["seed: int = 0", "seed2: int = 0"]
_SIZES = "T: {int32, int64}"


def random_shape(op: Operation) -> list[Shape]:
    """The shape that the first input, a vector, describes."""
    with_rank(op.inputs[0]._shape, 1)
    return [constant_shape(op.inputs[0])]


def integers_shape(op: Operation) -> list[Shape]:
    """As `random_shape`; the last two inputs are bounds."""
    for tensor, name in zip(op.inputs[-2:], ("minval", "maxval"), strict=True):
        if tensor._shape:
            sizes = ",".join("?" if size is None else str(size) for size in tensor._shape)
            raise ValueError(f"{name} must be a scalar; got a tensor of shape [{sizes}]")
    return random_shape(op)


def categories_shape(op: Operation) -> list[Shape]:
    """As many columns as the second input says for each row of the first."""
    rows = with_rank(op.inputs[0]._shape, 2)
    with_rank(op.inputs[1]._shape, 0)
    count = constant_value(op.inputs[1])
    if count is not None and count < 0:
        raise ValueError(
            f"Dimension size, given by scalar input 1, must be non-negative but is {count}"
        )
    assert rows is not None
    return [(rows[0], None if count is None else int(count))]


for _name in ("RandomUniform", "RandomStandardNormal", "TruncatedNormal"):
    define_op(
        _name,
        inputs=["shape: T"],
        outputs=["output: dtype"],
        attrs=[*_SEEDS, "dtype: {half, bfloat16, float, double}", _SIZES],
        stateful=True,
        shape=random_shape,
    )
define_op(
    "RandomUniformInt",
    inputs=["shape: T", "minval: Tout", "maxval: Tout"],
    outputs=["output: Tout"],
    attrs=[*_SEEDS, "Tout: {int32, int64}", _SIZES],
    stateful=True,
    shape=integers_shape,
)
define_op(
    "RandomShuffle",
    inputs=["value: T"],
    outputs=["output: T"],
    attrs=[*_SEEDS, "T: type"],
    stateful=True,
    shape=same_as(0),
)
define_op(
    "Multinomial",
    inputs=["logits: T", "num_samples: int32"],
    outputs=["output: output_dtype"],
    attrs=[*_SEEDS, "T: realnumbertype", "output_dtype: {int32, int64} = DT_INT64"],
    stateful=True,
    shape=categories_shape,
)

# --- seeds ----------------------------------------------------------------------------------------

_DEFAULT_GRAPH_SEED = 87654321
_SEED_LIMIT = 2**31 - 1


@export("get_seed", "random.get_seed")
def get_seed(op_seed: int | None) -> tuple[int | None, int | None]:
    """The two seeds of an operation, from the graph's and its own; None twice when there is none.

    Without a seed of its own, an operation takes the count of such operations in the graph so far.
    """
    graph = get_default_graph()
    graph_seed = graph.seed
    if graph_seed is None:
        if op_seed is None:
            return None, None
        graph_seed = _DEFAULT_GRAPH_SEED
    elif op_seed is None:
        op_seed = graph._random_ops
        graph._random_ops += 1
    seeds = graph_seed % _SEED_LIMIT, op_seed % _SEED_LIMIT
    # Zero twice would mean: no seeds.
    return (0, _SEED_LIMIT) if seeds == (0, 0) else seeds


@export("set_random_seed", "random.set_random_seed")
def set_random_seed(seed: int) -> None:
    """Set the seed of the default graph, for random operations that are added from now on."""
    get_default_graph().seed = seed


def seed_attrs(seed: int | None) -> dict[str, Any]:
    """The attributes of a random operation with the given seed of its own."""
    first, second = get_seed(seed)
    return {"seed": first or 0, "seed2": second or 0}


# --- numbers --------------------------------------------------------------------------------------

_UNIFORM_TYPES = (
    *(dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64),
    *(dtypes.int32, dtypes.int64),
)


def sizes_tensor(shape: Any) -> Tensor:
    """A shape as a tensor called `shape`; the empty list is a scalar's."""
    empty = isinstance(shape, list | tuple) and not shape
    return convert_to_tensor(shape, dtypes.int32 if empty else None, name="shape")


def is_int(value: Any, wanted: int) -> bool:
    """Whether `value` is the Python integer `wanted`: such bounds need no operation."""
    return isinstance(value, int) and value == wanted


def scaled(drawn: Tensor, scale: Tensor, offset: Tensor, name: str) -> Tensor:
    """`drawn * scale + offset`."""
    product = create_op("Mul", [drawn, scale], name="mul")
    result: Tensor = create_op("AddV2", [product, offset], name=name)
    return result


@export("random_uniform", "random.uniform")
def random_uniform(
    shape: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Numbers of [minval, maxval), all equally likely.

    Args:
        shape: a vector tensor, a list of sizes or a TensorShape.
        minval: a number, or a tensor that the shape broadcasts with; a scalar for integers.
        maxval: the same; 1 when None, which integers do not allow.
        dtype: float16, bfloat16, float32, float64, int32 or int64.
        seed: of the operation; see `set_random_seed`.
        name: name of the operation.

    Raises:
        ValueError: another dtype, or integers without `maxval`.
        InvalidArgumentError: (when it runs) a negative size, or `minval >= maxval` for integers.
    """
    dtype = as_dtype(dtype)
    if dtype not in _UNIFORM_TYPES:
        accepted = ", ".join(repr(accepted) for accepted in _UNIFORM_TYPES)
        raise ValueError(
            f"Argument `dtype` got invalid value {dtype}. Accepted dtypes are ({accepted})."
        )
    if maxval is None:
        if dtype.is_integer:
            raise ValueError(f"Must specify maxval for integer dtype {dtype!r}")
        maxval = 1
    graph = graph_of([shape, minval, maxval])
    with graph.as_default(), graph.name_scope(name or "random_uniform") as scope:
        sizes = sizes_tensor(shape)
        from_zero = is_int(minval, 0)
        if dtype.is_integer or not (from_zero and is_int(maxval, 1)):
            least = convert_to_tensor(minval, dtype, name="min")
            limit = convert_to_tensor(maxval, dtype, name="max")
        attrs = seed_attrs(seed)
        if dtype.is_integer:
            result: Tensor = create_op("RandomUniformInt", [sizes, least, limit], attrs, scope)
            return result
        drawn: Tensor = create_op("RandomUniform", [sizes], {**attrs, "dtype": dtype})
        if not from_zero:
            return scaled(drawn, create_op("Sub", [limit, least], name="sub"), least, scope)
        return drawn if is_int(maxval, 1) else create_op("Mul", [drawn, limit])


def _normal(
    op_type: str, name: str, shape: Any, mean: Any, stddev: Any, dtype: Any, seed: int | None
) -> Tensor:
    graph = graph_of([shape, mean, stddev])
    with graph.as_default(), graph.name_scope(name) as scope:
        sizes = sizes_tensor(shape)
        mean = convert_to_tensor(mean, dtype, name="mean")
        stddev = convert_to_tensor(stddev, dtype, name="stddev")
        drawn = create_op(op_type, [sizes], {**seed_attrs(seed), "dtype": as_dtype(dtype)})
        return scaled(drawn, stddev, mean, scope)


@export("random_normal", "random.normal")
def random_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Normally distributed numbers; `mean` and `stddev` may be tensors that broadcast.

    Args:
        shape: a vector tensor, a list of sizes or a TensorShape.
        mean: of the distribution.
        stddev: its standard deviation.
        dtype: float16, bfloat16, float32 or float64.
        seed: of the operation; see `set_random_seed`.
        name: name of the operation.
    """
    return _normal(
        "RandomStandardNormal", name or "random_normal", shape, mean, stddev, dtype, seed
    )


@export("truncated_normal", "random.truncated_normal")
def truncated_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """As `random_normal`, but numbers two deviations or more off the mean are drawn again."""
    return _normal("TruncatedNormal", name or "truncated_normal", shape, mean, stddev, dtype, seed)


# --- choices --------------------------------------------------------------------------------------


@export("random_shuffle", "random.shuffle")
def random_shuffle(value: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """`value` with its first dimension in random order."""
    with graph_of([value]).as_default():
        result: Tensor = create_op("RandomShuffle", [value], seed_attrs(seed), name)
        return result


@export("random_crop", "image.random_crop")
def random_crop(value: Any, size: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """A part of `value` of the given size, at a random place.

    Raises:
        InvalidArgumentError: (when it runs) `size` is more than `value` has.
    """
    graph = graph_of([value, size])
    with graph.as_default(), graph.name_scope(name or "random_crop") as scope:
        value = convert_to_tensor(value, name="value")
        size = convert_to_tensor(size, dtypes.int32, name="size")
        shape = shape_of(value)
        fits = reduce_all(greater_equal(shape, size))
        with graph.name_scope("Assert"):
            text = "Need value.shape >= size, got "
            constant(text)
            check = create_op("Assert", [fits, [text, shape, size]], {"summarize": 1000}, "Assert")
        shape = with_dependencies([check], shape)
        rest = create_op("Sub", [shape, size], name="sub")
        places = create_op("AddV2", [rest, constant(1, name="add/y")], name="add")
        drawn = random_uniform(shape_of(shape), maxval=size.dtype.max, dtype=size.dtype, seed=seed)
        offset = create_op("FloorMod", [drawn, places], name="mod")
        result: Tensor = create_op("Slice", [value, offset, size], name=scope)
        return result


@export("random.categorical")
def categorical(
    logits: Any,
    num_samples: Any,
    dtype: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Classes drawn for each row of `logits`, as likely as their exponentials say.

    Args:
        logits: a matrix, a row of unnormalized log-probabilities for each draw.
        num_samples: how many classes to draw for each row; a scalar.
        dtype: int32 or int64, which None means.
        seed: of the operation; see `set_random_seed`.
        name: name of the operation.
    """
    return _categories(logits, num_samples, dtype, seed, name or "categorical")


@export("multinomial", "random.multinomial")
def multinomial(
    logits: Any,
    num_samples: Any,
    seed: int | None = None,
    name: str | None = None,
    output_dtype: Any = None,
) -> Tensor:
    """As `tf.random.categorical`, its older name."""
    return _categories(logits, num_samples, output_dtype, seed, name or "multinomial")


def category_type(dtype: Any) -> DType:
    """The dtype of drawn classes; ValueError for what is neither int32 nor int64."""
    found = dtypes.int64 if dtype is None else as_dtype(dtype)
    if found not in (dtypes.int32, dtypes.int64):
        raise ValueError(
            f"Argument `dtype` got invalid value {found}. Accepted dtypes are (tf.int32, tf.int64)."
        )
    return found


def _categories(logits: Any, num_samples: Any, dtype: Any, seed: int | None, name: str) -> Tensor:
    graph = graph_of([logits])
    with graph.as_default(), graph.name_scope(name):
        logits = convert_to_tensor(logits, name="logits")
        attrs = {**seed_attrs(seed), "output_dtype": category_type(dtype)}
        result: Tensor = create_op("Multinomial", [logits, num_samples], attrs)
        return result
