"""tfsession beside TensorFlow on the CPU: the same programs, in one run, taking turns.

Each row of `works` builds one program with both, checks that the answers agree, then times short
rounds of each in alternation and prints medians, their ratio, and the least and the greatest ratio
of a round. Where JAX (jitted) or PyTorch (eager) is installed, rows that are written for it take
their turns, too. Threads are as each library comes. Figures of one machine and one moment: only
the ratios mean something. `--json FILE` keeps them; `--only TEXT` chooses rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
from works import ROWS, Row, Step

OURS, THEIRS = "tfsession", "TensorFlow"


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

    @property
    def others(self) -> list[str]:
        """The libraries beside ours."""
        return [library for library in self.times if library != OURS]

    def figures(self) -> dict[str, Any]:
        """What a JSON keeps."""
        return {
            "name": self.name,
            "seconds": {library: self.median(library) for library in self.times},
            "ratios": {library: self.ratios(library) for library in self.others},
            "rounds": len(self.times[OURS]),
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


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:,.2f} {unit}"
    return f"{seconds * 1e6:,.1f} us"


def mean_ratio(results: list[Result], library: str = THEIRS) -> float:
    """The geometric mean of the ratios to a library, over the rows that it has."""
    found = [r.ratios(library)[0] for r in results if library in r.times]
    return math.exp(statistics.fmean(map(math.log, found))) if found else math.nan


def line(result: Result) -> str:
    """A row of the table for the terminal."""
    ratio, least, most = result.ratios(THEIRS)
    mark = "*" if ratio > 1 else " "
    return (
        f"{result.name:42}{_time(result.median(OURS)):>12}{_time(result.median(THEIRS)):>12}"
        f"{ratio:>8.3f}{mark} {f'{least:.2f}..{most:.2f}':>12}"
    )


def libraries() -> dict[str, Any]:
    """TensorFlow and ours."""
    import tensorflow.compat.v1 as theirs

    import tfsession as ours

    theirs.disable_v2_behavior()
    theirs.logging.set_verbosity(theirs.logging.ERROR)
    return {OURS: ours, THEIRS: theirs}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = libraries()
    print(
        f"tfsession beside TensorFlow {found[THEIRS].VERSION}, Python "
        f"{platform.python_version()}, NumPy {np.__version__}, {os.cpu_count()} cores; "
        f"medians of {options.rounds} rounds"
    )
    print(f"{'':42}{OURS:>12}{THEIRS:>12}{'ratio':>8}{'min..max':>14}")
    results = []
    rows: list[Row | None] = [row for row in ROWS if options.only in row.name]
    for row in [*rows, None] if options.only in "import" else rows:
        if sys.stderr.isatty():
            print(row.name if row else "import", "...", end="\r", file=sys.stderr, flush=True)
        results.append(measure(row, found, options.rounds) if row else measure_import(3))
        print(line(results[-1]), flush=True)
    if len(results) > 1:
        print(f"{'geometric mean of ' + str(len(results)):42}{mean_ratio(results):>32.3f}")
    if options.json:
        options.json.write_text(json.dumps([r.figures() for r in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
