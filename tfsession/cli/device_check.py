"""`tfsession devices --check`: a kernel and a transfer on each device, in processes of their own.

So a device that hangs, or takes its process with it, costs one row of the answer; and this process
stays without a CUDA context.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

__all__ = ["TIME_LIMIT", "check"]

# Seconds. CuPy compiles kernels at their first use, on a slow disk for long.
TIME_LIMIT = 120.0
_PAUSE = 0.02

Row = dict[str, Any]


def _command_for(name: str) -> list[str]:
    return [sys.executable, "-m", "tfsession.cli.device_check_child", name]


class _Child(NamedTuple):
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]
    begun: float


def _start(command: Sequence[str]) -> _Child:
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  read at the end
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    return _Child(process, out, err, time.monotonic())


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        return f"its process was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was ended by signal {-code}"


def _result(passed: bool, reason: str, seconds: float) -> Row:
    return {"passed": passed, "reason": reason, "seconds": round(seconds, 3)}


def _judged(child: _Child) -> Row:
    """What a child that has ended found, or how it ended."""
    seconds = time.monotonic() - child.begun
    try:
        said = json.loads(_read(child.out).splitlines()[-1])
        return _result(said["passed"] is True, str(said["reason"]), seconds)
    except (ValueError, IndexError, KeyError, TypeError):
        last = _read(child.err).splitlines()[-1:]
        reason = ": ".join([_how_it_ended(child.process.returncode), *last])
        return _result(False, reason, seconds)


def check(
    names: Sequence[str],
    time_limit: float = TIME_LIMIT,
    command_for: Callable[[str], Sequence[str]] = _command_for,
) -> list[Row]:
    """Checks the devices of these full names, all at once; `time_limit` is in seconds for each.

    Returns for each whether it passed, the reason where it did not, and the seconds it took.
    """
    children: list[_Child] = []
    results: dict[int, Row] = {}
    try:
        for name in names:
            children.append(_start(command_for(name)))  # noqa: PERF401  each is to be ended
        while len(results) < len(children):
            for i, child in enumerate(children):
                if i in results:
                    continue
                seconds = time.monotonic() - child.begun
                if child.process.poll() is not None:
                    results[i] = _judged(child)
                elif seconds > time_limit:
                    results[i] = _result(False, f"not done after {time_limit:g} s", seconds)
            time.sleep(_PAUSE)
    finally:
        for child in children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait()
            child.out.close()
            child.err.close()
    return [results[i] for i in range(len(children))]
