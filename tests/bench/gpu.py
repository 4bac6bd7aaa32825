"""tfsession on a GPU beside CuPy by hand, torch and jax, in one process run.

Every library gets the same numbers at the same precision, which each row names, and fetches the
same each step; inputs on the device and inputs from the host are rows apart, and rotate. Answers
are held against NumPy's in float64 before anything is timed. Rounds of steps, each ended when the
device is done, are timed in turn; medians and spreads are of rounds. What fails is written down,
and the rest goes on. The floor of a step is what its bytes, products or kernels in a row take at
the ceilings that the same run measured.

    python tests/bench/gpu.py --seconds 300 --json FILE      ends within the time, work by work
    python tests/bench/gpu.py --device simulated             tiny sizes without a GPU: no claim
    python tests/bench/gpu.py --markdown FILE                prints the table of a file, no more
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import statistics
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from on_gpu import Variant, Work, ceilings, planned, table
from on_gpu.aims import aims
from on_gpu.peers import PEERS, Absent, Peer, Steps
from on_gpu.work import error_of, right_answers

# Seconds: of a round; that a library may take to build a work, its compilers included; of all the
# rounds of a row. A row has three rounds at least.
ROUND = 0.03
BUILD = 30.0
ROW = 6.0
Report = dict[str, Any]


class TooLong(Exception):
    """What was to be done took longer than it may."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooLong in what takes longer, once it comes back to Python."""

    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread only
        return

    def stop(number: int, frame: Any) -> None:
        raise TooLong(f"stopped after {seconds:.0f} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def cause_of(error: BaseException) -> str:
    """One line for a table, then where it happened."""
    where = "".join(traceback.format_tb(error.__traceback__)[-3:])
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}\n{where}"


def checked(peer: Peer, work: Work, wanted: list[Any]) -> tuple[Steps, float]:
    """The steps of a work, and how far their answers are off; AssertionError if too far."""
    steps = peer.build(work)
    error = error_of(steps.answers(work), wanted)
    assert error <= work.tolerance, f"answers are off by {error:.3g}, allowed is {work.tolerance}"
    return steps, error


class Times(NamedTuple):
    """Seconds a step of one round: until all was done, and until the host had asked for all."""

    whole: float
    host: float


def _round(step: Callable[[int], Any], settle: Callable[[], None], repeats: int) -> Times:
    settle()
    start = time.perf_counter()
    for number in range(repeats):
        step(number)
    queued = time.perf_counter()
    settle()
    return Times((time.perf_counter() - start) / repeats, (queued - start) / repeats)


def timed(
    built: dict[str, Steps], variant: Variant, seconds: float, rounds: int
) -> tuple[dict[str, list[Times]], dict[str, int], dict[str, str]]:
    """The times of each round, how many steps a round has, and what failed meanwhile."""
    begin = time.perf_counter()
    times: dict[str, list[Times]] = {name: [] for name in built}
    failures: dict[str, str] = {}
    repeats: dict[str, int] = {}
    for turn in range(-1, rounds):
        for name, steps in built.items():
            if name in failures:
                continue
            try:
                step = steps.variants[variant]
                if turn < 0:  # warms up, and tells how many steps fill a round
                    took = min(_round(step, steps.settle, 3).whole for _ in range(3))
                    repeats[name] = max(1, min(1000, int(ROUND / max(took, 1e-7))))
                else:
                    times[name].append(_round(step, steps.settle, repeats[name]))
            except Exception as error:
                failures[name] = cause_of(error)
        if turn >= 2 and time.perf_counter() - begin > seconds:
            break
    return {n: t for n, t in times.items() if n not in failures and t}, repeats, failures


def figures(rounds: list[Times], repeats: int, error: float, floor: float | None) -> Report:
    """What is kept of a library's rounds; times in microseconds."""
    times = [one.whole for one in rounds]
    median = statistics.median(times)
    quarters = statistics.quantiles(times, n=4) if len(times) > 1 else [median] * 3
    return {
        "median_us": median * 1e6,
        "min_us": min(times) * 1e6,
        "max_us": max(times) * 1e6,
        "quartiles_us": [quarters[0] * 1e6, quarters[2] * 1e6],
        "host_us": statistics.median(one.host for one in rounds) * 1e6,
        "rounds": len(times),
        "steps_a_round": repeats,
        "error": error,
        "share_of_roofline": None if floor is None else floor / median,
    }


def measure(
    work: Work, peers: list[Peer], found: dict[str, float | None], until: float, rounds: int
) -> list[Report]:
    """A row for each variant of a work; `until` is when the run has to end, by the same clock."""
    wanted = right_answers(work)
    built: dict[str, Steps] = {}
    errors: dict[str, float] = {}
    failures: dict[str, str] = {}
    for peer in peers:
        left = until - time.monotonic()
        if left < 1:
            failures[peer.name] = "TooLong: no time was left to build it"
            continue
        try:
            with limited(min(BUILD, left)):
                built[peer.name], errors[peer.name] = checked(peer, work, wanted)
        except Exception as error:
            failures[peer.name] = cause_of(error)
        gc.collect()
    bound = ceilings.floor(work, found)
    rows = []
    for number, variant in enumerate(work.variants):
        left = max(0.0, until - time.monotonic()) / (len(work.variants) - number)
        times, repeats, failed = timed(built, variant, min(ROW, left), rounds)
        rows.append(
            {
                "work": work.name,
                "variant": str(variant),
                "precision": work.precision,
                "tolerance": work.tolerance,
                "floor_us": None if bound is None else bound[0] * 1e6,
                "bound_by": None if bound is None else bound[1],
                "figures": {
                    name: figures(t, repeats[name], errors[name], bound and bound[0])
                    | built[name].notes()
                    for name, t in times.items()
                },
                "failures": failures | failed,
            }
        )
    return rows


def present(device: str) -> tuple[list[Peer], dict[str, str]]:
    """The libraries that are here, and why others are not."""
    found: list[Peer] = []
    absent: dict[str, str] = {}
    for kind in PEERS:
        try:
            found.append(kind(device))
        except Absent as error:
            absent[kind.name] = str(error)
        except Exception as error:
            absent[kind.name] = cause_of(error).splitlines()[0]
    return found, absent


def _device_name(device: str) -> str:
    if device != "cuda":
        return "a simulated device"
    try:
        import cupy

        return str(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode())
    except Exception as error:
        return f"unknown: {error}"


def _keep(report: Report, path: Path | None) -> None:
    """Write what is known so far, so that a run that is ended leaves it."""
    if path is not None:
        beside = path.with_name(path.name + ".new")
        beside.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        beside.replace(path)


def run(options: argparse.Namespace) -> Report:
    """Measure all works, as far as the time goes."""
    begin = time.monotonic()
    until = begin + options.seconds
    peers, absent = present(options.device)
    report: Report = {
        "is_claim": options.device == "cuda",
        "device": _device_name(options.device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "peers": {peer.name: peer.version for peer in peers},
        "absent": absent,
        "ceilings": {},
        "ceilings_failed": {},
        "works": [],
        "aims": [],
        "left_out": [],
    }
    print(f"device: {report['device']}; peers: {report['peers']}; absent: {absent}", flush=True)
    found, causes = ceilings.measure(options.device)
    report["ceilings"], report["ceilings_failed"] = found, causes
    print(f"ceilings: {found} {causes or ''}", flush=True)
    _keep(report, options.json)
    makers = list(planned(options.device != "cuda"))
    for number, make in enumerate(makers):
        left = until - time.monotonic()
        work = make()
        if options.only and not any(text in work.name for text in options.only):
            continue
        if left < 5 and number:
            report["left_out"].append(work.name)
            continue
        start = time.monotonic()
        try:
            rows = measure(work, peers, found, until, options.rounds)
        except Exception as error:
            report["left_out"].append(f"{work.name}: {cause_of(error)}")
            rows = []
        report["works"] += rows
        report["aims"] = list(aims(report["works"]))
        _keep(report, options.json)
        failed = sorted({name for row in rows for name in row["failures"]})
        took = time.monotonic() - start
        print(
            f"{number + 1} of {len(makers)}: {work.name}, {took:.1f} s"
            + (f"; failed: {', '.join(failed)}" if failed else ""),
            flush=True,
        )
        del work
        gc.collect()
    report["seconds"] = time.monotonic() - begin
    _keep(report, options.json)
    return report


def main(arguments: list[str] | None = None) -> int:
    """Read the options; 1 if a work of ours failed or is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "simulated"), default="cuda")
    parser.add_argument("--seconds", type=float, default=300, help="when the last work has to end")
    parser.add_argument("--rounds", type=int, default=31, help="at most so many for each row")
    parser.add_argument("--only", nargs="+", default=[], help="works whose name contains one")
    parser.add_argument("--json", type=Path, help="keep the figures in this file, work by work")
    parser.add_argument("--markdown", type=Path, help="print the table of such a file, no more")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(table.markdown(json.loads(options.markdown.read_text(encoding="utf-8"))))
        return 0
    if options.device == "simulated":
        os.environ.setdefault("TFSESSION_SIMULATED_GPUS", "1:256MiB")
    # jax takes most of the memory at once, or else little by little.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = run(options)
    table.show(report)
    wrong = [row["work"] for row in report["works"] if "tfsession" in row["failures"]]
    return 1 if wrong or "tfsession" in report["absent"] else 0


if __name__ == "__main__":
    sys.exit(main())
