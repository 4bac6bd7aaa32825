"""Random ops whose seed is a tensor: rows, equal draws, errors."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

FLOATS = ("float16", "bfloat16", "float32", "float64")
# A GPU takes its own float64 logarithm, sine and cosine: those rows would differ by a bit.
NARROW = FLOATS[:3]
SEED = value([3, -7], "int64")
POSITION = [value([5], "uint64"), value(np.array([2**64 - 3, 11], np.uint64), "uint64")]


def rows_of(op, builder, dtypes, **kwargs):
    """A row of the builder for each dtype, rows of it for some shapes."""
    for dtype in dtypes:
        yield Row(op, builder, kwargs={"shape": [3, 5], "seed": [1, 2], "dtype": dtype, **kwargs},
                  tolerance=0, label=dtype)  # fmt: skip
    for shape in ([], [0, 3], [11]):
        options = {"shape": shape, "seed": [2**31, -5], "dtype": dtypes[-1], **kwargs}
        yield Row(op, builder, kwargs=options, tolerance=0, label=f"shape{shape}")


def plain(op, *names, **attrs):
    """A builder of an op without a public builder, from inputs `names`."""

    def build(module, *tensors):
        if module is tf:
            return create_op(op, tensors, {n: module.as_dtype(a) for n, a in attrs.items()})
        return getattr(module.raw_ops, op)(**dict(zip(names, tensors, strict=True)), **attrs)

    return build


def plain_row(op, inputs, row_dtype="float32", **attrs):
    """A row of such an op, called after its dtype."""
    build = plain(op, *inputs, **attrs)
    return Row(op, build, list(inputs.values()), tolerance=0, label=row_dtype, dtypes=(row_dtype,))


SIZES = {"shape": value([13], "int32")}
SEEDED = {**SIZES, "seed": SEED}
RESUMED = {
    **SIZES,
    "key": POSITION[0],
    "counter": POSITION[1],
    "alg": value(1, "int32"),
}
BOUNDS = {"minval": value(-3), "maxval": value(99)}

ROWS = [
    *rows_of("StatelessRandomUniformV2", "random.stateless_uniform", FLOATS),
    *rows_of("StatelessRandomNormalV2", "random.stateless_normal", NARROW, mean=2.0),
    *rows_of("StatelessTruncatedNormalV2", "random.stateless_truncated_normal", NARROW),
    *rows_of("StatelessRandomUniformIntV2", "random.stateless_uniform", ("int32", "int64"),
             minval=-9, maxval=999),
    *rows_of("StatelessRandomUniformFullIntV2", "random.stateless_uniform",
             ("int32", "int64", "uint32", "uint64"), minval=None, maxval=None),
    *(plain_row(op, inputs, dtype, dtype=dtype)
      for name, dtypes in (("StatelessRandomUniform", FLOATS), ("StatelessRandomNormal", NARROW),
                           ("StatelessTruncatedNormal", NARROW))
      for dtype in dtypes
      for op, inputs in ((name, SEEDED), (f"{name}V2", RESUMED))),
    *(plain_row(op, {**inputs, **BOUNDS}, dtype)
      for op, inputs in (("StatelessRandomUniformInt", SEEDED),
                         ("StatelessRandomUniformIntV2", RESUMED))
      for dtype in ("int32", "int64")),
    *(plain_row("StatelessRandomUniformFullInt", SEEDED, dtype, dtype=dtype)
      for dtype in ("int32", "int64", "uint32", "uint64")),
    plain_row("StatelessRandomGetKeyCounter", {"seed": SEED}),
    plain_row("StatelessRandomGetKeyCounterAlg", {"seed": SEED}),
    plain_row("StatelessRandomGetAlg", {}),
    Row("StatelessMultinomial", "random.stateless_categorical", [floats(3, 5)],
        {"num_samples": 9, "seed": [1, 2]}, dtypes=FLOATS),
    Row("StatelessMultinomial", "random.stateless_multinomial", [floats(2, 4)],
        {"num_samples": 6, "seed": [1, 2], "output_dtype": "int32"}, label="multinomial"),
    Row("StatelessShuffle", "random.experimental.stateless_shuffle", [floats(7, 2)],
        {"seed": [1, 2]}, dtypes=("float32", "int64", "bool"), tolerance=0),
    Row("StatelessShuffle", "random.experimental.stateless_shuffle", [floats()],
        {"seed": [1, 2]}, label="scalar"),
    Row("StatelessRandomUniformFullIntV2", "random.split", kwargs={"seed": [1, 2], "num": 3},
        label="split"),
    Row("StatelessRandomUniformFullIntV2", "random.fold_in", kwargs={"seed": [1, 2], "data": 3},
        label="fold_in"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_a_seed_draws_the_same_every_time(fresh_graph):
    seed = tf.placeholder(tf.int32, [2])
    drawn = tf.random.stateless_normal([5], seed)
    with tf.Session() as session:
        first, second, other = (session.run(drawn, {seed: s}) for s in ([1, 2], [1, 2], [1, 3]))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("alg", ["philox", "auto_select", 1, 3, tf.random.Algorithm.PHILOX])
def test_there_is_one_algorithm(fresh_graph, alg):
    with tf.Session() as session:
        drawn, wanted = session.run(
            [tf.random.stateless_uniform([3], [1, 2], alg=alg),
             tf.random.stateless_uniform([3], [1, 2])]
        )  # fmt: skip
    assert np.array_equal(drawn, wanted)


uniform = tf.random.stateless_uniform


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: uniform([2], [1, 2, 3]), "Dimension must be 2 but is 3"),
        (lambda: uniform([2], [1, 2], dtype="uint8"), "got invalid value"),
        (lambda: uniform([2], [1, 2], dtype="int32"), "must be both None or not None"),
        (lambda: uniform([2], [1, 2], 1, 5, "uint32"), "use unsigned integers in this case"),
        (lambda: uniform([2], [1, 2], alg="foo"), "Argument `alg` got unsupported value foo"),
        (lambda: uniform([2], [1, 2], alg=7), "Argument `alg` got unsupported value 7"),
        (lambda: create_op("StatelessRandomUniformV2",
                           [[2], tf.constant([1, 2], "uint64"), tf.constant([1, 2], "uint64"), 1]),
         "Dimension must be 1 but is 2"),
    ],
)  # fmt: skip
def test_errors_while_building(fresh_graph, build, text):
    with pytest.raises(ValueError, match=text):
        build()


def anything(array, dtype=None):
    """A tensor of which the graph knows neither value nor shape."""
    return tf.placeholder_with_default(tf.constant(array, dtype), None)


def resumed(key=(1,), counter=(1, 2), alg=1):
    key, counter = anything(key, "uint64"), anything(counter, "uint64")
    return create_op("StatelessRandomUniformV2", [[2], key, counter, anything(alg, "int32")])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: uniform([2], anything([1, 2, 3])), r"seed must have shape \[2\], not \[3\]"),
        (lambda: uniform([2], anything(3)), r"seed must have shape \[2\], not \[\]"),
        (lambda: uniform([2, -1], [1, 2]), "Dimension -1 must be >= 0"),
        (lambda: uniform([2], [1, 2], 5, 5, "int32"), "Need minval < maxval, got 5 >= 5"),
        (lambda: uniform([2], [1, 2], alg="threefry"), "Unsupported algorithm id: 2"),
        (lambda: resumed(alg=0), "Unsupported algorithm id: 0"),
        (lambda: resumed(alg=[1]), r"input 3 \(0-based\) must have shape \[\], not \[1\]"),
        (lambda: resumed(key=[1, 2]), r"key must have shape \[1\], not \[2\]"),
        (lambda: resumed(counter=[1]), "counter must be a vector with length at least 2"),
        (lambda: create_op("StatelessRandomUniformFullInt", [[2], tf.constant([1, 2], "uint32")]),
         "Invalid seed type: uint32"),
    ],
)  # fmt: skip
def test_errors_while_running(fresh_graph, build, text):
    tensor = build()
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            session.run(tensor)
        assert session.run(uniform([2], [1, 2])).shape == (2,)
