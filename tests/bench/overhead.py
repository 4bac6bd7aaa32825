"""What a step costs beside its kernels: tfsession, the bare kernels and TensorFlow, taking turns.

`kernels` is the time of the NumPy calls that a step makes, on values that are arrays already; for
tfsession the table says how much more `run` and a callable take, for TensorFlow what they take in
all. Medians of short rounds, in microseconds, of one machine and one moment. Then what should hold:
how much longer than its median one run of a hundred takes, and how many runs eight threads get done
in the time in which one gets 100. `--json FILE` keeps them; `--only TEXT` chooses rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # tests in the same process read TensorFlow's log
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Work = Callable[[], Any]
A, B = np.float32(2), np.float32(3)
TRACED = 200
VECTOR = np.linspace(0.1, 0.3, 10, dtype=np.float32)


def _scalars(tf: Any) -> tuple[Any, Any]:
    return tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])


def constant(tf: Any) -> tuple[Any, list[Any], list[Any]]:
    """A constant."""
    return tf.constant(3.0), [], []


def product(tf: Any) -> tuple[Any, list[Any], list[Any]]:
    """c = a * b."""
    a, b = _scalars(tf)
    return a * b, [a, b], [A, B]


def two(tf: Any) -> tuple[Any, list[Any], list[Any]]:
    """A list of two."""
    a, b = _scalars(tf)
    return [a * b, a + b], [a, b], [A, B]


def mapping(tf: Any) -> tuple[Any, list[Any], list[Any]]:
    """A dict of two."""
    a, b = _scalars(tf)
    return {"c": a * b, "d": a + b}, [a, b], [A, B]


def nested(tf: Any) -> tuple[Any, list[Any], list[Any]]:
    """A dict with a tuple in it."""
    a, b = _scalars(tf)
    return {"c": a * b, "n": (a + b, [a - b])}, [a, b], [A, B]


def chain(tf: Any, length: int = 20) -> tuple[Any, list[Any], list[Any]]:
    """Multiplications and additions of ten numbers in alternation."""
    x = y = tf.placeholder(tf.float32, [10])
    for _ in range(length // 2):
        y = y * x + x
    return y, [x], [VECTOR]


def _chain() -> Any:
    y = VECTOR
    for _ in range(10):
        y = np.add(np.multiply(y, VECTOR), VECTOR)
    return y


ONE = {"inter_op_parallelism_threads": 1}
LIMIT = {"operation_timeout_in_ms": 60_000}
# (name, program, configuration, its kernels alone)
ROWS: list[tuple[str, Callable[[Any], Any], dict[str, int], Work]] = [
    ("a constant", constant, {}, lambda: None),
    ("c = a * b", product, {}, lambda: np.multiply(A, B)),
    ("  one step at a time", product, ONE, lambda: np.multiply(A, B)),
    ("  with a deadline", product, LIMIT, lambda: np.multiply(A, B)),
    ("  with both", product, ONE | LIMIT, lambda: np.multiply(A, B)),
    ("a list of two", two, {}, lambda: (np.multiply(A, B), np.add(A, B))),
    ("a dict of two", mapping, {}, lambda: (np.multiply(A, B), np.add(A, B))),
    ("a nested dict", nested, {}, lambda: (np.multiply(A, B), np.add(A, B), np.subtract(A, B))),
    ("a chain of 20", chain, {}, _chain),
    ("  with a deadline", chain, LIMIT, _chain),
]


def _works(tf: Any, program: Callable[[Any], Any], config: dict[str, int]) -> tuple[Work, Work]:
    """The step by `run` and by a callable."""
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        fetches, feeds, values = program(tf)
        session = tf.Session(graph=graph, config=tf.ConfigProto(**config) if config else None)
    feed_dict = dict(zip(feeds, values, strict=True))
    call = session.make_callable(fetches, feeds) if feeds else session.make_callable(fetches)
    return (lambda: session.run(fetches, feed_dict)), (lambda: call(*values))


def _traced(tf: Any, level: str) -> Work:
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        fetch, (x,), (value,) = chain(tf, TRACED)
        session = tf.Session(graph=graph)
    options = tf.RunOptions(trace_level=getattr(tf.RunOptions, level))
    return lambda: session.run(fetch, {x: value}, options, tf.RunMetadata())


def _round(work: Work, budget: float = 0.02) -> float:
    """Microseconds of one call, from about `budget` seconds of calls."""
    start = time.perf_counter()
    work()
    repeats = max(3, int(budget / max(time.perf_counter() - start, 1e-6)))
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats * 1e6


def medians(works: list[Work], rounds: int) -> list[float]:
    """Time each in turn, so many times."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for found, work in zip(times, works, strict=True):
            found.append(_round(work))
    return [statistics.median(found) for found in times]


def tail(work: Work, runs: int = 5000) -> float:
    """The 99th percentile of the times of single calls, as a multiple of their median."""
    clock, times = time.perf_counter_ns, []
    for _ in range(runs):
        start = clock()
        work()
        times.append(clock() - start)
    times.sort()
    return times[-(runs // 100)] / times[runs // 2]


def shared(work: Work, pool: ThreadPoolExecutor, threads: int = 8, rounds: int = 9) -> float:
    """Calls that so many threads get done while one gets 100 done, the two taking turns."""
    calls = max(1, int(0.02 / (_round(work) * 1e-6)))

    def loop(_: int) -> None:
        for _ in range(calls):
            work()

    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        for number in range(threads):
            loop(number)
        alone = time.perf_counter() - start
        list(pool.map(loop, range(threads)))
        found.append(100 * alone / (time.perf_counter() - start - alone))
    return statistics.median(found)


def _layers(tf: Any) -> tuple[Any, list[Any], list[Any]]:
    """784-256-256-10 on a batch of 32."""
    x = layer = tf.placeholder(tf.float32, [None, 784])
    width = 784
    for units in (256, 256, 10):
        weights = np.linspace(-0.1, 0.1, width * units, dtype=np.float32).reshape(width, units)
        layer, width = tf.nn.relu(tf.matmul(layer, weights)), units
    return layer, [x], [np.full((32, 784), 0.1, np.float32)]


def holds(ours: Any, theirs: Any, only: str) -> dict[str, list[float]]:
    """Print the rows of what should hold, for ours and TensorFlow."""
    pool = ThreadPoolExecutor(8)
    rows: list[tuple[str, Callable[[Any], Any], Callable[[Work], float]]] = [
        ("p99 / median, c = a * b", product, tail),
        ("8 threads, c = a * b", product, lambda work: shared(work, pool)),
        ("8 threads, MLP, batch 32", _layers, lambda work: shared(work, pool)),
    ]
    figures = {}
    for name, program, measure in rows:
        if only in name:
            figures[name] = [measure(_works(tf, program, {})[0]) for tf in (ours, theirs)]
            print(f"{name:24}{figures[name][0]:>29.1f}{figures[name][1]:>23.1f}", flush=True)
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import tensorflow.compat.v1 as theirs

    import tfsession as ours

    theirs.disable_v2_behavior()
    theirs.logging.set_verbosity(theirs.logging.ERROR)
    python = platform.python_version()
    print(f"microseconds; TensorFlow {theirs.VERSION}, Python {python}, NumPy {np.__version__}")
    print(f"{'':24}{'kernels':>9}{'callable':>11}{'run':>9}{'TF callable':>14}{'TF run':>9}")
    figures: dict[str, list[float]] = {}
    parent = ""
    for name, program, config, kernels in ROWS:
        parent = parent if name.startswith(" ") else name
        if options.only not in f"{parent} {name}":
            continue
        works = [kernels, *_works(ours, program, config), *_works(theirs, program, config)]
        bare, run, call, their_run, their_call = medians(works, options.rounds)
        figures[f"{parent}{name}" if name.startswith(" ") else name] = [bare, call, run]
        print(
            f"{name:24}{bare:>9.2f}{f'+{call - bare:.2f}':>11}{f'+{run - bare:.2f}':>9}"
            f"{their_call:>14.1f}{their_run:>9.1f}",
            flush=True,
        )
    if options.only in "tracing":
        works = [_traced(tf, lvl) for tf in (ours, theirs) for lvl in ("NO_TRACE", "FULL_TRACE")]
        off, on, their_off, their_on = medians(works, options.rounds)
        figures["tracing"] = [off, on]
        print(
            f"{'tracing, each op':44}{f'+{(on - off) / TRACED:.2f}':>9}"
            f"{f'+{(their_on - their_off) / TRACED:.1f}':>23}"
        )
    figures |= holds(ours, theirs, options.only)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
