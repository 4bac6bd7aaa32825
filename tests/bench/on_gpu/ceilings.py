"""What the machine can do at best, measured in the run that measures the works.

A ceiling that cannot be measured is None, and the text of the failure stands beside it. On a
simulated device NumPy takes the place of the GPU, so that this is tried; such figures mean nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from on_gpu.peers import use_tf32
from on_gpu.work import PRECISIONS, Work

_EMPTY = r'extern "C" __global__ void empty() {}'
_NODES = 256


def _host_seconds(function: Callable[[], Any], rounds: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    function()
    return statistics.median(once() for _ in range(rounds))


class _Gpu:
    """Measures with CuPy, by events on its current stream."""

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy

    def _seconds(self, function: Callable[[], Any], rounds: int = 9) -> float:
        events = self._cupy.cuda

        def once() -> float:
            start, end = events.Event(), events.Event()
            start.record()
            function()
            end.record()
            end.synchronize()
            return float(events.get_elapsed_time(start, end)) / 1e3

        for _ in range(3):
            function()
        return statistics.median(once() for _ in range(rounds))

    def copy(self) -> float:
        source = self._cupy.ones(1 << 28, np.float32)
        target = self._cupy.empty_like(source)
        seconds = self._seconds(lambda: target.data.copy_from_device_async(source.data, 1 << 30))
        return 2 * (1 << 30) / seconds

    def product(self, precision: str) -> float:
        size = 4096 if precision == "float32" else 8192
        seconds = min(found for found in self._products(size, precision) if found)
        return 2 * size**3 / seconds

    def _products(self, size: int, precision: str) -> list[float]:
        """Seconds by each library that can do it."""
        found, causes = [], []
        for by in (self._by_torch, self._by_cupy):
            try:
                found.append(self._seconds(by(size, precision)))
            except Exception as error:
                causes.append(f"{type(error).__name__}: {error}")
        if not found:
            raise RuntimeError("; ".join(causes))
        return found

    def _by_torch(self, size: int, precision: str) -> Callable[[], Any]:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        x, y = (torch.randn(size, size, device="cuda", dtype=kind) for _ in range(2))
        out = torch.empty_like(x)
        # Both libraries use CUDA's default stream here, so that CuPy's events are in order with it.
        return lambda: torch.mm(x, y, out=out)

    def _by_cupy(self, size: int, precision: str) -> Callable[[], Any]:
        import ml_dtypes

        use_tf32(precision)
        kind = ml_dtypes.bfloat16 if precision == "bfloat16" else np.float32
        rng = np.random.default_rng(0)
        x, y = (
            self._cupy.asarray(rng.standard_normal((size, size), np.float32).astype(kind))
            for _ in range(2)
        )
        return lambda: x @ y

    def launch(self) -> float:
        kernel = self._cupy.RawKernel(_EMPTY, "empty")

        def launches() -> None:
            for _ in range(_NODES):
                kernel((1,), (1,), ())
            self._cupy.cuda.get_current_stream().synchronize()

        return _host_seconds(launches, 9) / _NODES

    def node(self) -> float:
        kernel = self._cupy.RawKernel(_EMPTY, "empty")
        kernel((1,), (1,), ())
        stream = self._cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            for _ in range(_NODES):
                kernel((1,), (1,), ())
            graph = stream.end_capture()
            return self._seconds(lambda: graph.launch(stream)) / _NODES


class _Simulated:
    """The same by NumPy: no figure of it means anything."""

    def copy(self) -> float:
        source = np.ones(1 << 16, np.float32)
        target = np.empty_like(source)
        return 2 * source.nbytes / _host_seconds(lambda: np.copyto(target, source), 3)

    def product(self, precision: str) -> float:
        x = np.ones((64, 64), np.float32)
        return 2 * 64**3 / _host_seconds(lambda: x @ x, 3)

    def launch(self) -> float:
        return _host_seconds(lambda: None, 3)

    node = launch


def measure(device: str) -> tuple[dict[str, float | None], dict[str, str]]:
    """The ceilings, and why those that are None are lacking.

    Bytes read and written by a copy in a second; operations of products in a second by precision;
    seconds that the host needs for a launch, and a replayed graph for a node.
    """
    found: dict[str, float | None] = {}
    causes: dict[str, str] = {}
    try:
        how = _Gpu() if device == "cuda" else _Simulated()
    except ImportError as error:
        return {}, {"all": f"CuPy is not installed: {error}"}
    wanted: dict[str, Callable[[], float]] = {"copy_bytes_per_s": how.copy}
    for precision in PRECISIONS:
        wanted[f"{precision}_flop_per_s"] = lambda precision=precision: how.product(precision)
    wanted |= {"launch_s": how.launch, "replay_s_per_node": how.node}
    for name, function in wanted.items():
        try:
            found[name] = function()
        except Exception as error:
            found[name], causes[name] = None, f"{type(error).__name__}: {error}"
    return found, causes


def floor(work: Work, ceilings: dict[str, float | None]) -> tuple[float, str] | None:
    """The least seconds of a step on this machine, and what binds it; None if not known."""
    known = {
        "bytes": (work.moved, ceilings.get("copy_bytes_per_s")),
        "FLOP": (work.flop, ceilings.get(f"{work.precision}_flop_per_s")),
    }
    bounds = [(amount / rate, name) for name, (amount, rate) in known.items() if rate]
    if (node := ceilings.get("replay_s_per_node")) is not None:
        bounds.append((work.depth * node, "kernels in a row"))
    return max(bounds, default=None)
