"""Random ops: rows, seeds, streams, errors. tests/conformance/test_random.py has the numbers."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

FLOATS = ("float16", "bfloat16", "float32", "float64")
# A GPU takes its own float64 logarithm, sine and cosine: those rows would differ by a bit.
NARROW = FLOATS[:3]
SHAPES = ([], [0, 3], [1], [3, 5], [2, 1, 7])


def rows_of(op, builder, dtypes, **kwargs):
    """A row for each dtype, and one for each shape in the last dtype."""
    for dtype in dtypes:
        yield Row(op, builder, kwargs={"shape": [3, 5], "dtype": dtype, "seed": 3, **kwargs},
                  tolerance=0, label=dtype)  # fmt: skip
    for shape in SHAPES:
        yield Row(op, builder, kwargs={"shape": shape, "dtype": dtypes[-1], "seed": 4, **kwargs},
                  tolerance=0, label=f"shape{shape}")  # fmt: skip


def drawn(builder, **kwargs):
    """A builder that takes the shape as a tensor."""
    return lambda module, shape: getattr(module, builder)(shape, seed=5, **kwargs)


ROWS = [
    *rows_of("RandomUniform", "random_uniform", FLOATS),
    *rows_of("RandomStandardNormal", "random_normal", NARROW),
    *rows_of("TruncatedNormal", "truncated_normal", NARROW),
    *rows_of("RandomUniformInt", "random_uniform", ("int32", "int64"), minval=-7, maxval=1000),
    Row("RandomUniform", "random_uniform", label="bounds", tolerance=0,
        kwargs={"shape": [9], "minval": -2.0, "maxval": 3.5, "seed": 1}),
    Row("RandomUniform", "random_uniform", label="limit", tolerance=0,
        kwargs={"shape": [9], "maxval": 3.5, "seed": 1}),
    Row("RandomUniform", "random_uniform", label="unit", tolerance=0,
        kwargs={"shape": [9], "minval": 0.0, "maxval": 1.0, "seed": 1, "name": "unit"}),
    Row("RandomUniform", drawn("random_uniform"), [value([3, 2], "int64")], label="fed"),
    Row("TruncatedNormal", drawn("truncated_normal", mean=1.0, stddev=0.5),
        [value([4], "int32")], label="constant", constants=[0]),
    Row("RandomStandardNormal", lambda module, mean: module.random_normal([2, 3], mean, seed=2),
        [floats(3)], label="mean", tolerance=0),
    Row("RandomShuffle", "random_shuffle", [floats(7, 2)], {"seed": 1},
        dtypes=(*FLOATS, "int8", "int32", "int64", "bool", "complex64"), tolerance=0),
    *(Row("RandomShuffle", "random_shuffle", [floats(*shape)], {"seed": 2}, tolerance=0,
          label=f"shape{shape}") for shape in ((), (0, 2), (1,), (11,))),
    Row("RandomShuffle", "random_shuffle", [value([b"a", b"b", b"c", b"d"], "string")],
        {"seed": 3}, label="texts", dtypes=("string",)),
    Row("Multinomial", "multinomial", [floats(3, 5)], {"num_samples": 9, "seed": 1},
        dtypes=FLOATS),
    Row("Multinomial", "random.categorical", [floats(2, 4)],
        {"num_samples": 6, "dtype": "int32", "seed": 1}, label="categorical"),
    Row("Multinomial", "multinomial", [floats(3, 2)], {"num_samples": 0, "seed": 1},
        label="none"),
    Row("Multinomial", "multinomial", [value([[np.nan, -np.inf, 1.0, 2.0, np.inf]])],
        {"num_samples": 8, "seed": 1}, label="nonfinite"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


# --- seeds ----------------------------------------------------------------------------------------

LIMIT = 2**31 - 1


@pytest.mark.parametrize(
    ("graph_seed", "op_seed", "seeds"),
    [
        (None, None, (None, None)),
        (None, 3, (87654321, 3)),
        (None, -1, (87654321, LIMIT - 1)),
        (5, None, (5, 0)),
        (5, 3, (5, 3)),
        (0, 0, (0, LIMIT)),
        (None, LIMIT, (87654321, 0)),
        (2**31, 2**31 + 5, (1, 6)),
    ],
)
def test_seeds(fresh_graph, graph_seed, op_seed, seeds):
    if graph_seed is not None:
        tf.set_random_seed(graph_seed)
    assert tf.get_seed(op_seed) == seeds


def test_ops_without_a_seed_are_counted_in_a_graph_that_has_one(fresh_graph):
    assert tf.get_seed(None) == (None, None)
    tf.set_random_seed(9)
    tf.get_seed(4)
    assert [tf.get_seed(None) for _ in range(3)] == [(9, 0), (9, 1), (9, 2)]
    assert tf.random_normal([2]).op.inputs[0].op.inputs[0].op.get_attr("seed2") == 3


def draws(build, runs, **options):
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        tensor = build()
        return [session.run(tensor).tolist() for _ in range(runs)]


def test_a_stream_advances_and_starts_again_in_another_session():
    def build():
        return tf.random_uniform([4], seed=1)

    first = draws(build, 3)
    assert first[0] != first[1] != first[2]
    assert draws(build, 3) == first


def test_without_seeds_every_session_draws_anew():
    def build():
        return tf.random_uniform([4])

    assert draws(build, 1) != draws(build, 1)


def test_nodes_of_one_seed_have_streams_of_their_own(fresh_graph):
    a, b = (tf.random_uniform([4], seed=1) for _ in range(2))
    with tf.Session() as session:
        first = session.run(a).tolist()
        assert session.run(b).tolist() == first
        # One stream whatever else is fetched with the node.
        second = session.run([a, a + 1.0])[0].tolist()
        assert second != first
        assert session.run(b).tolist() == second


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: tf.random_uniform([2], dtype="uint8"), ValueError,
         "got invalid value <dtype: 'uint8'>. Accepted dtypes are .tf.float16, "),
        (lambda: tf.random_uniform([2], dtype="int32"), ValueError,
         "Must specify maxval for integer dtype tf.int32"),
        (lambda: tf.random_uniform(3), ValueError, "Shape must be rank 1 but is rank 0"),
        (lambda: tf.random_uniform([2.5]), TypeError, "has DataType float32 not in list"),
        (lambda: tf.random_uniform([2], [1], [2], "int32"), ValueError,
         r"minval must be a scalar; got a tensor of shape \[1\]"),
        (lambda: tf.random.categorical([1.0], 2), ValueError, "Shape must be rank 2 but is rank 1"),
        (lambda: tf.multinomial([[1.0]], -1), ValueError, "must be non-negative but is -1"),
        (lambda: tf.multinomial([[1.0]], 2, output_dtype="float32"), ValueError,
         "got invalid value"),
    ],
)  # fmt: skip
def test_errors_while_building(fresh_graph, build, error, text):
    with pytest.raises(error, match=text):
        build()


def anything(array, dtype=None):
    """A tensor of which the graph knows neither value nor shape."""
    return tf.placeholder_with_default(tf.constant(array, dtype), None)


BIG = 2**40


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: tf.random_uniform([2, -1]), "Dimension -1 must be >= 0"),
        (lambda: tf.random_normal(anything([2, -3])), "Dimension -3 must be >= 0"),
        (lambda: tf.truncated_normal(anything(3)),
         r"shape must be a vector of \{int32,int64\}, got shape \[\]"),
        (lambda: tf.random_normal(anything([[3]])), r"got shape \[1,1\]"),
        (lambda: tf.random_uniform(tf.constant([BIG, BIG])),
         r"Shape \[1099511627776,1099511627776\] would have more than 2\*\*63 - 1 elements"),
        (lambda: tf.random_uniform([2], 5, 5, "int32"), "Need minval < maxval, got 5 >= 5"),
        (lambda: tf.random_uniform([2], 5, -3, "int64"), "Need minval < maxval, got 5 >= -3"),
        (lambda: tf.random_uniform([2], anything([1]), 5, "int32"),
         r"minval must be 0-D, got shape \[1\]"),
        (lambda: tf.random_uniform([2], 1, anything([5, 6]), "int32"),
         r"maxval must be 0-D, got shape \[2\]"),
        (lambda: tf.multinomial(anything([1.0]), 2), r"logits should be a matrix, got shape \[1\]"),
        (lambda: tf.multinomial([[1.0]], anything(-1)), "num_samples should be non-negative"),
        (lambda: tf.multinomial([[1.0]], anything([1])), "num_samples should be a scalar"),
        (lambda: tf.multinomial(tf.zeros([2, 0]), 1), "num_classes should be positive, got 0"),
    ],
)  # fmt: skip
def test_errors_while_running(fresh_graph, build, text):
    tensor = build()
    fine = tf.random_uniform([2])
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            session.run(tensor)
        assert session.run(fine).shape == (2,)


def test_nothing_drawn_needs_no_bounds(fresh_graph):
    with tf.Session() as session:
        assert session.run(tf.random_uniform([0], 5, 5, "int32")).shape == (0,)


def test_a_crop_is_a_part(fresh_graph):
    whole = np.arange(70).reshape(7, 10)
    crop = tf.random_crop(whole, [3, 4], seed=1)
    with tf.Session() as session:
        corners = {int(session.run(crop)[0, 0]) for _ in range(40)}
        part = session.run(crop)
    row, column = divmod(int(part[0, 0]), 10)
    assert np.array_equal(part, whole[row : row + 3, column : column + 4])
    assert len(corners) > 5
    assert all(corner // 10 <= 4 and corner % 10 <= 6 for corner in corners)
