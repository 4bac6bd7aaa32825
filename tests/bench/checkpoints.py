"""How fast checkpoints are read and written, beside TensorFlow and the disk itself.

    python tests/bench/checkpoints.py                1 GB in one, in 16 and in 4,096 variables
    python tests/bench/checkpoints.py --layouts 16 --rounds 5 --directory DISK

Both libraries and a plain read take turns. `cold` is with files that are not in memory: as root all
caches are dropped, else those of the files alone. `plain` reads the data file into a kept buffer.
Our saves are on the disk when they end; TensorFlow's get there later, so it is timed alone and with
a flush, `+ flush`. `peak` is the memory at most taken by a restore into new variables, and by a
save, beyond what was there before and the variables' own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tfsession
from tfsession.checkpoint.bundle_writer import BundleWriter
from tfsession.core.dtypes import float32

GB = 1e9
PIECE = 8 << 20


def forget(prefix: str) -> None:
    """Have nothing of a checkpoint's files in memory."""
    for path in Path(prefix).parent.glob(f"{Path(prefix).name}.*"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with contextlib.suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("1")


def flush(prefix: str) -> None:
    """Have a checkpoint's files on the disk."""
    for path in Path(prefix).parent.glob(f"{Path(prefix).name}.*"):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def plain_read(prefix: str, buffer: Any) -> None:
    """Read the data file as fast as one thread can."""
    with Path(f"{prefix}.data-00000-of-00001").open("rb", 0) as file:
        while file.readinto(buffer):
            pass


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


def peak(step: Callable[[], Any]) -> int:
    """The bytes that the process holds at most during a step, beyond those before it."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


class Model:
    """Variables that make up a checkpoint, in one library; its graph is read from `PREFIX.meta`."""

    def __init__(self, tf: Any, sizes: list[int], prefix: str) -> None:
        self.prefix = prefix
        self.bytes = 4 * sum(sizes)
        with tf.Graph().as_default() as graph:
            self.saver = tf.train.import_meta_graph(f"{prefix}.meta")
        self.session = tf.Session(graph=graph)

    def restore(self) -> None:
        """Read the checkpoint."""
        self.saver.restore(self.session, self.prefix)

    def save(self) -> None:
        """Write it to another file."""
        self.saver.save(
            self.session, f"{self.prefix}-again", write_meta_graph=False, write_state=False
        )

    def peaks(self) -> tuple[int, int]:
        """What the first restore takes beyond the variables, and what a save does."""
        return peak(self.restore) - self.bytes, peak(self.save)


def write(prefix: str, sizes: list[int]) -> None:
    """A checkpoint of random numbers, and its graph: TensorFlow would take a minute to build it."""
    numbers = np.random.default_rng(1).random(max(sizes), np.float32)
    with BundleWriter(prefix) as writer:
        for number, size in enumerate(sizes):
            writer.add(f"v{number:05d}", numbers[:size], float32)
        writer.finish()
    with tfsession.Graph().as_default():
        for number, size in enumerate(sizes):
            tfsession.get_variable(f"v{number:05d}", [size], use_resource=True)
        tfsession.train.Saver().export_meta_graph(f"{prefix}.meta")


def timed(step: Callable[[], Any]) -> float:
    """Seconds."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def rounds(models: dict[str, Model], count: int) -> dict[str, dict[str, list[float]]]:
    """Seconds by what is done and by whom."""
    prefix = next(iter(models.values())).prefix
    again = f"{prefix}-again"
    buffer = np.ones(PIECE, np.uint8)
    found: dict[str, dict[str, list[float]]] = {}

    def note(what: str, who: str, seconds: float) -> None:
        found.setdefault(what, {}).setdefault(who, []).append(seconds)

    for turn in range(count):
        forget(prefix)
        note("cold", "plain", timed(lambda: plain_read(prefix, buffer)))
        note("warm", "plain", timed(lambda: plain_read(prefix, buffer)))
        for name, model in list(models.items())[:: -1 if turn % 2 else 1]:
            forget(prefix)
            note("cold", name, timed(model.restore))
            note("warm", name, timed(model.restore))
            seconds = timed(model.save)
            note("save", name, seconds)
            note("save", f"{name} + flush", seconds + timed(lambda: flush(again)))
            for path in Path(again).parent.glob(f"{Path(again).name}.*"):
                path.unlink()
    return found


def line(layout: str, what: str, size: int, times: dict[str, list[float]]) -> str:
    """GB a second of each, and how many times as fast ours is, as a row of a table."""
    speeds = [f"{size / GB / statistics.median(times[who]):.2f}" for who in times]
    ours = times["tfsession"]
    ratios = [
        f"{statistics.median(b / a for a, b in zip(ours, times[who], strict=True)):.2f}"
        for who in times
        if who != "tfsession"
    ]
    names = [who for who in times if who != "tfsession"]
    pairs = ", ".join(f"{ratio} x {who}" for ratio, who in zip(ratios, names, strict=True))
    each = ", ".join(f"{who} {speed}" for who, speed in zip(times, speeds, strict=True))
    return f"{layout:>6} {what:5} GB/s: {each}; ours is {pairs}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--layouts", type=int, nargs="*", default=[1, 16, 4096], metavar="COUNT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", help="on the disk that is measured")
    parser.add_argument("--only", choices=["tfsession", "TensorFlow"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    libraries = {"tfsession": "tfsession", "TensorFlow": "tensorflow.compat.v1"}
    for count in options.layouts:
        sizes = [int(options.gigabytes * GB / 4 / count)] * count
        directory = tempfile.mkdtemp(prefix="checkpoints", dir=options.directory)
        try:
            prefix = f"{directory}/m"
            write(prefix, sizes)
            models = {}
            for name, module in libraries.items():
                if options.only in (None, name):
                    tf = importlib.import_module(module)
                    tf.disable_v2_behavior()
                    if name == "TensorFlow":
                        tf.logging.set_verbosity(tf.logging.ERROR)
                    models[name] = Model(tf, sizes, prefix)
            for name, model in models.items():
                taken = [f"{size / 1e6:.0f}" for size in model.peaks()]
                print(f"{count:>6} peak  MB: {name} restore {taken[0]}, save {taken[1]}")
            for what, times in rounds(models, options.rounds).items():
                if options.only in (None, "tfsession"):
                    print(line(str(count), what, 4 * sum(sizes), times), flush=True)
        finally:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
