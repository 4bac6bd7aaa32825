"""tfsession beside TensorFlow on the CPU: the same programs, in one run, taking turns.

Each row of `works` builds one program with both, checks that the answers agree, then times short
rounds of each in alternation and prints medians, their ratio, and the least and the greatest ratio
of a round. Where JAX (jitted) or PyTorch (eager) is installed in the same environment, rows that
are written for it take their turns, too, and have our time as a part of theirs. Threads are as each
library comes. Figures of one machine and one moment: only the ratios mean something.

    bash ci/bench --only chain LSTM          rows whose name contains one of the texts
    bash ci/bench --json FILE                keeps figures; rows of an earlier run stay beside them
    bash ci/bench --markdown FILE            prints the table of a file that was kept
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import table
from table import OURS, THEIRS, Figures
from works import ROWS, Row, Step

from tfsession.devices import onednn

# Seconds between turns: idle threads of the library before may look for work so long.
REST = 0.003
# The module of each library, and where its works are written.
OTHERS = {"JAX": ("jax", "works.in_jax"), "PyTorch": ("torch", "works.in_torch")}


@dataclass
class Result:
    """Seconds of one row in each library, a number for each round."""

    name: str
    times: dict[str, list[float]]

    def median(self, library: str) -> float:
        """The median of a library's rounds."""
        return statistics.median(self.times[library])

    def ratios(self, library: str) -> tuple[float, float, float]:
        """Our time as a part of theirs: the ratio of the medians, the least and the greatest."""
        pairs = zip(self.times[OURS], self.times[library], strict=True)
        rounds = sorted(ours / theirs for ours, theirs in pairs)
        return self.median(OURS) / self.median(library), rounds[0], rounds[-1]

    def figures(self) -> Figures:
        """What a table and a JSON have of it."""
        return {
            "name": self.name,
            "seconds": {library: self.median(library) for library in self.times},
            "ratios": {lib: self.ratios(lib) for lib in self.times if lib != OURS},
        }


def machine(found: dict[str, Any]) -> dict[str, str]:
    """Where and when figures are taken, and with what."""
    info = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else ())
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {n: module.__version__ for n, module in found.items() if n != OURS}
    return {
        "machine": f"{names[0] if names else platform.processor() or 'CPU'}, {cores} cores",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Python": f"Python {platform.python_version()}",
        "NumPy": f"NumPy {np.__version__}",
        "oneDNN": f"oneDNN {onednn.description()}",
        **{name: f"{name} {version}" for name, version in versions.items()},
    }


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


def _leaves(answer: Any) -> list[Any]:
    if isinstance(answer, (list, tuple)):
        return [leaf for part in answer for leaf in _leaves(part)]
    return [answer]


def agree(name: str, steps: list[Step]) -> None:
    """Do each step twice, so that the second shows what the first left, and compare the answers."""
    if hasattr(steps[0], "prepare"):
        for step in steps:
            step.prepare()  # type: ignore[attr-defined]
        answers = [_leaves(step()) for step in steps]
    else:
        answers = [_leaves([step(), step()]) for step in steps]
    for theirs in answers[1:]:
        assert len(theirs) == len(answers[0]), name
        for one, other in zip(answers[0], theirs, strict=True):
            if one is not None:
                np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-5, err_msg=name)


def measure(row: Row, libraries: dict[str, Any], rounds: int) -> Result:
    """Time a row in all libraries that have it, taking turns."""
    steps = {}
    for library, module in libraries.items():
        if library in (OURS, THEIRS):
            steps[library] = row.step(module)
        elif library in row.work.others:
            steps[library] = row.work.others[library](module, *row.sizes)
    agree(row.name, list(steps.values()))
    repeats = {library: _repeats(step, 0.05) for library, step in steps.items()}
    times: dict[str, list[float]] = {library: [] for library in steps}
    for _ in range(rounds):
        for library, step in steps.items():
            gc.collect()  # nobody shall pay for what another left
            time.sleep(REST)
            times[library].append(_round(step, repeats[library]))
    return Result(row.name, times)


def measure_import(rounds: int) -> Result:
    """Importing the library in a new process, without the interpreter's own start.

    The first round only makes sure that both are compiled to bytecode.
    """
    times: dict[str, list[float]] = {OURS: [], THEIRS: []}
    modules = {OURS: "tfsession", THEIRS: "tensorflow.compat.v1"}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for number in range(rounds + 1):
        for library, found in times.items():
            code = (
                "import time; start = time.perf_counter(); "
                f"import {modules[library]}; print(time.perf_counter() - start)"
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
    return Result("import", times)


def libraries(beside: bool = False) -> dict[str, Any]:
    """Ours and TensorFlow; JAX and PyTorch, too, where they are installed and asked for."""
    # Not when this is imported: tests in the same process read TensorFlow's log.
    if __name__ == "__main__":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import tensorflow.compat.v1 as theirs

    import tfsession as ours

    theirs.disable_v2_behavior()
    theirs.logging.set_verbosity(theirs.logging.ERROR)
    found = {OURS: ours, THEIRS: theirs}
    for name, (module, works) in OTHERS.items() if beside else ():
        if importlib.util.find_spec(module):
            importlib.import_module(works)
            found[name] = importlib.import_module(module)
    return found


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> None:
    """Measure the rows that are asked for, and print each as it is done."""
    warnings.simplefilter("ignore")
    found = libraries(beside=True)
    about = machine(found)
    others = [library for library in found if library not in (OURS, THEIRS)]
    print(", ".join(about.values()) + f"; medians of {options.rounds} rounds")
    print(table.header(others))
    rows = [row for row in ROWS if any(text in row.name for text in options.only)]
    works = [(row.name, partial(measure, row, found, options.rounds)) for row in rows]
    if any(text in "import" for text in options.only):
        works.append(("import", partial(measure_import, 3)))
    results: list[Figures] = []
    # What the libraries themselves hold is no part of a row: collections need not look through it.
    gc.collect()
    gc.freeze()
    for number, (name, work) in enumerate(works, 1):
        _progress(f"{number} of {len(works)}: {name} ...")
        results.append(work().figures())
        _progress("")
        print(table.line(results[-1], others), flush=True)
        if options.json:
            table.keep(options.json, about, results[-1:])
    if len(results) > 1:
        print(table.mean_line(results, others))


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[""], help="rows whose name contains one")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="keep the figures in this file, row by row")
    parser.add_argument("--markdown", type=Path, help="print the table of such a file, no more")
    options = parser.parse_args()
    if options.markdown:
        print(table.markdown(options.markdown))
    else:
        run(options)


if __name__ == "__main__":
    main()
