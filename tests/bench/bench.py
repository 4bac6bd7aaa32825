"""tfsession beside TensorFlow on the CPU: the same programs, in one run, taking turns.

Each row builds one program with both, checks that the answers agree, then times short rounds of
each in alternation and prints medians and their ratio. Figures of one machine and one moment: only
the ratios mean something. `--json FILE` keeps them; `--only TEXT` chooses rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

Step = Callable[[], Any]


@dataclass
class Result:
    """Median seconds of one row for both, and how often each was timed."""

    name: str
    ours: float
    theirs: float
    rounds: int

    @property
    def ratio(self) -> float:
        """Our time as a part of TensorFlow's."""
        return self.ours / self.theirs


def _graph(tf: Any) -> Any:
    return tf.Graph().as_default()


def fed_multiply(tf: Any, callable_: bool) -> Step:
    """c = a * b with both fed."""
    with _graph(tf) as graph:
        a, b = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
        c = a * b
        session = tf.Session(graph=graph)
    if callable_:
        call = session.make_callable(c, [a, b])
        return lambda: call(2.0, 3.0)
    feeds = {a: 2.0, b: 3.0}
    return lambda: session.run(c, feeds)


def chain(tf: Any, length: int) -> Step:
    """A chain of element-wise ops on ten numbers."""
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, [10])
        y = x
        for index in range(length // 2):
            y = tf.tanh(y) if index % 50 == 0 else y * x
            y = y + x
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x])
    value = np.linspace(0.1, 0.3, 10, dtype=np.float32)
    return lambda: call(value)


def traced_chain(tf: Any, length: int) -> Step:
    """The chain, with every op recorded and the step stats handed out."""
    with _graph(tf) as graph:
        x = y = tf.placeholder(tf.float32, [10])
        for _ in range(length):
            y = y + x
        session = tf.Session(graph=graph)
    options, metadata = tf.RunOptions(trace_level=3), tf.RunMetadata()
    feeds = {x: np.linspace(0.1, 0.3, 10, dtype=np.float32)}
    return lambda: session.run(y, feeds, options, metadata)


def _mlp(tf: Any, batch: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    x = tf.placeholder(tf.float32, [None, 784])
    labels = tf.placeholder(tf.int32, [None])
    layer, width = x, 784
    for units in (256, 256, 10):
        weights = tf.Variable(rng.normal(0, 0.05, (width, units)).astype(np.float32))
        layer = tf.matmul(layer, weights) + tf.Variable(np.zeros(units, np.float32))
        layer, width = (tf.nn.relu(layer) if units != 10 else layer), units
    data = rng.normal(0, 1, (batch, 784)).astype(np.float32)
    return x, labels, layer, data, rng.integers(0, 10, batch).astype(np.int32)


def mlp_inference(tf: Any, batch: int) -> Step:
    """784-256-256-10, forward."""
    with _graph(tf) as graph:
        x, _, logits, data, _ = _mlp(tf, batch)
        probabilities = tf.nn.softmax(logits)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable(probabilities, [x])
    return lambda: call(data)


def mlp_training(tf: Any, batch: int) -> Step:
    """784-256-256-10, one Adam step with the loss fetched."""
    with _graph(tf) as graph:
        x, labels, logits, data, target = _mlp(tf, batch)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        train = tf.train.AdamOptimizer(1e-4).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [x, labels])
    return lambda: call(data, target)[1]


def convolution(tf: Any, shape: tuple[int, ...], extent: int, filters: int, back: bool) -> Step:
    """A convolution of images, forward, or with both its gradients."""
    rng = np.random.default_rng(0)
    w = rng.normal(0, 0.05, (extent, extent, shape[-1], filters)).astype(np.float32)
    with _graph(tf) as graph:
        x, weights = tf.placeholder(tf.float32, shape), tf.constant(w)
        y = tf.nn.conv2d(x, weights, [1, 1, 1, 1], "SAME")
        loss = tf.reduce_mean(y)
        fetches = [loss]
        if back:
            fetches += [tf.reduce_mean(g) for g in tf.gradients(y * y, [x, weights])]
        session = tf.Session(graph=graph)
    call = session.make_callable(fetches, [x])
    images = rng.normal(0, 1, shape).astype(np.float32)
    return lambda: call(images)


def cnn_training(tf: Any, batch: int) -> Step:
    """Two convolutions with pools and a dense layer on 28x28 images: one step of descent."""
    rng = np.random.default_rng(0)

    def variable(*sizes: int) -> Any:
        return tf.Variable(rng.normal(0, 0.05, sizes).astype(np.float32))

    with _graph(tf) as graph:
        x, labels = tf.placeholder(tf.float32, [None, 784]), tf.placeholder(tf.int32, [None])
        layer, depth = tf.reshape(x, [-1, 28, 28, 1]), 1
        for filters in (32, 64):
            layer = tf.nn.conv2d(layer, variable(5, 5, depth, filters), [1, 1, 1, 1], "SAME")
            layer = tf.nn.relu(tf.nn.bias_add(layer, variable(filters)))
            layer = tf.nn.max_pool(layer, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
            depth = filters
        logits = tf.matmul(tf.reshape(layer, [-1, 7 * 7 * 64]), variable(7 * 7 * 64, 10))
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        train = tf.train.GradientDescentOptimizer(1e-4).minimize(loss)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    call = session.make_callable([train, loss], [x, labels])
    data = rng.normal(0, 1, (batch, 784)).astype(np.float32)
    target = rng.integers(0, 10, batch).astype(np.int32)
    return lambda: call(data, target)[1]


def pools(tf: Any, back: bool) -> Step:
    """A pool of 2x2 and one of 3x3, forward, or with their gradients."""
    shape = (32, 56, 56, 32)
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, shape)
        y = tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        y = tf.nn.max_pool(y, [1, 3, 3, 1], [1, 2, 2, 1], "SAME")
        fetch = tf.reduce_mean(tf.gradients(y, x)[0] if back else y)
        session = tf.Session(graph=graph)
    call = session.make_callable(fetch, [x])
    images = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return lambda: call(images)


def batch_norm(tf: Any) -> Step:
    """Fused batch normalization in training, with its gradients."""
    shape = (32, 28, 28, 64)
    with _graph(tf) as graph:
        x, ones = tf.placeholder(tf.float32, shape), tf.constant(np.ones(64, np.float32))
        y = tf.nn.fused_batch_norm(x, ones, ones)[0]
        grads = tf.gradients(y * y * y, [x, ones])
        fetches = [tf.reduce_mean(y), tf.reduce_mean(tf.square(grads[0]))]
        session = tf.Session(graph=graph)
    call = session.make_callable(fetches, [x])
    images = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return lambda: call(images)


def elementwise_large(tf: Any) -> Step:
    """Twelve element-wise ops on ten million numbers."""
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, [None])
        y = x
        for _ in range(4):
            y = tf.tanh(y * 1.5 + 0.5)
        total = y[:1]
        session = tf.Session(graph=graph)
    call = session.make_callable(total, [x])
    value = np.linspace(-1, 1, 10_000_000, dtype=np.float32)
    return lambda: call(value)


def reduction_large(tf: Any) -> Step:
    """sum(x * x + 1) over ten million numbers."""
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, [None])
        total = tf.reduce_sum(x * x + 1.0)
        session = tf.Session(graph=graph)
    call = session.make_callable(total, [x])
    value = np.linspace(-1, 1, 10_000_000, dtype=np.float32)
    return lambda: call(value)


def loop(tf: Any, turns: int) -> Step:
    """A loop whose body multiplies and adds ten numbers."""
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, [10])
        y = tf.while_loop(lambda i, y: i < turns, lambda i, y: (i + 1, y * 0.5 + x), [0, x])[1]
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x])
    value = np.linspace(0.1, 0.3, 10, dtype=np.float32)
    return lambda: call(value)


def loop_gradient(tf: Any, turns: int) -> Step:
    """The gradient of a loop whose body multiplies ten numbers twice."""
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, [10])
        y = tf.while_loop(lambda i, y: i < turns, lambda i, y: (i + 1, y * x * 0.99), [0, x])[1]
        (grad,) = tf.gradients(y, x)
        session = tf.Session(graph=graph)
    call = session.make_callable(grad, [x])
    value = np.linspace(1.0, 1.01, 10, dtype=np.float32)
    return lambda: call(value)


def recurrent(tf: Any, steps: int, trains: bool) -> Step:
    """A recurrent network of 32 units over TensorArrays, a batch of 8; its outputs or gradients."""
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, [steps, 8, 16])
        w = tf.constant(np.linspace(-0.2, 0.2, 48 * 32, dtype=np.float32).reshape(48, 32))
        inputs = tf.TensorArray(tf.float32, steps).unstack(x)

        def body(step: Any, state: Any, outputs: Any) -> Any:
            state = tf.tanh(tf.matmul(tf.concat([inputs.read(step), state], 1), w))
            return step + 1, state, outputs.write(step, state)

        first = 0, tf.zeros([8, 32]), tf.TensorArray(tf.float32, steps)
        outputs = tf.while_loop(lambda step, *_: step < steps, body, first)[2].stack()
        fetch = tf.gradients(tf.reduce_mean(tf.square(outputs)), w)[0] if trains else outputs
        session = tf.Session(graph=graph)
    call = session.make_callable(fetch, [x])
    value = np.linspace(-1, 1, steps * 128, dtype=np.float32).reshape(steps, 8, 16)
    return lambda: call(value)


def mapped(tf: Any, rows: int) -> Step:
    """A function of two ops of each row, by `map_fn`."""
    with _graph(tf) as graph:
        x = tf.placeholder(tf.float32, [rows, 10])
        y = tf.map_fn(lambda row: tf.tanh(row) * 2.0, x)
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x])
    value = np.linspace(-1, 1, rows * 10, dtype=np.float32).reshape(rows, 10)
    return lambda: call(value)


def cond(tf: Any) -> Step:
    """One of two branches, each of two ops on ten numbers."""
    with _graph(tf) as graph:
        x, p = tf.placeholder(tf.float32, [10]), tf.placeholder(tf.bool, [])
        y = tf.cond(p, lambda: tf.tanh(x * 2.0), lambda: tf.exp(x - 1.0))
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x, p])
    value = np.linspace(0.1, 0.3, 10, dtype=np.float32)
    return lambda: call(value, True)


def construction(tf: Any) -> Step:
    """Making 2,000 nodes."""

    def build() -> None:
        with _graph(tf):
            x = y = tf.placeholder(tf.float32, [10])
            for _ in range(1000):
                y = y + x
                y = tf.multiply(y, x)

    return build


def first_run(tf: Any) -> Step:
    """The first run of a graph of 2,000 nodes, its construction not counted."""
    graphs = []

    def prepare() -> None:
        with _graph(tf) as graph:
            x = y = tf.placeholder(tf.float32, [10])
            for _ in range(1000):
                y = y + x
                y = tf.multiply(y, x)
        graphs.append((graph, x, y))

    def run() -> Any:
        graph, x, y = graphs.pop()
        with tf.Session(graph=graph) as session:
            return session.run(y, {x: np.full(10, 1e-3, np.float32)})

    run.prepare = prepare  # type: ignore[attr-defined]
    return run


ROWS: list[tuple[str, Callable[[Any], Step]]] = [
    ("c = a * b, run", lambda tf: fed_multiply(tf, False)),
    ("c = a * b, make_callable", lambda tf: fed_multiply(tf, True)),
    ("chain of 100 small ops", lambda tf: chain(tf, 100)),
    ("chain of 2,000 small ops", lambda tf: chain(tf, 2000)),
    ("chain of 1,000 small ops, traced", lambda tf: traced_chain(tf, 1000)),
    ("MLP inference, batch 1", lambda tf: mlp_inference(tf, 1)),
    ("MLP inference, batch 128", lambda tf: mlp_inference(tf, 128)),
    ("MLP Adam step, batch 32", lambda tf: mlp_training(tf, 32)),
    ("MLP Adam step, batch 256", lambda tf: mlp_training(tf, 256)),
    ("conv 32x28x28x1, 5x5 to 32", lambda tf: convolution(tf, (32, 28, 28, 1), 5, 32, False)),
    ("conv 8x56x56x64, 3x3 to 64", lambda tf: convolution(tf, (8, 56, 56, 64), 3, 64, False)),
    ("conv 8x56x56x64, with gradients", lambda tf: convolution(tf, (8, 56, 56, 64), 3, 64, True)),
    ("conv 1x1 of 16x28x28x256", lambda tf: convolution(tf, (16, 28, 28, 256), 1, 64, False)),
    ("max pools of 32x56x56x32", lambda tf: pools(tf, False)),
    ("max pools, with gradients", lambda tf: pools(tf, True)),
    ("batch norm of 32x28x28x64, trained", batch_norm),
    ("CNN descent step, batch 64", lambda tf: cnn_training(tf, 64)),
    ("12 element-wise ops, 10 M", elementwise_large),
    ("sum(x * x + 1), 10 M", reduction_large),
    ("loop of 1,000 turns, two ops", lambda tf: loop(tf, 1000)),
    ("gradient of a loop of 1,000 turns", lambda tf: loop_gradient(tf, 1000)),
    ("recurrent network, 100 steps", lambda tf: recurrent(tf, 100, False)),
    ("recurrent network, 100 steps, gradients", lambda tf: recurrent(tf, 100, True)),
    ("map_fn of 1,000 rows, two ops", lambda tf: mapped(tf, 1000)),
    ("cond of two ops a branch", cond),
    ("graph construction, 2,000 nodes", construction),
    ("first run of 2,000 nodes", first_run),
]


def _round(step: Step, repeats: int) -> float:
    prepare = getattr(step, "prepare", None)
    if prepare is not None:
        prepare()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def _repeats(step: Step, budget: float) -> int:
    """How many calls fill a round of about `budget` seconds."""
    if hasattr(step, "prepare"):
        return 1
    took = max(_round(step, 1), 1e-7)
    return max(1, min(2000, int(budget / took)))


def measure(name: str, make: Callable[[Any], Step], ours: Any, theirs: Any, rounds: int) -> Result:
    """Time a row for both in alternation."""
    steps = [make(ours), make(theirs)]
    if not hasattr(steps[0], "prepare"):
        answers = [step() for step in steps]
        if answers[0] is not None:
            np.testing.assert_allclose(answers[0], answers[1], rtol=2e-3, atol=1e-5, err_msg=name)
    repeats = [_repeats(step, 0.05) for step in steps]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for side, step in enumerate(steps):
            times[side].append(_round(step, repeats[side]))
    return Result(name, statistics.median(times[0]), statistics.median(times[1]), rounds)


def measure_import(rounds: int) -> Result:
    """Importing the library in a new process, without the interpreter's own start.

    The first round only makes sure that both are compiled to bytecode.
    """
    times: dict[str, list[float]] = {"tfsession": [], "tensorflow.compat.v1": []}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for number in range(rounds + 1):
        for module, found in times.items():
            code = (
                "import time; start = time.perf_counter(); "
                f"import {module}; print(time.perf_counter() - start)"
            )
            output = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout
            if number:
                found.append(float(output.split()[-1]))
    ours, theirs = (statistics.median(found) for found in times.values())
    return Result("import", ours, theirs, rounds)


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:,.2f} {unit}"
    return f"{seconds * 1e6:,.1f} us"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import tensorflow.compat.v1 as theirs

    import tfsession as ours

    theirs.disable_v2_behavior()
    theirs.logging.set_verbosity(theirs.logging.ERROR)
    print(
        f"tfsession beside TensorFlow {theirs.VERSION}, Python {platform.python_version()}, ",
        end="",
    )
    print(f"NumPy {np.__version__}, {os.cpu_count()} cores; medians of {options.rounds} rounds")
    print(f"{'':34}{'tfsession':>13}{'TensorFlow':>13}{'ratio':>9}")
    results = []
    for name, make in ROWS:
        if options.only in name:
            result = measure(name, make, ours, theirs, options.rounds)
            results.append(result)
            print(
                f"{name:34}{_time(result.ours):>13}{_time(result.theirs):>13}{result.ratio:>9.3f}",
                flush=True,
            )
    if options.only in "import":
        result = measure_import(3)
        results.append(result)
        print(
            f"{'import':34}{_time(result.ours):>13}{_time(result.theirs):>13}{result.ratio:>9.3f}"
        )
    if options.json:
        rows = [vars(r) | {"ratio": r.ratio} for r in results]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
