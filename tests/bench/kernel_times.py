"""Which operations take the time of a row of the bench, in tfsession: `kernel_times.py TEXT...`.

Each step is recorded (RunMetadata), and its operations are summed by type: median microseconds of a
step, part of the recorded time, and how many there are. Recording takes operations one by one,
so what is fused or runs in parallel otherwise shows what it is made of.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections import Counter, defaultdict
from typing import Any

from works import ROWS

Times = dict[str, list[float]]


class _Recorded:
    """tfsession, with sessions that record what their steps do."""

    def __init__(self, tf: Any):
        self._tf = tf
        self.steps: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tf, name)

    def Session(self, graph: Any) -> Any:
        """A session whose runs and callables record."""
        tf, steps = self._tf, self.steps

        class Session(tf.Session):  # type: ignore[misc,name-defined]
            def run(self, fetches: Any, feed_dict: Any = None, *_: Any) -> Any:
                metadata = tf.RunMetadata()
                options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
                answer = super().run(fetches, feed_dict, options, metadata)
                types = {o.name: o.type for o in self.graph.get_operations()}
                steps.append((metadata.step_stats, types))
                return answer

            def make_callable(self, fetches: Any, feed_list: Any = (), **_: Any) -> Any:
                feeds = list(feed_list)
                return lambda *values: self.run(fetches, dict(zip(feeds, values, strict=True)))

        return Session(graph=graph)


def times(row: Any, tf: Any, rounds: int) -> tuple[Times, Counter[str]]:
    """Microseconds of each type of operation in each of the steps, and their number in one."""
    library = _Recorded(tf)
    step = row.step(library)
    for _ in range(2):
        step()
    library.steps.clear()
    for _ in range(rounds):
        step()
    found: Times = defaultdict(list)
    numbers: Counter[str] = Counter()
    for stats, types in library.steps:
        sums: Counter[str] = Counter()
        for device in stats.dev_stats:
            for node in device.node_stats:
                kind = types.get(node.node_name, node.node_name)
                sums[kind] += (node.op_end_rel_nanos - node.op_start_rel_nanos) / 1e3
                numbers[kind] += 1
        for kind, microseconds in sums.items():
            found[kind].append(microseconds)
    return found, Counter({kind: n // len(library.steps) for kind, n in numbers.items()})


def main() -> None:
    """Print the most expensive types of each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="+", help="rows whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=6, help="so many types of a row")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import tfsession

    for row in ROWS:
        if not any(text in row.name for text in options.only):
            continue
        found, numbers = times(row, tfsession, options.rounds)
        medians = {kind: statistics.median(values) for kind, values in found.items()}
        total = sum(medians.values())
        print(f"{row.name}: {total:,.0f} µs recorded")
        for kind, median in sorted(medians.items(), key=lambda pair: -pair[1])[: options.most]:
            print(f"  {median:>10,.0f}  {median / total:>4.0%}  {numbers[kind]:>4} x {kind}")


if __name__ == "__main__":
    main()
