"""What graphs cost as they grow: made, exported, imported, first run and run, and their memory.

Each size is a process of its own. Times are microseconds a node, memory is bytes a node as the
system counts them: of a graph that was imported, and of the session that has run it. What is linear
has the same figures in all rows. `--theirs N` puts TensorFlow beside the sizes up to N.

    .venv-test/bin/python tests/bench/graphs.py --sizes 1000 10000 100000 1000000 --theirs 10000
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIZES = [1_000, 10_000, 100_000]
LIBRARIES = {"ours": "tfsession", "theirs": "tensorflow.compat.v1"}
COLUMNS = ["made", "exported", "imported", "first run", "run", "graph", "session"]


def chain(tf: Any, nodes: int) -> tuple[Any, Any]:
    """Multiplications and additions of ten numbers in alternation."""
    x = y = tf.placeholder(tf.float32, [10], name="x")
    for _ in range(nodes // 2):
        y = y * x + x
    return x, y


def layers(tf: Any, nodes: int) -> tuple[Any, Any]:
    """Layers of two constants and three operations on ten numbers, with a scope each."""
    x = y = tf.placeholder(tf.float32, [10], name="x")
    values = np.linspace(0.1, 0.5, 10, dtype=np.float32)
    for number in range(nodes // 5):
        with tf.name_scope(f"layer{number}"):
            y = tf.tanh(y * tf.constant(values + number) + tf.constant(0.5))
    return x, y


GRAPHS: dict[str, Callable[[Any, int], tuple[Any, Any]]] = {"chain": chain, "layers": layers}


def resident() -> int:
    """The memory of this process in bytes, as the system counts it."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _time(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def measure(tf: Any, build: Callable[[Any, int], tuple[Any, Any]], nodes: int) -> list[float]:
    """The figures of COLUMNS for one size."""

    def made() -> tuple[Any, str]:
        with tf.Graph().as_default() as graph:
            return graph, build(tf, nodes)[1].name

    def imported() -> tuple[Any, Any]:
        graph_def = tf.GraphDef()
        graph_def.ParseFromString(text)
        with tf.Graph().as_default() as graph:
            found = tf.import_graph_def(graph_def, name="", return_elements=["x:0", name])
        return graph, found

    value = np.full(10, 1e-3, np.float32)
    (graph, name), to_make = _time(made)
    text, to_export = _time(lambda: graph.as_graph_def().SerializeToString())
    del graph
    before = resident()
    (graph, (x, y)), to_import = _time(imported)
    with_graph = resident()
    session = tf.Session(graph=graph)
    _, first = _time(lambda: session.run(y, {x: value}))
    with_session = resident()
    later = min(_time(lambda: session.run(y, {x: value}))[1] for _ in range(5))
    times = [to_make, to_export, to_import, first, later]
    memory = [with_graph - before, with_session - with_graph]
    return [*(1e6 * seconds / nodes for seconds in times), *(size / nodes for size in memory)]


def _measure_here(library: str, graph: str, nodes: int) -> None:
    tf = importlib.import_module(LIBRARIES[library])
    if library == "theirs":
        tf.disable_v2_behavior()
        tf.logging.set_verbosity(tf.logging.ERROR)
    measure(tf, GRAPHS[graph], 100)  # what comes late is there then
    print(json.dumps(measure(tf, GRAPHS[graph], nodes)))


def _measure_apart(library: str, graph: str, nodes: int) -> list[float]:
    command = [sys.executable, "-W", "ignore", __file__, "--here", library, graph, str(nodes)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    figures: list[float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of nodes")
    parser.add_argument("--only", default="", help="graphs whose name contains this")
    parser.add_argument("--theirs", type=int, default=0, help="TensorFlow up to this size")
    parser.add_argument("--here", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        library, graph, nodes = options.here
        _measure_here(library, graph, int(nodes))
        return
    print(f"{'':28}{'microseconds a node':>45}{'bytes a node':>20}")
    print(f"{'':28}" + "".join(f"{name:>10}" for name in COLUMNS))
    for graph in GRAPHS:
        for nodes in options.sizes if options.only in graph else ():
            for library in LIBRARIES:
                if library == "theirs" and nodes > options.theirs:
                    continue
                name = f"{graph}, {nodes:,}{', TF' * (library == 'theirs')}"
                figures = _measure_apart(library, graph, nodes)
                print(
                    f"{name:28}"
                    + "".join(f"{value:>10.2f}" for value in figures[:5])
                    + "".join(f"{value:>10,.0f}" for value in figures[5:]),
                    flush=True,
                )


if __name__ == "__main__":
    main()
