"""What nobody can know before a GPU is there: each fact is tried in a process of its own.

A probe that fails says why, and harms no other: an error of CUDA leaves a process unusable. Run by
`ci/gpu`, which keeps the outcomes.

    python tests/bench/gpu_probes.py --json FILE       all, each with its outcome
    python tests/bench/gpu_probes.py conditional       one of them, in this process
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Facts = dict[str, Any]
SECONDS = 45.0

_EMPTY = r'extern "C" __global__ void empty() {}'
_CONDITION = r"""
typedef unsigned long long cudaGraphConditionalHandle;
extern "C" __device__ __cudart_builtin__ void cudaGraphSetConditional(
    cudaGraphConditionalHandle handle, unsigned int value);
extern "C" __global__ void turn(cudaGraphConditionalHandle handle, int *left, int *turns) {
    *turns += 1;
    *left -= 1;
    cudaGraphSetConditional(handle, *left > 0);
}
"""
_VECTORS = r"""
extern "C" __global__ void fma4(const float4 *x, float4 *y, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long stride = (long long)gridDim.x * blockDim.x;
    for (; i < n; i += stride) {
        float4 v = x[i];
        v.x = v.x * 2.0f + 1.0f; v.y = v.y * 2.0f + 1.0f;
        v.z = v.z * 2.0f + 1.0f; v.w = v.w * 2.0f + 1.0f;
        y[i] = v;
    }
}
"""


def _cupy() -> Any:
    import cupy

    return cupy


def _microseconds(cupy: Any, function: Callable[[], Any], rounds: int = 15) -> float:
    """The median on the device, of what is queued on the current stream."""
    found = []
    for turn in range(rounds + 3):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        function()
        end.record()
        end.synchronize()
        if turn >= 3:
            found.append(cupy.cuda.get_elapsed_time(start, end) * 1e3)
    return statistics.median(found)


def versions() -> Facts:
    """What is installed, by package and by the libraries' own word."""
    wanted = r"cuda.(bindings|core|pathfinder)|cupy.*|nvidia.*|numpy|ml.dtypes|torch|triton|jax.*"
    found: Facts = {
        d.name: d.version
        for d in importlib.metadata.distributions()
        if d.name and re.fullmatch(wanted, d.name, re.IGNORECASE)
    }
    found["compute-sanitizer"] = shutil.which("compute-sanitizer")
    wanted_of: dict[str, Callable[[Any], Any]] = {
        "driver": lambda cuda: cuda.runtime.driverGetVersion(),
        "runtime": lambda cuda: cuda.runtime.runtimeGetVersion(),
        "nvrtc": lambda cuda: list(cuda.nvrtc.getVersion()),
        "compute capability": lambda cuda: cuda.Device().compute_capability,
        "memory free and total": lambda cuda: list(cuda.runtime.memGetInfo()),
    }
    for name, ask in wanted_of.items():
        try:
            found[name] = ask(_cupy().cuda)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def _cublaslt(cupy: Any) -> Any:
    """The library that CuPy's cuBLAS has loaded."""
    cupy.cuda.device.get_cublas_handle()
    maps = Path("/proc/self/maps").read_text()
    match = re.search(r"\S*/libcublasLt\.so\S*", maps)
    if match is None:
        raise RuntimeError("no libcublasLt is loaded beside cuBLAS")
    return ctypes.CDLL(match[0])


def cublaslt() -> Facts:
    """cuBLASLt through ctypes, inside a capture, and its replay with other numbers."""
    cupy = _cupy()
    library = _cublaslt(cupy)
    library.cublasLtGetVersion.restype = ctypes.c_size_t
    size, pointer = 256, ctypes.c_void_p
    handle, desc, layout = pointer(), pointer(), pointer()

    def call(name: str, *arguments: Any) -> None:
        status = getattr(library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} gave status {status}")

    compute_32f, real_32f = 68, 0
    call("cublasLtCreate", ctypes.byref(handle))
    call("cublasLtMatmulDescCreate", ctypes.byref(desc), compute_32f, real_32f)
    sizes = ctypes.c_uint64(size), ctypes.c_uint64(size), ctypes.c_int64(size)
    call("cublasLtMatrixLayoutCreate", ctypes.byref(layout), real_32f, *sizes)
    rng = np.random.default_rng(0)
    x, y = (cupy.asarray(rng.random((size, size), np.float32)) for _ in range(2))
    out, space = cupy.zeros_like(x), cupy.empty(32 << 20, np.uint8)
    one, zero = ctypes.c_float(1), ctypes.c_float(0)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.runtime.deviceSynchronize()

    def product() -> None:  # rows first: what the library calls the first matrix is the second
        a, b, c = (pointer(array.data.ptr) for array in (y, x, out))
        operands = a, layout, b, layout, ctypes.byref(zero), c, layout, c, layout
        rest = None, pointer(space.data.ptr), ctypes.c_size_t(space.nbytes), pointer(stream.ptr)
        call("cublasLtMatmul", handle, desc, ctypes.byref(one), *operands, *rest)

    with stream:
        product()
        stream.synchronize()
        stream.begin_capture()
        product()
        graph = stream.end_capture()
        x[...] = x[::-1].copy()
        out.fill(0)
        graph.launch(stream)
        stream.synchronize()
    found, right = out.get(), x.get() @ y.get()
    error = float(np.abs(found - right).max() / np.abs(right).max())
    assert error < 1e-4, f"the replay is off by {error:.3g}"
    return {"version": library.cublasLtGetVersion(), "error": error}


def conditional() -> Facts:
    """A graph that repeats a body while a kernel says so: made by cuda-bindings, from a cubin."""
    from cuda.bindings import driver

    cupy = _cupy()
    left, turns = cupy.array([5], np.int32), cupy.zeros(1, np.int32)
    module = cupy.RawModule(code=_CONDITION, backend="nvrtc")
    kernel = module.get_function("turn")
    context = _checked(driver.cuCtxGetCurrent())
    graph = _checked(driver.cuGraphCreate(0))
    assign_default = 1
    handle = _checked(driver.cuGraphConditionalHandleCreate(graph, context, 1, assign_default))
    params = driver.CUgraphNodeParams()
    params.type = driver.CUgraphNodeType.CU_GRAPH_NODE_TYPE_CONDITIONAL
    params.conditional.handle = handle
    params.conditional.type = driver.CUgraphConditionalNodeType.CU_GRAPH_COND_TYPE_WHILE
    params.conditional.size = 1
    params.conditional.ctx = context
    try:
        _checked(driver.cuGraphAddNode(graph, None, None, 0, params))
    except TypeError:  # the bindings for CUDA 12 know nothing of the data of edges
        _checked(driver.cuGraphAddNode(graph, None, 0, params))
    body = params.conditional.phGraph_out[0]
    node = driver.CUDA_KERNEL_NODE_PARAMS()
    node.func = driver.CUfunction(kernel.kernel.ptr)
    node.gridDimX = node.gridDimY = node.gridDimZ = 1
    node.blockDimX = node.blockDimY = node.blockDimZ = 1
    values = int(handle), left.data.ptr, turns.data.ptr
    node.kernelParams = (values, (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p))
    _checked(driver.cuGraphAddKernelNode(body, None, 0, node))
    executable = _checked(driver.cuGraphInstantiate(graph, 0))
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.runtime.deviceSynchronize()
    counts = []
    for number in (5, 3):
        left.fill(number)
        turns.fill(0)
        cupy.cuda.runtime.deviceSynchronize()
        _checked(driver.cuGraphLaunch(executable, driver.CUstream(stream.ptr)))
        stream.synchronize()
        counts.append(int(turns[0]))
    assert counts == [5, 3], f"the body ran {counts} times, not 5 and 3"
    left.fill(1000)
    cupy.cuda.runtime.deviceSynchronize()
    start = time.perf_counter()
    _checked(driver.cuGraphLaunch(executable, driver.CUstream(stream.ptr)))
    stream.synchronize()
    return {"turns": counts, "us_a_turn": (time.perf_counter() - start) * 1e3}


def _checked(answer: tuple[Any, ...]) -> Any:
    """What a function of the driver gives beside its status."""
    status, *values = answer
    if int(status):
        raise RuntimeError(f"the driver says {status!r}")
    return values[0] if len(values) == 1 else values


def pool() -> Facts:
    """Whether a pool that reserved its limit at once gives it out in pieces."""
    cupy = _cupy()
    limit = 1 << 30
    made = cupy.cuda.MemoryPool()
    made.set_limit(size=limit)
    block = made.malloc(limit)
    first = block.ptr
    del block
    reserved = made.total_bytes()
    pieces = [made.malloc(limit // 8) for _ in range(8)]
    inside = all(first <= piece.ptr < first + limit for piece in pieces)
    total = made.total_bytes()
    del pieces
    whole = made.malloc(limit)
    assert reserved == total == made.total_bytes(), "the pool has asked for more"
    assert inside, "pieces lie outside of what was reserved"
    return {"reserved": reserved, "joined_again": whole.ptr == first}


def bandwidth() -> Facts:
    """A multiplication and addition of 64 Mi float32, as several kernels do it; GB/s."""
    cupy = _cupy()
    x = cupy.ones(1 << 26, np.float32)
    y = cupy.empty_like(x)
    by_cupy = cupy.ElementwiseKernel("float32 x", "float32 y", "y = x * 2.0f + 1.0f", "fma1")
    by_vectors = cupy.RawKernel(_VECTORS, "fma4")
    count = cupy.cuda.Device().attributes["MultiProcessorCount"]
    grids = {f"vectors, {n} blocks a multiprocessor": n * count for n in (4, 8, 16, 32)}
    vectors = np.int64(x.size // 4)
    wanted: dict[str, Callable[[], Any]] = {
        "copy": lambda: y.data.copy_from_device_async(x.data, x.nbytes),
        "ElementwiseKernel": lambda: by_cupy(x, y),
        "vectors, one a thread": lambda: by_vectors((x.size // 1024,), (256,), (x, y, vectors)),
    }
    for name, grid in grids.items():
        wanted[name] = lambda grid=grid: by_vectors((grid,), (256,), (x, y, vectors))
    return {
        name: round(2 * x.nbytes / _microseconds(cupy, function) / 1e3, 1)
        for name, function in wanted.items()
    }


def generated() -> Facts:
    """The same work as in `bandwidth` by a step of tfsession; GB/s, the host's part included."""
    import tfsession as tf

    size, turns = 1 << 26, 20
    with tf.Graph().as_default() as graph, tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [size])
        session = tf.Session(graph=graph)
        step = session.make_callable(x * 2.0 + 1.0, [x], device_fetches=True)
    value = step(np.zeros(size, np.float32))
    settle = _cupy().cuda.runtime.deviceSynchronize
    took = []
    for _ in range(8):
        settle()
        start = time.perf_counter()
        for _ in range(turns):
            step(value)
        settle()
        took.append((time.perf_counter() - start) / turns)
    (first,) = {float(number) for number in step(value)[:: size // 7].get()}
    assert first == 3, f"the step gave {first}, not 3"
    return {"a step of tfsession": round(8 * size / statistics.median(took[1:]) / 1e9, 1)}


def replay() -> Facts:
    """What a replayed graph costs for each node, on the device and on the host."""
    cupy = _cupy()
    kernel = cupy.RawKernel(_EMPTY, "empty")
    kernel((1,), (1,), ())
    stream = cupy.cuda.Stream(non_blocking=True)
    on_device, on_host = {}, {}
    counts = (1, 16, 64, 256, 1024)
    with stream:
        for count in counts:
            stream.begin_capture()
            for _ in range(count):
                kernel((1,), (1,), ())
            graph = stream.end_capture()
            on_device[count] = _microseconds(cupy, lambda graph=graph: graph.launch(stream))
            stream.synchronize()
            took = []
            for _ in range(20):
                start = time.perf_counter()
                graph.launch(stream)
                took.append((time.perf_counter() - start) * 1e6)
                stream.synchronize()
            on_host[count] = statistics.median(took)
    slope = np.polyfit(counts, [on_device[count] for count in counts], 1)
    return {"us_on_device": on_device, "us_of_a_launch": on_host, "us_a_node": float(slope[0])}


def pinned() -> Facts:
    """A copy from pinned memory inside a capture: a replay takes what the memory holds then."""
    cupy = _cupy()
    size, runtime = 1 << 16, cupy.cuda.runtime
    memory = cupy.cuda.alloc_pinned_memory(4 * size)
    host = np.frombuffer(memory, np.float32, size)
    device = cupy.zeros(size, np.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    device *= 2  # its kernel is loaded now, not inside the capture
    runtime.deviceSynchronize()
    with stream:
        stream.begin_capture()
        to_device = 1
        runtime.memcpyAsync(device.data.ptr, memory.ptr, host.nbytes, to_device, stream.ptr)
        device *= 2
        graph = stream.end_capture()
        found = []
        for value in (3, 5):
            host[...] = value
            graph.launch(stream)
            stream.synchronize()
            found.append(float(device[-1]))
    assert found == [6, 10], f"the replays gave {found}, not 6 and 10"
    return {"replays": found}


PROBES: dict[str, Callable[[], Facts]] = {
    function.__name__: function
    for function in (versions, cublaslt, conditional, pool, bandwidth, generated, replay, pinned)
}


def outcome_of(command: list[str], seconds: float) -> Facts:
    """What a probe's process says in its last line; or how it failed."""
    start = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=max(seconds, 1))
    except subprocess.TimeoutExpired:
        return {"outcome": "failed", "cause": f"no answer after {seconds:.0f} seconds"}
    took = {"seconds": round(time.monotonic() - start, 1)}
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        try:
            return {"outcome": "ok", **took, "facts": json.loads(lines[-1])}
        except json.JSONDecodeError:
            pass
    said = done.stderr.strip().splitlines() or lines
    cause = said[-1][:500] if said else "nothing was said"
    return {"outcome": "failed", **took, "cause": f"exit {done.returncode}: {cause}"}


def main(arguments: list[str] | None = None) -> int:
    """Run one here, or all in processes of their own; failures end nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("probe", nargs="?", choices=sorted(PROBES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=120, help="for all of them together")
    options = parser.parse_args(arguments)
    if options.probe:
        try:
            print(json.dumps(PROBES[options.probe]()))
        except Exception as error:
            traceback.print_exc()
            # The last line is what is kept.
            print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
        return 0
    until = time.monotonic() + options.seconds
    found = {}
    for name in PROBES:
        left = until - time.monotonic()
        if left < 2:
            found[name] = {"outcome": "failed", "cause": "no time was left"}
        else:
            found[name] = outcome_of([sys.executable, __file__, name], min(SECONDS, left))
        print(f"{name}: {json.dumps(found[name])}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
