"""Convolutions of a GPU: windows as a matrix by a kernel, and the library that multiplies matrices.

Where cuDNN is installed and has a plan, it computes them: see `conv_graph`.
Numbers are multiplied as they are, halves too, and summed in float32. What no library multiplies,
and images whose windows alone would take too much memory, are left to the kernels of all devices:
then functions give None. Windows of one element are no matrix of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, Protocol

from tfsession.core.windows import Axis
from tfsession.devices.code_library import CodeLibrary, code_library
from tfsession.devices.cublaslt import DEFAULT
from tfsession.devices.gemm import GemmLibrary, gemm_library
from tfsession.kernels.cuda import conv_graph, conv_text
from tfsession.kernels.cuda.conv_text import Geometry
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.fused import Plan
from tfsession.kernels.nn import widened

__all__ = [
    "FLOATS",
    "MOST_AXES",
    "WIDE",
    "depthwise",
    "depthwise_filter_gradient",
    "depthwise_input_gradient",
    "filter_gradient",
    "forward",
    "input_gradient",
    "plan_of",
]

# The most memory for windows at a time.
_MOST_BYTES = 256 << 20
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
MOST_AXES = 3
# Groups beyond so many would be as many products, each of few channels.
_MOST_GROUPS = 32
WIDE = 16
_MOST_PLANS = 256
# Threads that keep a card busy, where each sums up a part, and windows that are too few for one.
_MANY_THREADS, _FEW_WINDOWS = 1 << 16, 64

_plans: dict[Any, Plan | None] = {}


class Problem(Protocol):
    """What is known of a convolution: see `kernels.conv`."""

    channels_first: bool
    batch: int
    groups: int
    group_depth: int
    out_depth: int
    axes: tuple[Axis, ...]
    counts: tuple[int, ...]
    sizes: tuple[int, ...]

    def parts(self) -> list[tuple[slice, slice]]:
        """The channels of the input and of the output that belong to each group."""
        ...


class _Windows:
    """The windows of images of one group as a matrix, in memory that is used slice by slice."""

    def __init__(self, xp: Any, problem: Problem, x: Any) -> None:
        self.xp, self._problem = xp, problem
        self._dtype, self.first = x.dtype, problem.channels_first
        self.places = prod(problem.counts)
        self.patch = prod(axis.extent for axis in problem.axes) * problem.group_depth
        self.is_plain = all(axis.is_identity for axis in problem.axes)
        self._image = self.places * self.patch * x.dtype.itemsize

    @property
    def fits(self) -> bool:
        """Whether those of one image may be made at a time."""
        return self._image <= _MOST_BYTES

    def slices(self) -> Iterator[slice]:
        """Images whose windows are made at a time."""
        batch = self._problem.batch
        step = batch if self.is_plain else max(1, min(batch, _MOST_BYTES // self._image))
        for start in range(0, batch, step):
            yield slice(start, min(start + step, batch))

    def geometry(self, x: Any) -> Geometry:
        """How windows lie over these images, which are of one group."""
        steps = [step // x.dtype.itemsize for step in x.strides]
        channel = steps.pop(1 if self.first else -1)
        lanes = 1
        if not self.first and channel == 1:
            lanes = WIDE // x.dtype.itemsize
            numbers = [self._problem.group_depth, *steps]
            while lanes > 1 and (any(n % lanes for n in numbers) or x.data.ptr % WIDE):
                lanes //= 2
        kind, axes = x.dtype.name, tuple(self._problem.axes)
        depth, strides = self._problem.group_depth, (*steps, channel)
        return Geometry(kind, axes, depth, strides, self.first, lanes)

    def matrix(self, images: int) -> Any:
        """Memory for the windows of some images."""
        size = images, self.places, self.patch
        shape = (size[2], *size[:2]) if self.first else size
        return self.xp.empty(shape, self._dtype)

    def of(self, library: CodeLibrary, x: Any) -> Any:
        """The windows of some images, as `conv_text.unfolded` lays them out; None if it cannot."""
        if self.is_plain:
            if self.first:
                return x.reshape(len(x), self.patch, self.places).swapaxes(0, 1)
            return x.reshape(len(x), self.places, self.patch)
        plan = plan_of(library, conv_text.unfolded, self.geometry(x), len(x))
        if plan is None:
            return None
        return plan.run(self.xp, [x.data.ptr], [self.matrix(len(x))])[0]


def plan_of(library: CodeLibrary, make: Callable[..., Calls], *told: Any) -> Plan | None:
    """The kernel that `make(*told)` writes, for the calling thread's card."""
    key = library.card.id, make, told
    if key not in _plans:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        otherwise = "windows are gone over by common kernels"
        _plans[key] = Plan.of(library, make(*told), otherwise)
    return _plans[key]


def _libraries(xp: Any, problem: Problem, *arrays: Any) -> tuple[CodeLibrary, GemmLibrary] | None:
    """What writes code, and what multiplies; None where this is not for them."""
    code = code_library(xp)
    gemm = None if code is None else gemm_library(xp)
    if code is None or gemm is None:
        return None
    is_known = all(a.dtype.name in FLOATS and a.dtype == arrays[0].dtype for a in arrays)
    is_known &= len(problem.axes) <= MOST_AXES and 0 < problem.groups <= _MOST_GROUPS
    sizes = (problem.batch, problem.group_depth, problem.out_depth, *problem.counts, *problem.sizes)
    return (code, gemm) if is_known and 0 not in sizes else None


def _of_group(x: Any, channels: slice, first: bool) -> Any:
    return x[:, channels] if first else x[..., channels]


def _outcome(xp: Any, problem: Problem, sizes: Sequence[int], depth: int, dtype: Any) -> Any:
    """Memory for images in the layout of the problem."""
    inner = (depth, *sizes) if problem.channels_first else (*sizes, depth)
    return xp.empty((problem.batch, *inner), dtype)


def forward(
    xp: Any, problem: Problem, x: Any, w: Any, epilogue: int = DEFAULT, bias: Any = None
) -> Any:
    """The convolution; None where the kernels of all devices shall compute it.

    `epilogue` is what is done to it, of cublasLtEpilogue_t; a bias is added to the last dimension.
    """
    found = _libraries(xp, problem, x, w)
    if bias is not None:
        fits = bias.shape == (problem.out_depth,) and bias.dtype == x.dtype
        if not fits or problem.channels_first or not bias.flags.c_contiguous:
            return None
    by_graph = conv_graph.forward(xp, problem, x, w, epilogue, bias)
    if by_graph is not None:
        return by_graph
    windows = found and _Windows(xp, problem, x)
    if not found or not windows or not windows.fits:
        return None
    code, gemm = found
    x = xp.ascontiguousarray(x)
    y = _outcome(xp, problem, problem.counts, problem.out_depth, x.dtype)
    filters = xp.ascontiguousarray(w).reshape(windows.patch, problem.out_depth)
    for taken, given in problem.parts():
        own = filters[:, given]
        for images in windows.slices():
            rows = windows.of(code, _of_group(x, taken, windows.first)[images])
            if rows is None:
                return None
            out = _of_group(y, given, windows.first)[images]
            vector = None if bias is None else bias[given]
            if not _write_products(gemm, windows, rows, own, out, epilogue, vector):
                return None
    return y


def _write_products(
    gemm: GemmLibrary,
    windows: _Windows,
    rows: Any,
    own: Any,
    out: Any,
    epilogue: int,
    vector: Any,
) -> bool:
    """Write the products of windows with the filters of a group."""
    if windows.first:  # filters as rows, windows as columns
        sides, target = (own.T, rows.swapaxes(0, 1)), out.reshape(*out.shape[:2], -1)
    else:
        sides, target = (rows.reshape(-1, windows.patch), own), out.reshape(-1, out.shape[-1])
    found = gemm.multiply(windows.xp, *sides, target, epilogue=epilogue, vector=vector)
    return found is not None


def input_gradient(xp: Any, problem: Problem, w: Any, grad: Any) -> Any:
    """The gradient for the input; None where the kernels of all devices shall compute it.

    The shares of windows in it are rounded to its dtype before they are added, in float32.
    """
    by_graph = conv_graph.input_gradient(xp, problem, w, grad)
    if by_graph is not None:
        return by_graph
    found = _libraries(xp, problem, w, grad)
    windows = found and _Windows(xp, problem, grad)
    if not found or not windows or not windows.fits:
        return None
    code, gemm = found
    grad = xp.ascontiguousarray(grad)
    depth = problem.groups * problem.group_depth
    x = _outcome(xp, problem, problem.sizes, depth, grad.dtype)
    filters = xp.ascontiguousarray(w).reshape(windows.patch, problem.out_depth)
    for taken, given in problem.parts():
        own = filters[:, given]
        for images in windows.slices():
            slopes = _of_group(grad, given, windows.first)[images]
            out = _of_group(x, taken, windows.first)[images]
            shares = windows.of(code, out) if windows.is_plain else windows.matrix(len(out))
            if not _write_shares(gemm, windows, slopes, own, shares):
                return None
            if windows.is_plain:
                continue
            plan = plan_of(code, conv_text.gathered, windows.geometry(out), len(out))
            if plan is None:
                return None
            plan.run(xp, [shares.data.ptr], [out])
    return x


def _write_shares(gemm: GemmLibrary, windows: _Windows, slopes: Any, own: Any, shares: Any) -> bool:
    """Write the shares of windows in the gradient, which lie as windows do."""
    if windows.first:
        slopes = slopes.reshape(*slopes.shape[:2], -1)
        return gemm.multiply(windows.xp, own, slopes, shares.swapaxes(0, 1)) is not None
    slopes = slopes.reshape(-1, slopes.shape[-1])
    return gemm.multiply(windows.xp, slopes, own.T, shares.reshape(-1, windows.patch)) is not None


def filter_gradient(xp: Any, problem: Problem, x: Any, grad: Any) -> Any:
    """The gradient for the filters, which have all elements; None as for the others."""
    by_graph = conv_graph.filter_gradient(xp, problem, x, grad)
    if by_graph is not None:
        return by_graph
    found = _libraries(xp, problem, x, grad)
    windows = found and _Windows(xp, problem, x)
    if not found or not windows or not windows.fits:
        return None
    code, gemm = found
    x, grad = xp.ascontiguousarray(x), xp.ascontiguousarray(grad)
    total = xp.empty((windows.patch, problem.out_depth), x.dtype)
    for taken, given in problem.parts():
        sums = None
        for images in windows.slices():
            rows = windows.of(code, _of_group(x, taken, windows.first)[images])
            slopes = _of_group(grad, given, windows.first)[images]
            if rows is None:
                return None
            left, right = _factors(xp, windows, rows, slopes)
            is_whole = len(slopes) == problem.batch
            product = gemm.multiply(xp, left, right, total[:, given] if is_whole else None)
            if product is None:
                return None
            if not is_whole:
                wide = widened(product)
                sums = wide if sums is None else xp.add(sums, wide, out=sums)
        if sums is not None:
            total[:, given] = sums
    return total


def _factors(xp: Any, windows: _Windows, rows: Any, slopes: Any) -> tuple[Any, Any]:
    """Windows as columns, and the gradient of the result, whose product is that for filters."""
    if windows.first:
        turned = slopes.reshape(*slopes.shape[:2], -1).swapaxes(0, 1)
        flat = xp.ascontiguousarray(turned).reshape(len(turned), -1)
        return xp.ascontiguousarray(rows).reshape(len(rows), -1), flat.T
    return rows.reshape(-1, windows.patch).T, slopes.reshape(-1, slopes.shape[-1])


# --- each channel alone ---------------------------------------------------------------------------


class Alone(Protocol):
    """What is known of a depthwise convolution: see `kernels.depthwise`."""

    first: bool
    times: int
    axes: list[Axis]
    filters: tuple[int, ...]
    out_shape: tuple[int, ...]


def _computed_alone(
    xp: Any,
    make: Callable[..., Calls],
    problem: Alone,
    arrays: Sequence[Any],
    images: Sequence[int],
    *told: int,
) -> Any:
    """What one kernel makes of two arrays, for images of a shape; None where there is none."""
    library = code_library(xp)
    if library is None or not all(array.size for array in arrays) or 0 in images:
        return None
    if arrays[0].dtype.name not in FLOATS or arrays[0].dtype != arrays[1].dtype:
        return None
    dtype = arrays[0].dtype.name
    geometry = _geometry(problem, dtype, images)
    plan = plan_of(library, make, geometry, problem.times, images[0], *told)
    if plan is None:
        return None
    whole = [xp.ascontiguousarray(array) for array in arrays]
    return plan.run(xp, [array.data.ptr for array in whole])[0]


def _geometry(problem: Alone, dtype: str, shape: Sequence[int]) -> Geometry:
    """How windows lie over contiguous images of this shape."""
    steps = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    channel = steps.pop(1 if problem.first else -1)
    axes, strides = tuple(problem.axes), (*steps, channel)
    return Geometry(dtype, axes, problem.filters[2], strides, problem.first)


def _image_shape(problem: Alone) -> tuple[int, ...]:
    sizes = [axis.size for axis in problem.axes]
    inner = (problem.filters[2], *sizes) if problem.first else (*sizes, problem.filters[2])
    return (problem.out_shape[0], *inner)


def depthwise(xp: Any, problem: Alone, x: Any, w: Any) -> Any:
    """The convolution of each channel; None where the kernels of all devices shall compute it."""
    if 0 in problem.out_shape:
        return None
    return _computed_alone(xp, conv_text.depthwise, problem, (x, w), x.shape)


def depthwise_input_gradient(xp: Any, problem: Alone, w: Any, grad: Any) -> Any:
    """The gradient for the input; None as before."""
    shape = _image_shape(problem)
    return _computed_alone(xp, conv_text.depthwise_input_gradient, problem, (grad, w), shape)


def depthwise_filter_gradient(xp: Any, problem: Alone, x: Any, grad: Any) -> Any:
    """The gradient for the filters; None as before. Sums of parts are added in a fixed order."""
    size, windows = prod(problem.filters), prod(problem.out_shape[:-1])
    if not size or not windows:
        return None
    parts = max(1, min(_MANY_THREADS // size, windows // _FEW_WINDOWS))
    make = conv_text.depthwise_filter_gradient
    found = _computed_alone(xp, make, problem, (x, grad), x.shape, parts)
    return None if found is None else found.sum(axis=0).astype(x.dtype, copy=False)
