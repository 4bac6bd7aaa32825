"""Convolutions and their gradients as graphs of cuDNN, where it is installed.

Images are read where they lie, with their channels first or last. Filters are copied to the order
that the library multiplies by tensor cores, and their gradient comes back in it. Each function
gives None where there is no plan: then `kernels.cuda.conv` has its own ways.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Any

from tfsession.core.windows import Axis
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.cublaslt import BIAS, DEFAULT, RELU
from tfsession.devices.cudnn import Describe, GraphLibrary, GraphPlan, graph_library
from tfsession.devices.gemm import may_round_to_tf32

__all__ = ["filter_gradient", "forward", "input_gradient"]

# Numbers of tensors in a graph.
_IMAGES, _FILTERS, _RESULT, _BIAS = 1, 2, 3, 4
_RANKS = (2, 3)
_EPILOGUES = (DEFAULT, RELU, BIAS, BIAS | RELU)


class _Sizes:
    """The sizes of a convolution as the library has them: channels behind the batch."""

    def __init__(self, problem: Any) -> None:
        self.first = problem.channels_first
        self.axes: tuple[Axis, ...] = tuple(problem.axes)
        depth = problem.groups * problem.group_depth
        self.images = (problem.batch, depth, *problem.sizes)
        self.results = (problem.batch, problem.out_depth, *problem.counts)
        extents = [axis.extent for axis in self.axes]
        self.filters = (problem.out_depth, problem.group_depth, *extents)

    @property
    def key(self) -> Any:
        """All that they are."""
        return self.first, self.axes, self.images, self.filters

    def strides(self, sizes: Sequence[int]) -> list[int]:
        """Elements from one index to the next, where channels lie as those of images do."""
        if self.first:
            return [prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
        channels, inner = sizes[1], sizes[2:]
        steps = [channels * prod(inner[axis + 1 :]) for axis in range(len(inner))]
        return [channels * prod(inner), 1, *steps]

    def moves(self) -> dict[str, list[int]]:
        """How windows move, as arguments."""
        return {
            "pre_padding": [axis.before for axis in self.axes],
            "post_padding": [_behind(axis) for axis in self.axes],
            "stride": [axis.stride for axis in self.axes],
            "dilation": [axis.dilation for axis in self.axes],
        }

    def tensor(self, graph: Any, kind: Any, number: int, sizes: Sequence[int]) -> Any:
        """A tensor that a graph reads."""
        strides = self.strides(sizes)
        return graph.tensor(dim=list(sizes), stride=strides, data_type=kind, uid=number)

    def written(self, tensor: Any, kind: Any, sizes: Sequence[int]) -> None:
        """Say that a tensor is what a graph gives."""
        tensor.set_output(True).set_data_type(kind).set_uid(_RESULT)
        tensor.set_dim(list(sizes)).set_stride(self.strides(sizes))


def _behind(axis: Axis) -> int:
    """The padding behind all elements that windows touch."""
    return max(0, axis.padded - axis.before - axis.size)


def _fits(problem: Any) -> bool:
    """Whether the library has such convolutions; those of one element are left to products."""
    if len(problem.axes) not in _RANKS or all(axis.is_identity for axis in problem.axes):
        return False
    for axis in problem.axes:
        room = axis.size + axis.before + _behind(axis) - axis.reach
        if axis.before < 0 or room < 0 or room // axis.stride + 1 != axis.steps:
            return False
    sizes = problem.batch, problem.groups, problem.out_depth, *problem.counts, *problem.sizes
    return 0 not in sizes


def _library(xp: Any, problem: Any, *arrays: Any) -> GraphLibrary | None:
    library = graph_library(xp)
    if library is None or not _fits(problem):
        return None
    return library if all(array.dtype == arrays[0].dtype for array in arrays) else None


def _result(xp: Any, problem: Any, sizes: Sequence[int], dtype: Any) -> Any:
    batch, depth, *inner = sizes
    shape = (batch, depth, *inner) if problem.channels_first else (batch, *inner, depth)
    return xp.empty(shape, dtype)


def _turned(xp: Any, w: Any, first: bool) -> Any:
    """Filters with their results outermost, as images have their channels."""
    rank = w.ndim - 2
    inner = (rank, *range(rank)) if first else (*range(rank), rank)
    return xp.ascontiguousarray(xp.transpose(w, (rank + 1, *inner)))


def _plan(
    xp: Any, library: GraphLibrary, key: Hashable, dtype: str, describe: Describe
) -> GraphPlan | None:
    capability = int(xp.cuda.Device().compute_capability)
    exact = dtype == "float32" and not may_round_to_tf32(capability)
    return library.plan(xp, key, dtype, describe, is_exact=exact)


def _written(xp: Any, library: GraphLibrary, plan: GraphPlan, arrays: dict[int, Any]) -> Any:
    """The result, which a plan has written; None where that has failed."""
    try:
        plan.run(xp, arrays)
    except (CaptureRefused, MemoryError):
        raise
    except Exception:
        library.drop(plan)
        return None
    return arrays[_RESULT]


def forward(
    xp: Any, problem: Any, x: Any, w: Any, epilogue: int = DEFAULT, bias: Any = None
) -> Any:
    """The convolution, and what is done to it, of cublasLtEpilogue_t."""
    library = _library(xp, problem, x, w)
    if library is None or epilogue not in _EPILOGUES:
        return None
    sizes = _Sizes(problem)

    def describe(graph: Any, kind: Any) -> None:
        images = sizes.tensor(graph, kind, _IMAGES, sizes.images)
        filters = sizes.tensor(graph, kind, _FILTERS, sizes.filters)
        found = graph.conv_fprop(image=images, weight=filters, **sizes.moves())
        if epilogue & BIAS:
            depths = [1, problem.out_depth, *[1] * len(sizes.axes)]
            found = graph.bias(input=found, bias=sizes.tensor(graph, kind, _BIAS, depths))
        if epilogue & RELU:
            found = graph.relu(input=found)
        sizes.written(found, kind, sizes.results)

    plan = _plan(xp, library, ("forward", epilogue, sizes.key), x.dtype.name, describe)
    if plan is None:
        return None
    arrays = {_IMAGES: xp.ascontiguousarray(x), _FILTERS: _turned(xp, w, sizes.first)}
    if epilogue & BIAS:
        arrays[_BIAS] = bias
    arrays[_RESULT] = _result(xp, problem, sizes.results, x.dtype)
    return _written(xp, library, plan, arrays)


def input_gradient(xp: Any, problem: Any, w: Any, grad: Any) -> Any:
    """The gradient for the input."""
    library = _library(xp, problem, w, grad)
    if library is None:
        return None
    sizes = _Sizes(problem)

    def describe(graph: Any, kind: Any) -> None:
        slopes = sizes.tensor(graph, kind, _IMAGES, sizes.results)
        filters = sizes.tensor(graph, kind, _FILTERS, sizes.filters)
        found = graph.conv_dgrad(loss=slopes, filter=filters, **sizes.moves())
        sizes.written(found, kind, sizes.images)

    plan = _plan(xp, library, ("input", sizes.key), grad.dtype.name, describe)
    if plan is None:
        return None
    arrays = {_IMAGES: xp.ascontiguousarray(grad), _FILTERS: _turned(xp, w, sizes.first)}
    arrays[_RESULT] = _result(xp, problem, sizes.images, grad.dtype)
    return _written(xp, library, plan, arrays)


def filter_gradient(xp: Any, problem: Any, x: Any, grad: Any) -> Any:
    """The gradient for the filters, in their order."""
    library = _library(xp, problem, x, grad)
    if library is None:
        return None
    sizes = _Sizes(problem)

    def describe(graph: Any, kind: Any) -> None:
        images = sizes.tensor(graph, kind, _IMAGES, sizes.images)
        slopes = sizes.tensor(graph, kind, _FILTERS, sizes.results)
        found = graph.conv_wgrad(image=images, loss=slopes, **sizes.moves())
        sizes.written(found, kind, sizes.filters)

    plan = _plan(xp, library, ("filters", sizes.key), x.dtype.name, describe)
    if plan is None:
        return None
    out, depth, *extents = sizes.filters
    shape = (out, depth, *extents) if sizes.first else (out, *extents, depth)
    arrays = {_IMAGES: xp.ascontiguousarray(x), _FILTERS: xp.ascontiguousarray(grad)}
    arrays[_RESULT] = xp.empty(shape, x.dtype)
    total = _written(xp, library, plan, arrays)
    if total is None:
        return None
    rank = len(extents)
    order = (*range(2, rank + 2), 1, 0) if sizes.first else (*range(1, rank + 2), 0)
    return xp.ascontiguousarray(xp.transpose(total, order))
