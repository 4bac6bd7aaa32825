"""Graphs being made, differentiated, imported and first run."""

from __future__ import annotations

from typing import Any

import numpy as np

from works.row import Step, works


def _pairs(tf: Any, pairs: int) -> tuple[Any, Any]:
    """A chain of additions and multiplications, and what it starts from."""
    x = y = tf.placeholder(tf.float32, [10], name="x")
    for _ in range(pairs):
        y = y + x
        y = tf.multiply(y, x)
    return x, y


def _prepared(step: Step, prepare: Step) -> Step:
    step.prepare = prepare  # type: ignore[attr-defined]
    return step


@works({"graph construction, 2,000 nodes": (1000,)}, small={"construction": (10,)})
def construction(tf: Any, pairs: int) -> Step:
    """Making nodes."""

    def build() -> None:
        with tf.Graph().as_default():
            _pairs(tf, pairs)

    return build


@works({"gradients of 1,000 ops": (500,)}, small={"gradients": (10,)})
def gradients(tf: Any, pairs: int) -> Step:
    """Making the nodes of a gradient; the graph is there."""
    graphs: list[Any] = []

    def prepare() -> None:
        graph = tf.Graph()
        with graph.as_default():
            graphs.append((graph, *_pairs(tf, pairs)))

    def differentiate() -> Any:
        graph, x, y = graphs.pop()
        with graph.as_default():
            return tf.gradients(y, x)[0].shape.as_list()

    return _prepared(differentiate, prepare)


@works({"GraphDef of 10,000 nodes, import": (5000,)}, small={"import of a GraphDef": (10,)})
def imported(tf: Any, pairs: int) -> Step:
    """A graph from its GraphDef."""
    with tf.Graph().as_default() as graph:
        _, y = _pairs(tf, pairs)
    graph_def, name = graph.as_graph_def(), y.name

    def read() -> Any:
        with tf.Graph().as_default():
            return tf.import_graph_def(graph_def, return_elements=[name], name="")[0].name

    return lambda: read() == name


@works({"GraphDef of 10,000 nodes, export": (5000,)}, small={"export of a GraphDef": (10,)})
def exported(tf: Any, pairs: int) -> Step:
    """The GraphDef of a graph."""
    with tf.Graph().as_default() as graph:
        _pairs(tf, pairs)
    return lambda: len(graph.as_graph_def().node)


@works({"session start and close": ()})
def session(tf: Any) -> Step:
    """A session on a small graph, without a run."""
    with tf.Graph().as_default() as graph:
        _pairs(tf, 5)
    return lambda: tf.Session(graph=graph).close()


@works({"first run of 2,000 nodes": (1000,)}, small={"first run": (10,)})
def first_run(tf: Any, pairs: int) -> Step:
    """The first run of a graph, its construction not counted."""
    graphs: list[Any] = []

    def prepare() -> None:
        with tf.Graph().as_default() as graph:
            graphs.append((graph, *_pairs(tf, pairs)))

    def run() -> Any:
        graph, x, y = graphs.pop()
        with tf.Session(graph=graph) as session:
            return session.run(y, {x: np.full(10, 1e-3, np.float32)})

    return _prepared(run, prepare)
