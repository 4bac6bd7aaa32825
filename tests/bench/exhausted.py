"""How long a step that needs too much memory takes to say so: it is to be under 100 ms.

The first failures look for memory that only cycles of objects hold, which takes the longer the
larger the graph is: so a small and a large one, on a CPU with a limit and on a simulated GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import tfsession as tf

LIMIT = "64MiB"


def latencies(device: str, nodes: int, times: int) -> list[float]:
    """Milliseconds of each failure of one session, whose graph has so many nodes besides."""
    graph = tf.Graph()
    with graph.as_default(), graph.device(device):
        kept: Any = tf.get_variable("w", [1 << 20], initializer=tf.zeros_initializer())
        init, n = kept.initializer, tf.placeholder(tf.int32, [])
        much = tf.reduce_sum(tf.fill([n, 1 << 20], 1.0))
        for _ in range(nodes):
            kept = tf.negative(kept)
    options = {"simulated_gpus": f"1:{LIMIT}", "memory_limits": {"/cpu:0": LIMIT}}
    found = []
    with tf.Session(graph=graph, config=tf.ConfigProto(device_options=options)) as session:
        session.run(init)
        session.run(much, {n: 1})
        for number in range(times):
            start = time.perf_counter()
            try:
                session.run(much, {n: 15 + number % 8 * 100})  # a little, or far too much
            except tf.errors.ResourceExhaustedError:
                found.append((time.perf_counter() - start) * 1e3)
        if len(found) != times or session.run(much, {n: 8}) != 8 << 20:
            raise AssertionError("a step that does not fit ran, or one that fits did not")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000, help="failures in a row")
    times = parser.parse_args().times
    print(f"{'ms to fail':12}{'nodes':>8}{'first':>9}{'median':>9}{'worst':>9}")
    for nodes in (0, 20_000):
        for device in ("/cpu:0", "/gpu:0"):
            found = latencies(device, nodes, times)
            row = (found[0], statistics.median(found), max(found))
            print(f"{device:12}{nodes:>8,}{''.join(f'{value:>9.2f}' for value in row)}", flush=True)


if __name__ == "__main__":
    main()
