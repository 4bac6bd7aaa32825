"""What random ops and initializers draw, against real TensorFlow on a CPU: the same bytes.

Where TensorFlow draws the rows of a Multinomial in several threads, how many there are shows in the
draws: it is given one here.
"""

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("7.6")]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """Elsewhere the logarithm of float64 is the device's, here the C library's as in TensorFlow."""
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)


FLOATS = ("float16", "bfloat16", "float32", "float64")
SEEDS = ((None, 3), (5, None), (5, 7), (0, 0), (2**40, -1))
SHAPES = ([], [0], [1], [3, 5], [7, 11, 13], [99_999])


def runs_of(module, build, graph_seed=None, runs=3):
    """What the tensors of `build` are in successive runs of one session."""
    graph = module.Graph()
    with graph.as_default():
        if graph_seed is not None:
            module.set_random_seed(graph_seed)
        tensors = build(module)
        config = module.ConfigProto(intra_op_parallelism_threads=1)
        with module.Session(graph=graph, config=config) as session:
            return [session.run(tensors) for _ in range(runs)]


def assert_same_bytes(mine, theirs):
    for one, other in zip(mine, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            a, b = np.asarray(a), np.asarray(b)
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            different = np.count_nonzero(
                np.frombuffer(a.tobytes(), np.uint8) != np.frombuffer(b.tobytes(), np.uint8)
            )
            assert different == 0, f"{different} of {a.nbytes} bytes differ"


def compare(tf, build, graph_seed=None, runs=3):
    mine = runs_of(tfsession, build, graph_seed, runs)
    assert_same_bytes(mine, runs_of(tf, build, graph_seed, runs))
    return mine


NUMBERS = [
    *(("random_uniform", dtype, {}) for dtype in FLOATS),
    *(("random_normal", dtype, {}) for dtype in FLOATS),
    *(("truncated_normal", dtype, {}) for dtype in FLOATS),
    *(("random_uniform", dtype, {"minval": -2, "maxval": 0.3}) for dtype in FLOATS),
    *(("random_normal", dtype, {"mean": 3.0, "stddev": 0.1}) for dtype in FLOATS),
    *(("random_uniform", dtype, {"maxval": 1000}) for dtype in ("int32", "int64")),
    ("random_uniform", "int32", {"minval": -(2**31), "maxval": 2**31 - 1}),
    ("random_uniform", "int64", {"minval": -(2**63), "maxval": 2**63 - 1}),
]


@pytest.mark.parametrize(("graph_seed", "op_seed"), SEEDS)
@pytest.mark.parametrize(("builder", "dtype", "options"), NUMBERS)
def test_numbers(tf, builder, dtype, options, graph_seed, op_seed):
    def build(module):
        make = getattr(module, builder)
        return [make(shape, dtype=dtype, seed=op_seed, **options) for shape in SHAPES]

    first, second, _ = compare(tf, build, graph_seed)
    assert first[-1].tobytes() != second[-1].tobytes()


@pytest.mark.parametrize("builder", ["random_normal", "truncated_normal"])
def test_millions_of_normal_numbers(tf, builder):
    compare(tf, lambda module: [getattr(module, builder)([4_000_001], seed=11)], runs=2)


@pytest.mark.parametrize("builder", ["random_normal", "truncated_normal"])
def test_a_million_normal_numbers_in_float64(tf, builder):
    compare(tf, lambda m: [getattr(m, builder)([500_001], dtype="float64", seed=12)], runs=2)


@pytest.mark.parametrize(("graph_seed", "op_seed"), SEEDS)
def test_shuffles(tf, graph_seed, op_seed):
    def build(module):
        shuffle = module.random_shuffle
        whole = [np.arange(n) for n in (0, 1, 2, 3, 5, 100, 30_000)]
        return [
            *(shuffle(values, seed=op_seed) for values in whole),
            shuffle(np.arange(24.0).reshape(6, 2, 2), seed=op_seed),
            shuffle(np.array(3, np.int32), seed=op_seed),
        ]

    compare(tf, build, graph_seed)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("rows", "classes", "count"), [(1, 2, 1), (4, 7, 13), (2, 3000, 50)])
def test_categories(tf, dtype, rows, classes, count):
    logits = np.random.default_rng(rows).normal(size=(rows, classes)) * 3

    def build(module):
        weights = module.cast(module.constant(logits), dtype)
        return [
            module.multinomial(weights, count, seed=5),
            module.random.categorical(weights, count, "int32", seed=6),
            module.random.stateless_categorical(weights, count, [1, 2]),
        ]

    compare(tf, build)


STATELESS = [
    *(("stateless_uniform", dtype, {}) for dtype in FLOATS),
    *(("stateless_normal", dtype, {}) for dtype in FLOATS),
    *(("stateless_truncated_normal", dtype, {}) for dtype in FLOATS),
    *(("stateless_uniform", dtype, {"minval": -9, "maxval": 99}) for dtype in ("int32", "int64")),
    *(
        ("stateless_uniform", dtype, {"minval": None, "maxval": None})
        for dtype in ("int32", "int64", "uint32", "uint64")
    ),
]


@pytest.mark.parametrize("alg", ["auto_select", "philox"])
@pytest.mark.parametrize(("builder", "dtype", "options"), STATELESS)
def test_stateless_numbers(tf, builder, dtype, options, alg):
    def build(module):
        make = getattr(module.random, builder)
        seeds = ([0, 0], [1, 2], [-1, 2**31 - 1], np.array([2**63 - 1, -(2**63)]))
        return [
            make(shape, seed, dtype=dtype, alg=alg, **options)
            for seed in seeds
            for shape in ([], [0], [5], [1001])
        ]

    compare(tf, build, runs=1)


def test_seeds_made_of_seeds(tf):
    def build(module):
        new = module.random.split([3, 4], 5)
        folded = module.random.fold_in([3, 4], 77)
        return [new, folded, module.random.experimental.stateless_shuffle(np.arange(50), folded)]

    compare(tf, build, runs=1)


def test_names_hold_streams(tf):
    """Two nodes of one seed, run together and apart: each node's stream is its own."""

    def traces(module):
        graph = module.Graph()
        with graph.as_default(), module.Session(graph=graph) as session:
            a, b = (module.random_normal([3], seed=1) for _ in range(2))
            steps = [session.run(fetches) for fetches in ([a], [a, b], [b], [b, a], [a + 1.0])]
            c = module.random_normal([3], seed=1, name="random_normal_of_later")
            return [*steps, session.run([a, c])]

    assert_same_bytes(traces(tfsession), traces(tf))


def test_a_graph_of_tensorflow_draws_the_same(tf):
    """Streams belong to names in a GraphDef, too, and a second session starts them again."""
    graph = tf.Graph()
    with graph.as_default():
        outputs = [tf.random_normal([5], seed=3), tf.random_uniform([5], seed=4)]
        outputs.append(tf.random_shuffle(outputs[0], seed=5))
        with tf.Session(graph=graph) as session:
            theirs = [session.run(outputs) for _ in range(3)]
    copy = tfsession.Graph()
    with copy.as_default():
        text = graph.as_graph_def().SerializeToString()
        definition = tfsession.GraphDef.FromString(text)
        tfsession.import_graph_def(definition, name="")
    for _ in range(2):
        with tfsession.Session(graph=copy) as session:
            names = [tensor.name for tensor in outputs]
            assert_same_bytes([session.run(names) for _ in range(3)], theirs)


def test_crops(tf):
    whole = np.arange(7 * 10 * 3).reshape(7, 10, 3)
    compare(tf, lambda module: [module.random_crop(whole, [3, 4, 3], seed=2)], runs=5)


# --- initializers ---------------------------------------------------------------------------------

INITIALIZERS = [
    ("zeros", {}),
    ("zeros", {"dtype": "int32"}),
    ("ones", {"dtype": "float64"}),
    ("constant", {"value": 3.5}),
    ("constant", {"value": 7, "dtype": "int64"}),
    ("identity", {"gain": 1.5}),
    ("random_uniform", {"minval": -1.0, "maxval": 2.0, "seed": 1}),
    ("random_uniform", {"minval": 0, "maxval": 9, "seed": 1, "dtype": "int32"}),
    ("random_normal", {"mean": 1.0, "stddev": 3.0, "seed": 2}),
    ("truncated_normal", {"stddev": 0.1, "seed": 3, "dtype": "float64"}),
    ("uniform_unit_scaling", {"factor": 1.3, "seed": 4}),
    ("glorot_uniform", {}),
    ("glorot_uniform", {"seed": 5}),
    ("glorot_normal", {"seed": 6, "dtype": "float16"}),
    ("he_normal", {"seed": 7}),
    ("he_uniform", {"seed": 8}),
    ("lecun_normal", {"seed": 9}),
    ("lecun_uniform", {"seed": 10}),
    *(
        ("variance_scaling", {"scale": 2.3, "mode": mode, "distribution": name, "seed": 11})
        for mode in ("fan_in", "fan_out", "fan_avg")
        for name in ("uniform", "normal", "truncated_normal", "untruncated_normal")
    ),
]


class Part:
    """A part of a variable, as partitioned variables describe it."""

    def __init__(self, full_shape, var_offset):
        self.full_shape = full_shape
        self.var_offset = var_offset


@pytest.mark.parametrize(("name", "options"), INITIALIZERS)
def test_initializers(tf, name, options):
    shapes = [[4, 3]] if name == "identity" else [[], [5], [4, 3], [3, 3, 2, 4], [0, 2]]

    def build(module):
        initializer = getattr(module.initializers, name)(**options)
        again = type(initializer).from_config(initializer.get_config())
        part = again([2, 3], partition_info=Part([4, 3], [2, 0]))
        return [*(initializer(shape) for shape in shapes), part]

    compare(tf, build, graph_seed=17, runs=1)
    configs = [getattr(m.initializers, name)(**options).get_config() for m in (tf, tfsession)]
    assert configs[0] == configs[1]


@pytest.mark.parametrize(("name", "options"), INITIALIZERS)
def test_initializers_build_the_same_graph(tf, name, options):
    def built(module):
        with module.Graph().as_default() as graph:
            getattr(module.initializers, name)(**options)([4, 3])
            return [(op.name, op.type) for op in graph.get_operations()]

    if name != "identity":
        assert built(tfsession) == built(tf)
