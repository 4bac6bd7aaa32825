"""Checking an op from one row: values, dtypes, shapes, devices, gradients, round trips.

A row says how to build an op and on which inputs; `check_row` runs everything that must hold for
any op on one device. The oracle tier runs the same rows under real TensorFlow. Users may test their
own ops with it:

    row = Row("Square", "square", [floats(3, 4)], reference=np.square, grad=True)
    check_row(row, "float32", "/cpu:0")
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tfsession as tf
from tfsession.core.dtypes import as_dtype
from tfsession.core.rules import kernels

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
COMPLEX = ("complex64", "complex128")
NUMBERS = FLOATS + INTS + COMPLEX

# Relative and absolute tolerance by dtype, for comparison with another implementation.
TOLERANCES: dict[str, float] = {
    "float16": 4e-3,
    "bfloat16": 3e-2,
    "float32": 2e-5,
    "float64": 1e-11,
    "complex64": 2e-5,
    "complex128": 1e-11,
}


@dataclass(frozen=True)
class Input:
    """One input: how to make an array of the row's dtype, or of an own fixed dtype."""

    make: Callable[[np.random.Generator, Any], Any]
    dtype: str | None = None

    def array(self, rng: np.random.Generator, dtype: str) -> Any:
        """The array for a row run with `dtype`."""
        return self.make(rng, as_dtype(self.dtype or dtype).numpy)


def floats(*shape: int, low: float = -2.0, high: float = 2.0, dtype: str | None = None) -> Input:
    """Numbers from `low` to `high`, of the row's dtype; whole ones where that is an integer's."""

    def make(rng: np.random.Generator, numpy_dtype: Any) -> Any:
        kind = np.dtype(numpy_dtype).kind
        if kind == "b":
            return rng.integers(0, 2, shape).astype(bool)
        if kind in "iu":
            least = max(int(np.ceil(low)), 0) if kind == "u" else int(np.ceil(low))
            return rng.integers(least, max(int(high), least) + 1, shape).astype(numpy_dtype)
        values = rng.uniform(low, high, shape)
        if kind == "c":
            values = values + 1j * rng.uniform(low, high, shape)
        return np.asarray(values).astype(numpy_dtype)

    return Input(make, dtype)


def ints(*shape: int, low: int = 0, high: int = 10, dtype: str | None = "int32") -> Input:
    """Integers from `low` to `high - 1`; of dtype int32 unless told (None: the row's)."""
    return Input(lambda rng, numpy_dtype: rng.integers(low, high, shape).astype(numpy_dtype), dtype)


def bools(*shape: int) -> Input:
    """Random truth values."""
    return Input(lambda rng, _: rng.integers(0, 2, shape).astype(bool), "bool")


def value(array: Any, dtype: str | None = None) -> Input:
    """Exactly this array; of the row's dtype when `dtype` is None."""
    return Input(lambda _, numpy_dtype: np.asarray(array).astype(numpy_dtype), dtype)


def strings(*texts: bytes, shape: Sequence[int] | None = None) -> Input:
    """A string tensor of these texts, a vector unless `shape` is given."""
    array = np.array(texts, object).reshape(len(texts) if shape is None else tuple(shape))
    return Input(lambda _, __: array.copy(), "string")


@dataclass(frozen=True)
class Row:
    """One test row.

    Attributes:
        op: the op type that the built graph must contain.
        build: `f(tf, *tensors)` that builds the outputs, or the dotted name of a builder in tf.
        inputs: the inputs; placeholders are made for them unless `constants` names their position.
        kwargs: keyword arguments of the builder.
        dtypes: dtypes to run the row with.
        reference: `f(*arrays, **kwargs)` in NumPy that gives the expected outputs.
        grad: check the gradients of the first and second order, numerically, in float64.
        tolerance: factor on the usual tolerances, or 0 for equal bytes.
        constants: positions of inputs that are constants (axes, shapes).
        oracle: compare with real TensorFlow as well; a string says why not.
        same_graph: the graph's node names and types equal TensorFlow's; a string says why not.
        label: told apart from other rows of the op.
    """

    op: str
    build: Callable[..., Any] | str
    inputs: Sequence[Input] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = ("float32",)
    reference: Callable[..., Any] | None = None
    grad: bool = False
    tolerance: float = 1.0
    constants: Sequence[int] = ()
    oracle: bool | str = True
    same_graph: bool | str = True
    label: str = ""

    def __str__(self) -> str:
        return f"{self.op}-{self.label}" if self.label else self.op

    def builder(self, module: Any) -> Callable[..., Any]:
        """`f(*tensors)` that builds the outputs with the given tf module."""
        if callable(self.build):
            build = self.build
            return lambda *tensors: build(module, *tensors, **self.kwargs)
        function = module
        for part in self.build.split("."):
            function = getattr(function, part)
        return lambda *tensors: function(*tensors, **self.kwargs)

    def arrays(self, dtype: str) -> list[Any]:
        """The input arrays, the same ones in every process."""
        rng = np.random.default_rng(zlib.crc32(f"{self}/{dtype}".encode()))
        return [item.array(rng, dtype) for item in self.inputs]


def row_cases(rows: Iterable[Row]) -> list[tuple[Row, str]]:
    """Every row with each of its dtypes."""
    return [(row, dtype) for row in rows for dtype in row.dtypes]


def case_name(case: tuple[Row, str]) -> str:
    """Name of a case in a test report."""
    return f"{case[0]}-{case[1]}"


def as_list(outputs: Any) -> list[Any]:
    """Outputs of a builder as a flat list."""
    if isinstance(outputs, list | tuple):
        return [item for output in outputs for item in as_list(output)]
    return [outputs]


def build_row(
    module: Any, row: Row, arrays: Sequence[Any], static_shapes: bool = True
) -> tuple[list[Any], list[Any], dict[Any, Any]]:
    """Build a row in the default graph; gives inputs, outputs and feeds."""
    tensors: list[Any] = []
    feeds: dict[Any, Any] = {}
    for index, array in enumerate(arrays):
        if index in row.constants:
            tensors.append(module.constant(array))
            continue
        dtype = "string" if array.dtype == object else array.dtype
        tensor = module.placeholder(
            module.as_dtype(dtype), array.shape if static_shapes else None, name=f"in{index}"
        )
        tensors.append(tensor)
        feeds[tensor] = array
    return tensors, as_list(row.builder(module)(*tensors)), feeds


def run_row(
    row: Row,
    arrays: Sequence[Any],
    device: str,
    static_shapes: bool = True,
    then: Callable[[Any], Any] = lambda output: output,
    steps: int = 1,
) -> list[Any]:
    """The outputs of a row on a device, or what `then` makes of each; of the last of some steps.

    Where an operation keeps a state, there is one step.
    """
    graph = tf.Graph()
    with graph.as_default(), graph.device(device):
        _, outputs, feeds = build_row(tf, row, arrays, static_shapes)
        config = tf.ConfigProto(allow_soft_placement=True)
        fetches = [then(output) for output in outputs]
        if any(op.op_def.is_stateful for op in graph.get_operations() if op.type != "Placeholder"):
            steps = 1
        with tf.Session(graph=graph, config=config) as session:
            for _ in range(steps - 1):
                session.run(fetches, feeds)
            return session.run(fetches, feeds)  # type: ignore[no-any-return]


def _negated_twice(output: Any) -> Any:
    """The same numbers, by operations that may write over a value that nobody else holds."""
    if not isinstance(output, tf.Tensor):
        return output
    if output.dtype.name in (*FLOATS, "int32", "int64"):
        return tf.negative(tf.negative(output))
    return tf.logical_not(tf.logical_not(output)) if output.dtype == tf.bool else output


def _array(value: Any) -> Any:
    """The value as an array; a text as an array of one object, as string tensors have them."""
    return np.asarray(value, object if isinstance(value, bytes) else None)


def assert_same(actual: Any, expected: Any, what: str) -> None:
    """Equal dtype, shape and bytes."""
    actual, expected = _array(actual), _array(expected)
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, not {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    same = (
        actual.tolist() == expected.tolist()
        if actual.dtype == object
        else (actual.tobytes() == expected.tobytes())
    )
    assert same, f"{what}: {actual!r} is not {expected!r}"


def assert_close(actual: Any, expected: Any, factor: float, what: str) -> None:
    """Equal dtype and shape, and values within the dtype's tolerance times `factor`."""
    actual, expected = _array(actual), _array(expected)
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, not {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, not {expected.shape}"
    tolerance = TOLERANCES.get(as_dtype(actual.dtype).name, 0.0) * factor
    if tolerance == 0.0:
        assert_same(actual, expected, what)
        return
    wide = np.complex128 if actual.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(
        actual.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance, err_msg=what
    )


def check_row(row: Row, dtype: str, device: str) -> None:
    """Everything that must hold for any op: see the single checks."""
    arrays = row.arrays(dtype)
    outputs = check_values(row, arrays, device)
    check_layouts(row, arrays, outputs, device)
    check_round_trip(row, arrays, outputs)
    if row.grad and as_dtype(dtype).is_floating:
        check_gradient(row, device)


def check_values(row: Row, arrays: Sequence[Any], device: str) -> list[Any]:
    """Static dtypes and shapes tell the truth, values are the reference's, inputs do not change."""
    graph = tf.Graph()
    before = [array.copy() for array in arrays]
    with graph.as_default(), graph.device(device):
        _, outputs, feeds = build_row(tf, row, arrays)
        types = {op.type for op in graph.get_operations()}
        assert row.op in types, f"{row}: the graph has {sorted(types)}, no {row.op}"
        with tf.Session(graph=graph, config=tf.ConfigProto(allow_soft_placement=True)) as session:
            results = session.run(outputs, feeds)
    for tensor, result in zip(outputs, results, strict=True):
        if not isinstance(tensor, tf.Tensor):
            continue
        found = _array(result)
        expected = np.dtype(object) if tensor.dtype == tf.string else tensor.dtype.base_dtype.numpy
        assert found.dtype == expected, f"{row}: {tensor} came out as {found.dtype}"
        assert tensor.shape.is_compatible_with(found.shape), (
            f"{row}: {tensor} came out as {found.shape}"
        )
    for array, copy in zip(arrays, before, strict=True):
        assert_same(array, copy, f"{row}: input after the run")
        for tensor, result in zip(outputs, results, strict=True):
            if isinstance(result, np.ndarray) and tensor not in feeds:
                shared = np.shares_memory(result, array)
                assert not shared, f"{row}: {tensor} is a part of what was fed"
    if row.reference is not None:
        wanted = as_list(row.reference(*arrays, **row.kwargs))
        assert len(wanted) == len(results), f"{row}: {len(results)} outputs, not {len(wanted)}"
        for result, reference in zip(results, wanted, strict=True):
            reference = _array(reference).astype(_array(result).dtype)
            assert_close(result, reference, row.tolerance, f"{row} against its reference")
    return results  # type: ignore[no-any-return]


def _strided(array: Any) -> Any:
    """The same values in a non-contiguous, read-only array."""
    if array.ndim == 0:
        return array
    wide = np.empty((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    wide[..., ::2] = array
    view = wide[..., ::2]
    view.flags.writeable = False
    return view


def check_layouts(row: Row, arrays: Sequence[Any], outputs: Sequence[Any], device: str) -> None:
    """Unknown shapes, strided inputs and values written over give the same; the CPU, the bytes.

    So does a third step, which a GPU may have recorded in the second. Where a GPU has a kernel of
    its own for one of the operations, numbers are summed in another order there.
    """
    graph = tf.Graph()
    with graph.as_default():
        build_row(tf, row, arrays)
    types = {op.type for op in graph.get_operations()}
    is_own = any(kernel.device == "GPU" for name in types for kernel in kernels.get(name) or ())
    for what, again in (
        ("with unknown shapes", run_row(row, arrays, device, static_shapes=False)),
        ("on strided inputs", run_row(row, [_strided(a) for a in arrays], device)),
        ("when written over", run_row(row, arrays, device, then=_negated_twice, steps=3)),
        ("on the CPU", run_row(row, arrays, "/cpu:0")),
    ):
        for first, second in zip(outputs, again, strict=True):
            factor = 0.0 if what == "on the CPU" and not is_own else 1.0
            assert_close(first, second, factor, f"{row} {what}")


def check_round_trip(row: Row, arrays: Sequence[Any], outputs: Sequence[Any]) -> None:
    """The graph survives export and import: same nodes, same values."""
    graph = tf.Graph()
    with graph.as_default():
        _, tensors, feeds = build_row(tf, row, arrays)
    names = [tensor.name for tensor in tensors]
    definition = graph.as_graph_def()
    copy = tf.Graph()
    with copy.as_default():
        tf.import_graph_def(definition, name="")
    again = copy.as_graph_def()
    # In any order: a conditional gives an operation inputs that are made after it.
    nodes, copies = (
        sorted(n.SerializeToString(deterministic=True) for n in message.node)
        for message in (definition, again)
    )
    assert nodes == copies, f"{row}: the imported graph differs"
    with tf.Session(graph=copy) as session:
        results = session.run(names, {key.name: array for key, array in feeds.items()})
    for first, second in zip(outputs, results, strict=True):
        if first is not None:
            assert_close(second, first, 1.0, f"{row} after import")


def check_gradient(row: Row, device: str = "/cpu:0", orders: int = 2) -> None:
    """Gradients equal central differences, in float64: of the outputs, then of the gradients."""
    arrays = row.arrays("float64")
    graph = tf.Graph()
    with graph.as_default(), graph.device(device):
        tensors, outputs, feeds = build_row(tf, row, arrays)
        inputs = [t for t in tensors if t in feeds and t.dtype.is_floating]
        outputs = [t for t in outputs if t.dtype.is_floating]
        with tf.Session(graph=graph, config=tf.ConfigProto(allow_soft_placement=True)) as session:
            for order in range(1, orders + 1):
                loss = _weighted_sum(outputs)
                grads = tf.gradients(loss, inputs)
                known = [(x, g) for x, g in zip(inputs, grads, strict=True) if g is not None]
                for tensor, grad in known:
                    grad = tf.convert_to_tensor(grad)
                    actual = session.run(grad, feeds)
                    numeric = _numeric_gradient(session, loss, tensor, feeds)
                    np.testing.assert_allclose(
                        actual, numeric, rtol=2e-5, atol=2e-6,
                        err_msg=f"{row}: gradient of order {order} to {tensor.name}",
                    )  # fmt: skip
                outputs = [tf.convert_to_tensor(g) for _, g in known]
                if not outputs:
                    assert order > 1, f"{row}: no gradient flows to any input"
                    return


def _weighted_sum(outputs: Sequence[Any]) -> Any:
    """A scalar that every element of every output takes part in with another weight."""
    total = None
    for tensor in outputs:
        flat = tf.reshape(tensor, [-1])
        count = tensor.shape.num_elements()
        weights = np.cos(np.arange(1, count + 1, dtype=np.float64))
        term = tf.reduce_sum(flat * tf.constant(weights))
        total = term if total is None else total + term
    return total


def _numeric_gradient(session: Any, loss: Any, tensor: Any, feeds: dict[Any, Any]) -> Any:
    step = 1e-5
    base = feeds[tensor].astype(np.float64)
    gradient = np.zeros_like(base)
    evaluate = session.make_callable(loss, list(feeds))
    for index in np.ndindex(*base.shape):
        sides = []
        for sign in (1, -1):
            moved = base.copy()
            moved[index] += sign * step
            sides.append(evaluate(*[moved if key is tensor else v for key, v in feeds.items()]))
        gradient[index] = (sides[0] - sides[1]) / (2 * step)
    return gradient
