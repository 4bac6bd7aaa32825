"""The stages of `ci/gpu`, each within its time, and one JSON of what came of them.

The JSON is written anew after each stage, so that a machine that is taken away leaves what was
found until then. A stage that fails ends no other. Stages share the time that is left by weight.

    python tests/bench/gpu_report.py                          all, in nine minutes
    python tests/bench/gpu_report.py --seconds 200 probes bench
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BENCH = Path(__file__).parent
# Seconds that a stage has to end by itself, once it was asked to.
GRACE = 10.0
PACKAGES = (
    r"numpy|ml.dtypes|protobuf|cupy.*|cuda.(bindings|core|pathfinder)|torch|triton|jax.*|tfsession"
    r"|nvidia.(ml.py|cublas|cudnn|cuda.(runtime|nvrtc)).*"
)
# The folder that a command begins in is no place to look for modules: a package without its kernels
# and devices lies there, which else would hide the one that ci/links lays out.
FROM_LINKS = {"PYTHONSAFEPATH": "1"}
VARIABLES = "(TFSESSION|CUPY|CUDA|NVIDIA)_"
DEVICE = ("name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "power.limit")
Report = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A command within a part of the time; `asks` makes it of the seconds that it has.

    `reads` adds what it left in its file to its outcome; `variables` are for its environment.
    """

    weight: float
    asks: Callable[[float, Path], list[str]]
    reads: Callable[[Path], Any]
    variables: dict[str, str] = field(default_factory=dict)
    needs: str = ""


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _tool(name: str) -> Callable[[float, Path], list[str]]:
    """One of the programs beside this one, told how long it may take and where to write."""

    def asks(seconds: float, path: Path) -> list[str]:
        options = ["--seconds", f"{seconds:.0f}", "--json", str(path)]
        return [sys.executable, str(BENCH / name), *options]

    return asks


def _equality(seconds: float, path: Path) -> list[str]:
    return _tool("gpu_equality.py")(seconds / 2 - 5, path)


def _sanitizer(seconds: float, path: Path) -> list[str]:
    tool = ["compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "9", "--log-file"]
    program = [sys.executable, str(BENCH / "gpu_equality.py"), "--write", f"{path}.npz"]
    return [*tool, str(path), *program, "--seconds", f"{seconds - 15:.0f}"]


def _last_lines(path: Path) -> Any:
    return {"log": path.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]}


def _suite(seconds: float, path: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--device", "cuda", "--junit-xml", str(path)]
    command += ["-m", "not (oracle or multi_gpu)"]
    if importlib.util.find_spec("xdist") is not None:
        command += ["-n", str(min(8, os.cpu_count() or 1))]
    return command


def junit(path: Path) -> Report:
    """The numbers of a test run, and what failed, with the first line of each message."""
    suite = ElementTree.parse(path).getroot().find("testsuite")
    if suite is None:
        raise ValueError("no testsuite in the file")
    numbers = {n: int(suite.get(n, 0)) for n in ("tests", "failures", "errors", "skipped")}
    failed = {}
    for case in suite.iter("testcase"):
        for kind in ("failure", "error"):
            if (told := case.find(kind)) is not None:
                first = (told.get("message") or "").splitlines()[:1]
                failed[f"{case.get('classname')}.{case.get('name')}"] = "".join(first)[:200]
    return {**numbers, "failed": dict(list(failed.items())[:100])}


STAGES: dict[str, Stage] = {
    "probes": Stage(1.2, _tool("gpu_probes.py"), _json),
    "bench": Stage(5.0, _tool("gpu.py"), _json),
    "equality": Stage(1.0, _equality, _json),
    "suite": Stage(3.0, _suite, junit, FROM_LINKS | {"TFSESSION_SIMULATED_GPUS": ""}),
    "sanitizer": Stage(0.8, _sanitizer, _last_lines, needs="compute-sanitizer"),
    "demo": Stage(
        0.5,
        lambda seconds, path: [
            *(sys.executable, "-m", "tfsession.examples.digits", "--device", "/gpu:0")
        ],
        lambda path: {},
        FROM_LINKS,
    ),
}


def device_of(smi: str) -> dict[str, str]:
    """What nvidia-smi tells of the first card, by the names that it was asked for."""
    first = smi.strip().splitlines()[0].split(", ")
    return dict(zip(DEVICE, first, strict=True))


def _smi() -> dict[str, str]:
    command = ["nvidia-smi", "--format=csv,noheader", "--query-gpu=" + ",".join(DEVICE)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return device_of(done.stdout)
    except Exception as error:
        return {"name": "unknown", "driver_version": "unknown", "cause": str(error)[:300]}


def about() -> Report:
    """The machine, and what is installed."""
    device = _smi()
    found = {d.name: d.version for d in importlib.metadata.distributions() if d.name}
    versions = {n: v for n, v in found.items() if re.fullmatch(PACKAGES, n, re.IGNORECASE)}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "driver": device["driver_version"],
        "python": platform.python_version(),
        "versions": dict(sorted(versions.items(), key=lambda pair: pair[0].lower())),
        "precision": "each row of the bench names its own: float32 is without TF32",
        "environment": {n: v for n, v in os.environ.items() if re.match(VARIABLES, n)},
        "outcomes": {},
    }


def _default_interrupt() -> None:
    # A parent in the background may ignore Ctrl-C, and its children would do so, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_within(command: list[str], seconds: float, environment: dict[str, str]) -> int | None:
    """The exit status, or None if it had to be ended: by an interrupt first, then at once."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_default_interrupt,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it may have left running
        process.wait()


def do(name: str, stage: Stage, seconds: float, folder: Path) -> Report:
    """Run one stage; its outcome."""
    if stage.needs and shutil.which(stage.needs) is None:
        return {"outcome": "not run", "cause": f"{stage.needs} is not installed"}
    start, path = time.monotonic(), folder / f"{name}.out"
    command = stage.asks(max(5.0, seconds - GRACE), path)
    print(f"== {name}: {seconds:.0f} s at most: {' '.join(command)}", flush=True)
    try:
        code = run_within(command, seconds - GRACE, {**os.environ, **stage.variables})
    except OSError as error:
        return {"outcome": "failed", "cause": str(error)}
    found: Report = {"outcome": "ok" if code == 0 else "failed"}
    if code is None:
        found["cause"] = "ended, as its time was over"
    else:
        found["exit_code"] = code
    found["seconds"] = round(time.monotonic() - start, 1)
    try:
        found["found"] = stage.reads(path)
    except Exception as error:
        found["nothing_found"] = f"{type(error).__name__}: {error}"
    print(f"== {name}: {found['outcome']}, {found['seconds']} s", flush=True)
    return found


def keep(report: Report, path: Path) -> None:
    """Write the report whole, never in part; where the environment's OUT says, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)
    if os.environ.get("OUT"):
        shutil.copy(path, os.environ["OUT"])


def report_path(report: Report, results: Path) -> Path:
    """A file named by the card and the moment."""
    card = re.sub(r"[^a-z0-9]+", "-", report["device"]["name"].lower()).strip("-")
    moment = re.sub(r"[^0-9]", "", report["date"].split("+")[0])
    return results / f"{card}-{moment}.json"


def run(
    wanted: list[str], stages: dict[str, Stage], seconds: float, folder: Path, results: Path
) -> tuple[Report, Path]:
    """Run the stages that are wanted, and keep the report."""
    until = time.monotonic() + seconds
    folder.mkdir(parents=True, exist_ok=True)
    report = about()
    path = report_path(report, results)
    keep(report, path)
    asked = [name for name in stages if name in wanted]
    for number, name in enumerate(asked):
        left = until - time.monotonic()
        weights = sum(stages[other].weight for other in asked[number:])
        share = left * stages[name].weight / weights
        if share < GRACE:
            report["outcomes"][name] = {"outcome": "not run", "cause": "no time was left"}
        else:
            report["outcomes"][name] = do(name, stages[name], share, folder)
        keep(report, path)
    return report, path


def main(arguments: list[str] | None = None) -> int:
    """1 if a stage failed or was not run for lack of time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("stages", nargs="*", choices=[[], *STAGES], help="all without any")
    parser.add_argument("--seconds", type=float, default=540, help="for all of them together")
    options = parser.parse_args(arguments)
    wanted = options.stages or list(STAGES)
    report, path = run(wanted, STAGES, options.seconds, ROOT / "build" / "gpu", BENCH / "results")
    print(f"ci/gpu: wrote {path}")
    outcomes = report["outcomes"]
    for name, found in outcomes.items():
        print(f"  {name}: {found['outcome']} {found.get('cause', '')}")
    return int(any(found["outcome"] == "failed" for found in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
