"""Operations computed together: bits as one after another, what is cut how, errors, memory."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.runtime import blocks, fuse
from tfsession.runtime.blocks import Blocks
from tfsession.runtime.plan import Signature

L0 = tf.ConfigProto(
    graph_options=tf.GraphOptions(
        optimizer_options=tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
    )
)


@pytest.fixture(scope="module")
def tiny_blocks():
    """Everything is worth it, blocks have a few elements; gives how often groups ran in blocks."""
    ran = Counter()
    run = blocks.Cut.run

    def noting(cut, values):
        try:
            results = run(cut, values)
        except blocks.Unfit:
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


@st.composite
def programs(draw):
    """A graph of element-wise operations and reductions, as (build, feeds)."""
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

    return build, values


@settings(max_examples=250, deadline=None)
@given(programs())
def test_bits_are_those_of_operations_one_after_another(tiny_blocks, program):
    build, values = program
    tiny_blocks.clear()
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        feeds, fetches = build()
        found = []
        for config in (None, L0):
            with tf.Session(graph=graph, config=config) as session:
                try:
                    results = session.run(fetches, dict(zip(feeds, values, strict=True)))
                    found.append(list(map(_bits, results)))
                except tf.errors.OpError as error:
                    found.append(error.message)
    assert found[0] == found[1]
    assert isinstance(found[0], str) or set(tiny_blocks) <= {"blocks"}
