"""tf.distributions: densities, draws, statistics, divergences."""

import numpy as np
import pytest
import scipy.stats

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, ints, row_cases

KINDS = ("float32", "float64")
VALUE, LOC, SCALE = floats(3), floats(3), floats(3, low=0.5)
CDF = "the tails are written otherwise"


def normal(method, **kwargs):
    def build(tf, x, loc, scale):
        found = getattr(tf.distributions.Normal(loc, scale), method)
        return found(x, **kwargs)

    return build


def statistics(kind, *methods):
    def build(tf, *parameters):
        made = getattr(tf.distributions, kind)(*parameters)
        return [getattr(made, method)() for method in methods]

    return build


def logits(kind, method, **options):
    return lambda tf, x, k: getattr(getattr(tf.distributions, kind)(x, **options), method)(k)


def of(scipy_name):
    return lambda x, loc, scale: getattr(scipy.stats.norm(loc, scale), scipy_name)(x)


def drawn(kind, shape, **options):
    def build(tf, *parameters):
        tf.set_random_seed(5)
        made = getattr(tf.distributions, kind)(
            *parameters, **{k: tf.as_dtype(v) for k, v in options.items()}
        )
        return [made.sample(shape, seed=3), made.sample(shape)]

    return build


def divergence(kind):
    def build(tf, a, b, c, d):
        make = getattr(tf.distributions, kind)
        return tf.distributions.kl_divergence(make(a, b), make(c, d))

    return build


def divergence_of_logits(kind):
    def build(tf, a, b):
        make = getattr(tf.distributions, kind)
        return [
            tf.distributions.kl_divergence(make(a), make(b)),
            make(a).kl_divergence(make(b)),
            make(a).cross_entropy(make(b)),
        ]

    return build


ROWS = [
    Row("Sub", normal("log_prob"), [VALUE, LOC, SCALE], dtypes=KINDS, reference=of("logpdf"),
        grad=True, label="normal"),
    Row("Exp", normal("prob"), [floats(2, 3), LOC, floats(low=0.5)], dtypes=KINDS,
        reference=of("pdf"), grad=True, label="normal"),
    Row("Erf", normal("cdf"), [VALUE, LOC, SCALE], dtypes=KINDS, reference=of("cdf"), grad=True,
        label="normal", tolerance=10),
    Row("Erfc", normal("log_cdf"), [floats(9, low=-30.0, high=9.0), floats(), floats(low=0.5)],
        dtypes=KINDS, reference=of("logcdf"), label="normal", tolerance=100, same_graph=CDF),
    Row("Fill", statistics("Normal", "mean", "stddev", "variance", "mode", "entropy"),
        [LOC, floats(2, 1, low=0.5)], dtypes=KINDS, grad=True, label="normal",
        reference=lambda loc, scale: [
            loc + 0 * scale, scale + 0 * loc, scale**2 + 0 * loc, loc + 0 * scale,
            scipy.stats.norm(loc, scale).entropy()]),
    *(
        Row("RandomStandardNormal", drawn("Normal", shape), [LOC, SCALE], dtypes=KINDS,
            label=f"normal {shape}")
        for shape in ((), 2, [2, 2])
    ),
    Row("SquaredDifference", divergence("Normal"), [LOC, SCALE, LOC, SCALE], dtypes=KINDS,
        grad=True, label="normal"),
    Row("SelectV2", lambda tf, x: tf.distributions.Uniform(-1.0, [0.5, 1.0, 3.0]).prob(x), [VALUE],
        reference=lambda x: scipy.stats.uniform(-1, [1.5, 2, 4]).pdf(x), label="uniform"),
    Row("Log", lambda tf, x, high: tf.distributions.Uniform(x - 5.0, high).log_prob(x),
        [VALUE, floats(3, low=3.0, high=4.0)], label="uniform"),
    Row("RealDiv", statistics("Uniform", "mean", "stddev", "variance", "entropy", "range"),
        [LOC, floats(3, low=3.0, high=4.0)], dtypes=KINDS, grad=True, label="uniform",
        reference=lambda a, b: [(a + b) / 2, (b - a) / 12**0.5, (b - a)**2 / 12, np.log(b - a),
                                b - a]),
    *(
        Row("RandomUniform", drawn("Uniform", shape), [LOC, floats(3, low=3.0, high=4.0)],
            label=f"uniform {shape}")
        for shape in ((), [2, 2])
    ),
    Row("Log1p", logits("Bernoulli", "log_prob"), [floats(2, 3), ints(2, 3, high=2)],
        reference=lambda x, k: scipy.stats.bernoulli(1 / (1 + np.exp(-x))).logpmf(k), grad=True,
        label="bernoulli", tolerance=10),
    Row("Log1p", lambda tf, p: tf.distributions.Bernoulli(probs=p, dtype=tf.int64).log_prob([0, 1]),
        [floats(2, low=0.1, high=0.9)], label="bernoulli of probabilities"),
    Row("Softplus", statistics("Bernoulli", "mean", "variance", "stddev", "mode", "entropy"),
        [floats(3)], label="bernoulli"),
    Row("RandomUniform", drawn("Bernoulli", [4]), [floats(3)], label="bernoulli"),
    Row("Softplus", divergence_of_logits("Bernoulli"), [floats(3), floats(3)], grad=True,
        label="divergence"),
    Row("SparseSoftmaxCrossEntropyWithLogits", logits("Categorical", "log_prob"),
        [floats(2, 3), ints(2, high=3)], grad=True, label="categorical"),
    Row("SparseSoftmaxCrossEntropyWithLogits",
        lambda tf, p, k: tf.distributions.Categorical(probs=p).prob(k),
        [floats(3, low=0.1, high=0.9), ints(2, 2, high=3)], label="categorical, many values",
        same_graph="broadcasts otherwise", reference=lambda p, k: (p / p.sum())[k]),
    Row("ArgMax", statistics("Categorical", "mode", "entropy"), [floats(2, 3)],
        label="categorical"),
    *(
        Row("Multinomial", drawn("Categorical", shape, dtype=dtype), [floats(*sizes)],
            label=f"categorical {shape} {dtype} {sizes}")
        for shape, dtype, sizes in (((), "int32", (2, 3)), ([4], "int64", (2, 3)),
                                    ([2, 2], "int32", (2, 2, 3)), (5, "float32", (3,)))
    ),
    Row("LogSoftmax", divergence_of_logits("Categorical"), [floats(2, 3), floats(2, 3)], grad=True,
        label="divergence"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def run(fetches, feeds=None):
    with tf.Session() as session:
        return session.run(fetches, feeds)


def test_what_a_distribution_tells(fresh_graph):
    made = tf.distributions.Normal([1.0, 2.0], 3.0)
    assert (
        str(made)
        == 'tfp.distributions.Normal("Normal/", batch_shape=(2,), event_shape=(), dtype=float32)'
    )
    assert repr(made).startswith("<tfp.distributions.Normal 'Normal/' batch_shape=(2,) event_shape")
    assert made.parameters["scale"] == 3.0
    assert made.reparameterization_type is tf.distributions.FULLY_REPARAMETERIZED
    assert made.copy(loc=[5.0]).mean().name == "Normal_1/mean/mul:0"
    assert run([made.is_scalar_batch(), made.is_scalar_event()]) == [False, True]
    assert run([made.batch_shape_tensor(), made.event_shape_tensor()])[0].tolist() == [2]


def test_shapes_that_only_a_step_knows(fresh_graph):
    loc, wanted = tf.placeholder(tf.float32), tf.placeholder(tf.int32)
    normal = tf.distributions.Normal(loc, 1.0)
    feeds = {loc: np.zeros((2, 3)), wanted: [4, 1]}
    assert run(normal.sample(wanted, seed=1), feeds).shape == (4, 1, 2, 3)
    assert run(normal.sample(wanted, seed=1), {**feeds, wanted: 5}).shape == (5, 2, 3)
    chosen = tf.distributions.Categorical(loc)
    assert run([chosen.sample([4], seed=1), chosen.batch_shape_tensor()], feeds)[0].shape == (4, 2)
    assert (
        run([chosen.event_size, tf.distributions.Normal(loc, loc).is_scalar_batch()], feeds)[0] == 3
    )


def test_gradients_flow_through_draws(fresh_graph):
    loc, scale = tf.constant([1.0, 2.0]), tf.constant([1.0, 0.5])
    draws = tf.distributions.Normal(loc, scale).sample(3, seed=1)
    found, values = run([tf.gradients(draws, [loc, scale]), (draws - loc) / scale])
    assert found[0].tolist() == [3, 3]
    np.testing.assert_allclose(found[1], values.sum(0), rtol=1e-5)


def test_what_is_refused(fresh_graph):
    d = tf.distributions
    normal, uniform = d.Normal(0.0, 1.0), d.Uniform()
    for build, error, text in (
        (lambda: d.kl_divergence(normal, uniform), NotImplementedError, "No KL.* type Uniform"),
        (lambda: d.Categorical([1.0, 2.0]).mean(), NotImplementedError, "mean is not implemented"),
        (lambda: uniform.mode(), NotImplementedError, "mode is not implemented: Uniform"),
        (lambda: d.Bernoulli(), ValueError, "Must pass probs or logits, but not both"),
        (lambda: d.Bernoulli(0.1, 0.2), ValueError, "Must pass probs or logits, but not both"),
        (lambda: d.RegisterKL(d.Normal, d.Normal)(max), ValueError, "already been registered"),
        (lambda: d.RegisterKL(d.Normal, d.Uniform)(3), TypeError, "kl_fn must be callable"),
        (lambda: d.Normal(tf.constant(0.0), tf.constant(1.0, tf.float64)), TypeError, "float64"),
    ):
        with pytest.raises(error, match=text):
            build()
