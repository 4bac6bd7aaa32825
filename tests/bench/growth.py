"""Whether memory grows: many runs, sessions, failures, timeouts and cancelled waits.

Each row repeats one thing, and gives the slope of the process's memory over the second half, as
the growth over a whole row, in KiB: it is to stay under 64. `--scale 0.01` does a hundredth of it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tfsession as tf

LIMIT_KIB = 64
_SAMPLES = 20


def resident() -> float:
    """The memory of this process in KiB, as the system counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1024


class Program:
    """What is repeated; one graph for all, so that it is the sessions that would grow."""

    def __init__(self) -> None:
        with tf.device("/cpu:0"):
            self.x = tf.placeholder(tf.float32, [None], name="x")
            self.y = tf.reduce_sum(tf.tanh(self.x) * 2.0)
            self.w = tf.Variable(np.zeros(100, np.float32))
            self.update = tf.assign_add(self.w, tf.ones([100])).op
            self.bad = tf.reshape(self.x, [7])
            self.queue = tf.FIFOQueue(10, tf.float32, [[]])
            self.dequeue = self.queue.dequeue()
            self.much = tf.reduce_sum(tf.fill([tf.size(self.x), 1 << 20], 1.0))
        self.far = tf.reduce_sum(tf.tanh(self.x) * 2.0)
        self.init = tf.global_variables_initializer()
        self.value = np.linspace(0, 1, 50, dtype=np.float32)
        self.session = self.open()
        self.call = self.session.make_callable([self.y, self.update], [self.x])
        self.scarce = self.open(device_options={"memory_limits": {"/cpu:0": "64MiB"}})
        self.late = tf.RunOptions(timeout_in_ms=1)
        self.traced = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)

    def open(self, **config: Any) -> Any:
        """A session with its variables."""
        session = tf.Session(config=tf.ConfigProto(allow_soft_placement=True, **config))
        session.run(self.init)
        return session

    def run(self) -> None:
        """Steps of several signatures."""
        self.session.run([self.y, self.update], {self.x: self.value})

    def run_callable(self) -> None:
        """A callable."""
        self.call(self.value)

    def run_structure(self) -> None:
        """A new feed dict and a nested structure each time."""
        self.session.run({"y": (self.y, [self.w])}, {"x:0": self.value})

    def run_far(self) -> None:
        """A step of several segments, where there is another device."""
        self.session.run(self.far, {self.x: self.value})

    def trace(self) -> None:
        """A run that is recorded."""
        self.session.run(self.y, {self.x: self.value}, self.traced, tf.RunMetadata())

    def sessions(self) -> None:
        """A session from its making to its end."""
        with self.open() as session:
            session.run([self.y, self.update], {self.x: self.value})

    def dropped_sessions(self) -> None:
        """A session that nobody closes."""
        self.open().run(self.y, {self.x: self.value})

    def callables(self) -> None:
        """A callable made anew."""
        self.session.make_callable(self.y, [self.x])(self.value)

    def partial(self) -> None:
        """A partial run."""
        handle = self.session.partial_run_setup([self.y], [self.x])
        self.session.partial_run(handle, self.y, {self.x: self.value})

    def failures(self) -> None:
        """A step that fails."""
        try:
            self.session.run(self.bad, {self.x: self.value})
        except tf.errors.InvalidArgumentError:
            return
        raise AssertionError

    def exhausted(self) -> None:
        """A step that needs more memory than there is."""
        try:
            self.scarce.run(self.much, {self.x: self.value})
        except tf.errors.ResourceExhaustedError:
            return
        raise AssertionError

    def refusals(self) -> None:
        """A call that is refused before it runs."""
        for fetch, feeds in ((self.y, {self.x: "text"}), ("nothing:0", None)):
            try:
                self.session.run(fetch, feeds)
            except ValueError:
                continue
            raise AssertionError

    def timeouts(self) -> None:
        """A wait that takes too long."""
        try:
            self.session.run(self.dequeue, options=self.late)
        except tf.errors.DeadlineExceededError:
            return
        raise AssertionError

    def cancelled(self) -> None:
        """A wait that a closing ends."""
        session = self.open()
        timer = threading.Timer(0.0005, session.close)
        timer.start()
        try:
            session.run(self.dequeue)
        except (tf.errors.CancelledError, RuntimeError):
            timer.join()
            return
        raise AssertionError


# How often each is done, and how many of them a sample stands for at the least.
ROWS: list[tuple[str, int]] = [
    ("run", 1_000_000),
    ("run_callable", 1_000_000),
    ("run_structure", 100_000),
    ("run_far", 100_000),
    ("trace", 10_000),
    ("callables", 10_000),
    ("partial", 10_000),
    ("sessions", 10_000),
    ("dropped_sessions", 10_000),
    ("failures", 10_000),
    ("exhausted", 10_000),
    ("refusals", 10_000),
    ("timeouts", 10_000),
    ("cancelled", 10_000),
]


def slope(work: Callable[[], None], times: int) -> float:
    """KiB by which memory grows over `times` repetitions, from the second half of them."""
    each = max(1, times // _SAMPLES)
    counts, sizes = [], []
    for number in range(_SAMPLES):
        for _ in range(each):
            work()
        gc.collect()
        if number >= _SAMPLES // 2:
            counts.append((number + 1) * each)
            sizes.append(resident())
    return float(np.polyfit(counts, sizes, 1)[0]) * each * _SAMPLES


def main() -> int:
    """Print the table; the exit status tells whether all stayed under the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the repetitions")
    options = parser.parse_args()
    program, most = Program(), 0.0
    print(f"{'':18}{'times':>10}{'seconds':>9}{'KiB':>9}")
    for name, full in ROWS:
        if options.only in name:
            times = max(_SAMPLES, int(full * options.scale))
            start = time.monotonic()
            grown = slope(getattr(program, name), times)
            most = max(most, grown)
            print(f"{name:18}{times:>10,}{time.monotonic() - start:>9.1f}{grown:>9.1f}", flush=True)
    return int(most >= LIMIT_KIB)


if __name__ == "__main__":
    sys.exit(main())
