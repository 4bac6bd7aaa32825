"""Operations computed together: bits as one after another, what is cut how, errors, memory."""

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.devices.spares import Spares
from tfsession.runtime import blocks, fuse
from tfsession.runtime.block_sums import joined_pairs, pairwise_bounds
from tfsession.runtime.blocks import Blocks
from tfsession.runtime.plan import Signature

L0 = tf.ConfigProto(
    graph_options=tf.GraphOptions(
        optimizer_options=tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
    )
)


@contextmanager
def tiny_blocks():
    """Everything is worth it, blocks have a few elements; gives how often groups ran in blocks."""
    ran = Counter()
    run = blocks.Cut.run

    def noting(cut, values):
        try:
            results = run(cut, values)
        except blocks.Unfit:
            ran["unfit"] += 1
            raise
        except Exception as error:
            ran[f"{type(error).__name__}: {error}"] += 1
            raise
        ran["blocks"] += len(cut.bounds) - 1
        return results

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuse, "SMALL", 2)
        patch.setattr(fuse, "_WORTH", 0)
        patch.setattr(blocks, "_BLOCK_BYTES", 512)
        patch.setattr(blocks, "_LEAST", 24)
        patch.setattr(blocks.Cut, "run", noting)
        yield ran


def _groups(session, fetches, feeds=()):
    """What the plan of a run computes in blocks."""
    feeds = tuple(feeds)
    plan = session._engine.plan(Signature(tuple(fetches), (), feeds, (None,) * len(feeds)))
    found = []
    functions = [segment.function for segment in plan.segments]
    while functions:
        for value in functions.pop().__defaults__ or ():
            if isinstance(value, Blocks):
                found.append(value)
            elif hasattr(value, "__defaults__"):
                functions.append(value)
    return found


def _cuts(session, fetches, feeds=()):
    return [cut for group in _groups(session, fetches, feeds) for cut in group.cuts.values()]


def _bits(value):
    """The bits of a value; all that is not a number is alike."""
    value = np.array(value)
    if value.dtype.kind in "fcV":
        value[np.isnan(value)] = 0.5
    return value.dtype, value.shape, value.tobytes()


# --- random graphs --------------------------------------------------------------------------------

ANY = {
    "add": tf.add,
    "sub": tf.subtract,
    "mul": tf.multiply,
    "neg": tf.negative,
    "square": tf.square,
    "difference": tf.math.squared_difference,
    "add_n": lambda x, y: tf.add_n([x, x, x]) + y,
    "zeros": lambda x: tf.zeros_like(x) + tf.ones_like(x),
    "where": lambda x, y: tf.where_v2(tf.equal(x, y), x, y),
    "select": lambda x, y: tf.where(tf.not_equal(x, x), x, x * y) if x.shape == y.shape else y,
}
REAL = ANY | {
    "maximum": tf.maximum,
    "minimum": tf.minimum,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "less": lambda x, y: tf.cast(tf.less(x, y), x.dtype),
    "logic": lambda x, y: tf.cast(tf.logical_and(x < y, tf.logical_not(y > x)), x.dtype),
    "abs": tf.abs,
    "sign": tf.sign,
    "clip": lambda x: tf.clip_by_value(x, tf.cast(0, x.dtype), tf.cast(2, x.dtype)),
}
FLOATS = REAL | {
    "tanh": tf.tanh,
    "exp": tf.exp,
    "log": tf.log,
    "sqrt": tf.sqrt,
    "rsqrt": tf.rsqrt,
    "sigmoid": tf.sigmoid,
    "reciprocal": tf.reciprocal,
    "div": tf.div,
    "div_no_nan": tf.div_no_nan,
    "floor": tf.floor,
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
    "softplus": tf.nn.softplus,
    "softsign": tf.nn.softsign,
    "leaky": tf.nn.leaky_relu,
    "pow": tf.pow,
    "gradient": lambda x: tf.gradients(tf.tanh(x) * tf.sigmoid(x) + tf.nn.relu(x), x)[0],
    "narrow": lambda x: tf.cast(tf.cast(x, tf.float16), x.dtype),
    "truth": lambda x: tf.cast(tf.is_finite(x), x.dtype),
}
WIDE = {name: op for name, op in FLOATS.items() if name not in ("pow", "narrow")}
COMPLEX = ANY | {"exp": tf.exp, "div": tf.div, "conj": tf.conj, "rsqrt": tf.rsqrt}
INTEGERS = REAL | {
    "floordiv": lambda x, y: tf.floordiv(x, y * y + tf.ones_like(y)),
    "bits": lambda x, y: tf.bitwise.bitwise_xor(x, y),
}
BINARY = {"add", "sub", "mul", "difference", "add_n", "where", "select", "maximum", "minimum"}
BINARY |= {"less", "logic", "div", "div_no_nan", "pow", "floordiv", "bits"}
OPS = {
    tf.float32: FLOATS,
    tf.float64: FLOATS,
    tf.float16: WIDE,
    tf.bfloat16: WIDE,
    tf.complex64: COMPLEX,
    tf.int32: INTEGERS,
    tf.int8: {n: op for n, op in REAL.items() if n not in ("difference", "relu6", "clip", "sign")},
}
REDUCTIONS = [tf.reduce_sum, tf.reduce_mean, tf.reduce_max, tf.reduce_min, tf.reduce_prod]


def _shapes(draw):
    """A shape, and shapes that broadcast to it."""
    full = draw(st.lists(st.sampled_from((5, 2, 1, 9)), min_size=0, max_size=3))
    full = (draw(st.sampled_from((130, 25, 700, 24, 2))), *full)
    if draw(st.booleans()):
        full = tuple(reversed(full))
    parts = [full, (), (1,), full[-1:], full[1:], full[:1] + (1,) * (len(full) - 1)]
    parts.append((*full[:-1], 1))
    return full, parts


def _value(rng, shape, dtype):
    if dtype.is_integer:
        return rng.integers(-9, 9, shape).astype(dtype.as_numpy_dtype)
    value = rng.normal(0, 2, shape)
    if dtype.is_complex:
        value = value + 1j * rng.normal(0, 2, shape)
    value = np.asarray(value).astype(dtype.as_numpy_dtype)
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0]).astype(value.dtype)
    flat = value.reshape(-1)
    flat[rng.integers(0, flat.size, flat.size // 20)] = special[rng.integers(0, 5, flat.size // 20)]
    return flat.reshape(shape)


def _strided(value):
    """The same numbers, not one behind the other."""
    twice = np.empty((*value.shape[:-1], 2 * value.shape[-1]), value.dtype)
    twice[..., ::2] = value
    return twice[..., ::2]


class Program(NamedTuple):
    """What builds a graph, and what it is fed; hypothesis refuses to print all numbers."""

    build: Callable
    values: list

    def __repr__(self):
        return f"a program of {[(value.dtype, value.shape) for value in self.values]}"


@st.composite
def programs(draw):
    """A graph of element-wise operations and reductions."""
    dtype = draw(st.sampled_from(list(OPS)))
    full, parts = _shapes(draw)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    shapes = [full, *draw(st.lists(st.sampled_from(parts), min_size=1, max_size=2))]
    values = [_value(rng, shape, dtype) for shape in shapes]
    if draw(st.integers(0, 5)) == 0:
        values[0] = _strided(values[0])
    knows = draw(st.booleans())
    names = draw(st.lists(st.sampled_from(sorted(OPS[dtype])), min_size=1, max_size=7))
    picks = draw(st.lists(st.integers(0, 20), min_size=2 * len(names), max_size=2 * len(names)))
    reduction = draw(st.sampled_from([None, *REDUCTIONS[: 2 if dtype.is_complex else 5]]))
    ndim = len(full)
    axes = draw(st.sampled_from([None, [-1], [0], list(range(1, ndim)), list(range(ndim))]))
    keeps = draw(st.booleans())

    def build():
        unknown = [None] * ndim
        feeds = [
            tf.placeholder(dtype, value.shape if knows or value.ndim < ndim else unknown)
            for value in values
        ]
        made = list(feeds)
        for index, name in enumerate(names):
            one, other = (made[-1 - pick % len(made)] for pick in picks[2 * index :][:2])
            op = OPS[dtype][name]
            made.append(op(one, other) if name in BINARY else op(one))
        fetches = made[len(feeds) :][-2:]
        if reduction is not None:
            fetches = [fetches[-1], *([made[-1]] if keeps else [])]
            fetches.append(reduction(made[0] + made[-1], axes, keepdims=keeps))
        return feeds, fetches

    return Program(build, values)


@pytest.mark.parametrize("code", ["numpy", pytest.param("native", marks=pytest.mark.llvm)])
@settings(max_examples=125, deadline=None)
@given(program=programs())
def test_bits_are_those_of_operations_one_after_another(code, program):
    build, values = program
    with tiny_blocks() as ran, tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        feeds, fetches = build()
        found = []
        for config in (None, L0):
            with tf.Session(graph=graph, config=config) as session:
                try:
                    fed = dict(zip(feeds, values, strict=True))
                    for _ in range(blocks._OFTEN if config is None else 1):
                        results = session.run(fetches, fed)
                        found.append(list(map(_bits, results)))
                except tf.errors.OpError as error:
                    found.append(error.message)
    assert all(bits == found[-1] for bits in found)
    assert isinstance(found[0], str) or set(ran) <= {"blocks", "unfit"}


def test_no_block_is_of_one_complex_number(on_cpu):
    """Which NumPy multiplies otherwise, where the result is written over a factor."""
    x = tf.placeholder(tf.complex64, [None])
    y = tf.math.squared_difference((x + x) + (x + x), x + x)
    with tiny_blocks() as ran:
        found = []
        for config in (None, L0):
            with tf.Session(config=config) as session:
                found.append(
                    [
                        session.run(y, {x: _value(np.random.default_rng(n), (n,), tf.complex64)})
                        for n in range(600, 650)
                    ]
                )
    assert ran["blocks"] > 50
    for ours, plain in zip(*found, strict=True):
        assert _bits(ours) == _bits(plain)


@given(st.integers(1, 5000), st.sampled_from((np.float32, np.float64, np.complex64)))
def test_sums_are_cut_where_numpy_cuts_them(count, dtype):
    value = np.random.default_rng(count).normal(size=count).astype(dtype)
    unit = 2 if value.dtype.kind == "c" else 1
    bounds = pairwise_bounds(count, 200, unit)
    assert max(np.diff(bounds)) <= 200
    pieces = [value[i:j].sum() for i, j in pairwise(bounds)]
    assert _bits(joined_pairs(pieces, bounds, unit)) == _bits(value.sum())


# --- what is cut how ------------------------------------------------------------------------------


@pytest.fixture
def on_cpu(fresh_graph):
    """The graph of a test, on the CPU."""
    with tf.device("/cpu:0"):
        yield


BATCH = (8000, 256)
CUTS = [
    # of a matrix x of this shape: what is computed, blocks, scratch arrays, flat, what is reduced
    ("tanh(x) * 2.0 + x", lambda x: tf.tanh(x) * 2.0 + x, 6, 1, True, 0),
    ("relu(x + bias)", lambda x: tf.nn.relu(x + np.ones(256, np.float32)), 6, 1, False, 0),
    ("x - column", lambda x: tf.exp(x - x[:, :1]), 8, 1, False, 0),
    ("sum", lambda x: tf.reduce_sum(x * x + 1.0), 8, 1, True, 1),
    ("mean of rows", lambda x: tf.reduce_mean(x * x, 1), 10, 1, False, 1),
    ("sum of columns", lambda x: tf.reduce_sum(x * x, 0), 8, 1, False, 1),
    ("sum(x + bias)", lambda x: tf.reduce_sum(x + np.ones(256, np.float32)), 8, 1, False, 1),
]


@pytest.mark.parametrize(("name", "build", "number", "scratch", "flat", "reduced"), CUTS)
def test_a_group_is_cut_by_its_shapes(on_cpu, name, build, number, scratch, flat, reduced):
    x = tf.placeholder(tf.float32, [None, 256])
    y = build(x)
    value = np.random.default_rng(0).normal(size=BATCH).astype(np.float32)
    with tf.Session() as session, tf.Session(config=L0) as plain:
        assert _bits(session.run(y, {x: value})) == _bits(plain.run(y, {x: value}))
        (cut,) = [c for c in _cuts(session, [y], [x]) if c is not None]
        inside = [n for n in cut._axes if n in cut.inside]
        elements = max(np.diff(cut.bounds)) * (1 if flat else 256)
        counted = len(cut.bounds) - 1, cut.scratch_bytes // 4 / elements, cut._is_flat, len(inside)
        assert counted == (number, scratch, flat, reduced)
        assert _groups(plain, [y], [x]) == []


@pytest.mark.parametrize("axis", [0, [0, 1], [1, 2], 2])
def test_what_repeats_in_memory_is_cut(on_cpu, axis):
    """The gradient of a mean is one number for many elements, in memory once."""
    fed = np.random.default_rng(3).normal(0, 1, (6, 8, 40)).astype(np.float32)
    x = tf.placeholder(tf.float32, [None, 8, 40])
    (slope,) = tf.gradients(tf.square(tf.reduce_mean(x * x, axis)), x)
    fetches = [tf.abs(slope) + x, tf.reduce_sum(tf.abs(slope) * x, 2)]
    with tf.Session(config=L0) as session:
        plain = session.run(fetches, {x: fed})
    with tiny_blocks() as ran, tf.Session() as session:
        mine = session.run(fetches, {x: fed})
        assert set(ran) == {"blocks"}
        assert None not in _cuts(session, fetches, [x])
    for one, other in zip(mine, plain, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("rows", [4096, 4097])
def test_sums_of_matrices_are_cut_where_rows_end(on_cpu, rows):
    """Or not at all, where NumPy cuts them elsewhere."""
    x = tf.placeholder(tf.float32, [None, 256])
    y = tf.reduce_mean(tf.square(x - x[:1]))
    value = np.random.default_rng(0).normal(size=(rows, 256)).astype(np.float32)
    with tf.Session() as session, tf.Session(config=L0) as plain:
        assert _bits(session.run(y, {x: value})) == _bits(plain.run(y, {x: value}))
        (cut,) = [c for c in _cuts(session, [y], [x]) if c is not None]
        assert [n in cut.inside for n in cut._axes] == [rows == 4096]


def test_who_reads_the_same_reads_it_once(on_cpu):
    x = tf.placeholder(tf.float32, [None, 256])
    y = tf.matmul(x, tf.eye(256))
    total = tf.reduce_sum(y * 2.0, [0, 1])
    fetches = [tf.exp(y) + 1.0, total, tf.square(tf.reduce_sum(y, 0)) + y]
    value = np.random.default_rng(0).normal(size=BATCH).astype(np.float32)
    with tf.Session() as session, tf.Session(config=L0) as plain:
        results = [each.run(fetches, {x: value}) for each in (session, plain)]
        for mine, other in zip(*results, strict=True):
            assert _bits(mine) == _bits(other)
        assert sorted(len(group.steps) for group in _groups(session, fetches, [x])) == [1, 1, 4]


@pytest.mark.parametrize("shape", [(), (3,), (100, 100)])
def test_small_tensors_of_known_shape_stand_in_no_group(on_cpu, shape):
    x = tf.placeholder(tf.float32, shape)
    y = tf.tanh(x * 2.0) + x
    with tf.Session() as session:
        session.run(y, {x: np.zeros(shape)})
        assert _groups(session, [y], [x]) == []


def test_small_values_of_unknown_shape_are_not_cut(on_cpu):
    x = tf.placeholder(tf.float32, [None])
    y = tf.tanh(x * 2.0) + x
    with tf.Session() as session:
        assert session.run(y, {x: [0.0]}) == [0.0]
        (group,) = _groups(session, [y], [x])
        assert not group.cuts


def test_effects_keep_their_order(on_cpu):
    v = tf.Variable(np.ones(100_000, np.float32))
    before = v * 2.0 + 1.0
    with tf.control_dependencies([before]):
        change = tf.assign_add(v, np.ones(100_000, np.float32))
    with tf.control_dependencies([change]):
        after = tf.identity(v) * 2.0 + 1.0
    with tf.Session() as session:
        session.run(v.initializer)
        first, second = session.run([before, after])
        assert (first == 3).all()
        assert (second == 5).all()


def test_variables_are_read_where_their_values_are_computed_with(on_cpu):
    start = np.linspace(1, 2, 300, dtype=np.float32)
    x = tf.placeholder(tf.float32, [None])
    variable = tf.Variable(start, use_resource=False)
    added = tf.scatter_add(variable, [0, 7, 7], [1.0, 2.0, 3.0])
    # As sparse steps of Adam: of references, without an Identity.
    y = x * 2.0 / (tf.sqrt(added) + 1.0)
    after = tf.assign(variable, y)
    with tf.control_dependencies([after]):
        z = tf.square(added) + x
    feeds = {x: np.arange(300, dtype=np.float32)}
    results = []
    for config in (None, L0):
        with tiny_blocks() as ran, tf.Session(config=config) as session:
            session.run(variable.initializer)
            values = [*session.run([y, z], feeds), session.run(variable)]
            results.append([_bits(value) for value in values])
            assert (ran["blocks"] > 0) == (config is None)
            if config is None:
                parts = [[s.owner[1] for s in g.steps] for g in _groups(session, [y, z], [x])]
                assert sorted(map(len, parts)) == [2, 4]
    assert results[0] == results[1]


def test_a_variable_without_a_value_is_named_where_it_is_read(on_cpu):
    variable = tf.Variable(tf.zeros([300]), use_resource=False, name="bare")
    y = tf.sqrt(variable._ref(), name="root") * 2.0
    with tiny_blocks(), tf.Session() as session:
        for _ in range(2):
            with pytest.raises(tf.errors.FailedPreconditionError, match="bare") as caught:
                session.run(y)
            assert caught.value.op.name == "root"


def test_a_step_that_is_watched_sees_each_operation(on_cpu):
    x = tf.placeholder(tf.float32, [None])
    y = tf.tanh(x * 2.0, name="tanh")
    metadata = tf.RunMetadata()
    with tf.Session() as session:
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        session.run(y, {x: np.ones(100_000)}, options, metadata)
    names = {n.node_name for d in metadata.step_stats.dev_stats for n in d.node_stats}
    assert {"mul", "tanh"} <= names


# --- errors ---------------------------------------------------------------------------------------

ERRORS = [
    ("Incompatible shapes: [100000] vs. [100001]", "add", lambda x, y: tf.add(x * 2, y, "add")),
    ("Integer division by zero", "div", lambda x, y: tf.floordiv(x + 1, x * 0, "div")),
    ("must be .*same size and shape", "sum", lambda x, y: tf.add_n([x * 2, y + 1], "sum")),
]


@pytest.mark.parametrize(("text", "name", "build"), ERRORS)
def test_errors_name_their_operation(on_cpu, text, name, build):
    x, y = tf.placeholder(tf.int32, [None]), tf.placeholder(tf.int32, [None])
    z = build(x, y)
    feeds = {x: np.zeros(100_000), y: np.zeros(100_001)}
    with tf.Session() as session, tf.Session(config=L0) as plain:
        messages = []
        for each in (session, plain):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                each.run(z, feeds)
            assert caught.value.op.name == name
            messages.append(caught.value.message)
        assert messages[0] == messages[1]
        assert (session.run(x + y, {x: [1], y: [2]}) == [3]).all()


# --- memory ---------------------------------------------------------------------------------------


def test_memory_of_what_only_steps_have_is_used_again(on_cpu):
    x = tf.placeholder(tf.float32, [None, 1000])
    y = tf.tanh(x * 2.0)
    z = tf.matmul(y, np.ones((1000, 1), np.float32))
    value = np.ones((1000, 1000), np.float32)
    with tf.Session() as session:
        spares = session._engine.spares
        for _ in range(3):
            session.run(z, {x: value})
        assert (spares.reused, spares.nbytes) == (2, 4_000_000)
    assert spares.nbytes == 0


def test_what_the_program_gets_is_its_own(on_cpu):
    x = tf.placeholder(tf.float32, [None])
    y = tf.tanh(x * 2.0)
    seen = []
    z = tf.py_func(lambda value: seen.append(value) or np.float32(0), [y + 1.0], tf.float32)
    with tf.Session() as session:
        for number in (1.0, 2.0):
            value, _ = session.run([y, z], {x: np.full(1_000_000, number, np.float32)})
            assert value.base is None
            assert value.flags.owndata
        gone = weakref.ref(value)
        del value
        assert gone() is None
    assert seen[0][0] == np.tanh(np.float32(2.0)) + np.float32(1)
    assert seen[1][0] == np.tanh(np.float32(4.0)) + np.float32(1)


def test_variables_do_not_share_memory_with_steps(on_cpu):
    x = tf.placeholder(tf.float32, [None])
    v = tf.Variable(np.zeros(500_000, np.float32), use_resource=True)
    change = tf.assign_add(v, tf.tanh(x) + x)
    with tf.Session() as session:
        session.run(v.initializer)
        ones = np.ones(500_000, np.float32)
        for _ in range(3):
            session.run(change, {x: ones})
        expected = 3 * (np.tanh(ones) + ones)
        np.testing.assert_allclose(session.run(v), expected, rtol=1e-6)


def test_spares_are_bounded_and_never_handed_out_twice():
    spares = Spares(most_bytes=8 << 20)
    kept = [spares.empty((1 << 20,), np.dtype(np.float32)) for _ in range(4)]
    assert len({array.ctypes.data for array in kept}) == 4
    assert spares.nbytes == 8 << 20
    view = kept[0][5:]
    kept.clear()
    again = [spares.empty((1024, 1000), np.dtype(np.float32)) for _ in range(2)]
    assert not any(np.shares_memory(view, array) for array in again)
    del again
    assert spares.empty((1 << 21,), np.dtype(np.float32)).nbytes == 8 << 20
    assert spares.nbytes <= 8 << 20
    spares.clear()
    assert spares.nbytes == 0


def test_results_are_charged_to_their_operation(on_cpu):
    x = tf.placeholder(tf.float32, [None])
    y = tf.tanh(x * 2.0, name="y") + 1.0
    seen = []
    z = tf.py_func(lambda _: seen.append(session.memory_stats("/cpu:0").live), [y], [])
    config = tf.ConfigProto(device_options={"memory_limits": {"/cpu:0": "8000000"}})
    with tf.Session(config=config) as session:
        session.run(z, {x: np.ones(500_000, np.float32)})
        assert [(held.op, held.nbytes) for held in seen[0]] == [(y.op.name, 2_000_000)]
        assert session.memory_stats("/cpu:0").peak == 2_000_000
        with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
            session.run(z, {x: np.ones(2_100_000, np.float32)})
        assert caught.value.op.name == "mul"
        assert session.memory_stats("/cpu:0").in_use == 0


def test_threads_share_a_plan(on_cpu):
    x = tf.placeholder(tf.float32, [None])
    y = tf.reduce_sum(tf.tanh(x * 2.0) + x)
    values = [np.full(200_000, number, np.float32) for number in range(4)]
    with tf.Session() as session:
        call = session.make_callable(y, [x])
        expected = [call(value) for value in values]
        wrong = []

        def work(number):
            results = [call(values[number]) for _ in range(10)]
            wrong.extend(result for result in results if result != expected[number])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_results_do_not_depend_on_threads(on_cpu, axis):
    x = tf.placeholder(tf.float32, [None, 300])
    y = tf.reduce_mean(tf.tanh(x * 2.0) + x, axis)
    value = np.random.default_rng(0).normal(size=(3000, 300)).astype(np.float32)
    found = set()
    for threads in (1, 2, 0):
        config = tf.ConfigProto(intra_op_parallelism_threads=threads)
        with tf.Session(config=config) as session:
            found.add(_bits(session.run(y, {x: value})))
    assert len(found) == 1
