"""Steps of tiny kernels, where what counts is the way to them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from works.row import Step, works

TEN = np.linspace(0.1, 0.3, 10, dtype=np.float32)


@works({"c = a * b, run": (False,), "c = a * b, make_callable": (True,)})
def fed_multiply(tf: Any, callable_: bool) -> Step:
    """c = a * b with both fed."""
    with tf.Graph().as_default() as graph:
        a, b = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
        c = a * b
        session = tf.Session(graph=graph)
    if callable_:
        call = session.make_callable(c, [a, b])
        return lambda: call(2.0, 3.0)
    feeds = {a: 2.0, b: 3.0}
    return lambda: session.run(c, feeds)


@works({"8 threads, 400 runs of c = a * b": (8, 50)}, small={"8 threads": (8, 3)})
def threads(tf: Any, count: int, runs: int) -> Step:
    """Threads that share a session and call `run` with values of their own."""
    with tf.Graph().as_default() as graph:
        a, b = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
        c = a * b
        session = tf.Session(graph=graph)
    pool = ThreadPoolExecutor(count)

    def work(number: int) -> list[Any]:
        return [session.run(c, {a: number, b: index}) for index in range(runs)]

    return lambda: list(pool.map(work, range(count)))


@works({"8 threads, MLP inference, batch 32": (8, 4)}, small={"8 threads, MLP": (8, 1)})
def threads_of_layers(tf: Any, count: int, runs: int) -> Step:
    """Threads that share a session and infer by 784-256-256-10."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        x, width = tf.placeholder(tf.float32, [None, 784]), 784
        layer = x
        for units in (256, 256, 10):
            weights = tf.constant(rng.normal(0, 0.05, (width, units)).astype(np.float32))
            layer, width = tf.nn.relu(tf.matmul(layer, weights)), units
        session = tf.Session(graph=graph)
    pool = ThreadPoolExecutor(count)
    data = rng.normal(0, 1, (count, 32, 784)).astype(np.float32)

    def work(number: int) -> list[Any]:
        return [session.run(layer, {x: data[number]}) for _ in range(runs)]

    return lambda: list(pool.map(work, range(count)))


CHAINS = {
    "chain of 100 small ops": (100,),
    "chain of 1,000 small ops": (1000,),
    "chain of 2,000 small ops": (2000,),
}


@works(CHAINS, small={"chain": (100,)})
def chain(tf: Any, length: int) -> Step:
    """A chain of element-wise ops on ten numbers."""
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [10])
        y = x
        for index in range(length // 2):
            y = tf.tanh(y) if index % 50 == 0 else y * x
            y = y + x
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x])
    return lambda: call(TEN)


@works({"chain of 1,000 small ops, traced": (1000,)}, small={"chain, traced": (20,)})
def traced_chain(tf: Any, length: int) -> Step:
    """The chain, with every op recorded and the step stats handed out."""
    with tf.Graph().as_default() as graph:
        x = y = tf.placeholder(tf.float32, [10])
        for _ in range(length):
            y = y + x
        session = tf.Session(graph=graph)
    options, metadata = tf.RunOptions(trace_level=3), tf.RunMetadata()
    feeds = {x: TEN}
    return lambda: session.run(y, feeds, options, metadata)


@works({"cond of two ops a branch": ()})
def cond(tf: Any) -> Step:
    """One of two branches, each of two ops on ten numbers."""
    with tf.Graph().as_default() as graph:
        x, p = tf.placeholder(tf.float32, [10]), tf.placeholder(tf.bool, [])
        y = tf.cond(p, lambda: tf.tanh(x * 2.0), lambda: tf.exp(x - 1.0))
        session = tf.Session(graph=graph)
    call = session.make_callable(y, [x, p])
    return lambda: call(TEN, True)
