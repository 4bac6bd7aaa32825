"""Convolutions by a library of neural networks, where there is one for the arrays.

Arrays have their channels last, and filters are `[*extents, depth, out_depth]`, or where each
channel is convolved alone `[*extents, channels]`. The library wants them in an order of its own, so
they are copied once for all blocks; sums of their gradients stay in it until the end. Each function
says whether it has done the work; if not, nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.windows import Axis
from tfsession.devices.onednn import Description, Layout, Library, Primitive, dnn_library
from tfsession.devices.threads import run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels.conv_windows import Done, Kept, blocks, geometry, summed_blocks
from tfsession.kernels.pool_windows import part_axis, touched

# `dnnl_prop_kind_t`, `dnnl_alg_kind_t`, `dnnl_query_t` and the codes of arguments.
_TRAINING, _DIRECT = 64, 1
_FILTERS_LAYOUT, _TO_FILTERS_LAYOUT = 131, 132
_SOURCE, _RESULT, _FILTERS, _TO_SOURCE, _OF_RESULT, _TO_FILTERS = 1, 17, 33, 129, 145, 161
_ADD, _LATER, _SECOND = 0x1FFF0, 1 << 15, 2

# For channels alone, what is not made for them is slower than the kernel's own text.
_ALONE = b"_dw"
# Multiplications of a block: at least and at most, some 100 and 400 microseconds of one core, for
# threads wait for each other between blocks; and where memory sets the pace.
_LEAST_BLOCK, _BLOCK, _ALONE_BLOCK = 6_000_000, 24_000_000, 1_500_000
# The least of a piece, for which no thread waits for another.
_LEAST_PIECE = 3_000_000
# So many blocks there are before they grow.
_BLOCKS = 4


class _Block(NamedTuple):
    """What of the images is computed at a time: what is taken and given, and by what."""

    taken: tuple[slice, slice]
    given: tuple[slice, slice]
    compute: Primitive


class _Plan(NamedTuple):
    """How a convolution, or one of its gradients, is computed."""

    blocks: list[_Block]
    reorder: Primitive  # of filters: to the order that the library likes, or back
    filter_elements: int


class _Problem:
    """A convolution of images of one shape."""

    def __init__(
        self,
        kind: str,
        library: Library,
        filters: tuple[int, ...],
        axes: tuple[Axis, ...],
        sums: tuple[bool, ...] = (),
    ) -> None:
        self.library, self._kind, self._sums = library, kind, sums
        self._out_depth, self.is_alone = filters[-1], len(filters) == len(axes) + 1
        self._dimensions = len(axes)
        extents = filters[: len(axes)]
        sizes, steps = [*filters[: len(axes) - 1 : -1], *extents], [1]
        for size in filters[:0:-1]:
            steps.append(steps[-1] * size)
        # From the last dimension to the first; the extents stay as they are.
        steps = [*steps[: -len(axes)], *steps[: -len(axes) - 1 : -1]]
        if self.is_alone:
            sizes[1:1], steps[1:1] = (1, 1), (1, 1)
        self._any, self._plain = library.layout(sizes), library.layout(sizes, steps)
        # The order of filters: what the first block likes, and all others take.
        self._order: Layout | None = None

    def _described(
        self, given: Layout, result: Layout, moves: tuple[Any, ...]
    ) -> Description | None:
        def describe(kind: str, *arguments: Any) -> Description | None:
            return self.library.describe(f"convolution_{kind}", *arguments)

        filters = self._order or self._any
        if self._kind == "forward":
            arguments = _TRAINING, _DIRECT, given, filters, None, result, *moves
            found = describe("forward", *arguments)
            if found is None or not self._sums:
                return found
            then = [(_ADD, layout) for layout in self._added(result)]
            more = self.library.describe("convolution_forward", *arguments, then=then)
            # Another way to compute it might have other bits.
            return None if more is None or more.name != found.name else more
        # Gradients are described by what they are the gradients of.
        hint = describe("forward", _TRAINING, _DIRECT, given, self._any, None, result, *moves)
        if hint is None:
            return None
        if self._kind == "backward_data":
            return describe("backward_data", _DIRECT, given, filters, result, *moves, hint)
        return describe("backward_weights", _DIRECT, given, filters, None, result, *moves, hint)

    def _added(self, result: Layout) -> list[Layout]:
        """How what is added to a result lies."""
        depth, ones = self._out_depth, (1,) * self._dimensions
        vector = self.library.layout((1, depth, *ones), (depth, 1, *(depth for _ in ones)))
        return [result if is_whole else vector for is_whole in self._sums]

    def compute(self, shape: tuple[int, ...], axes: Sequence[Axis]) -> Primitive | None:
        """What computes a block of this shape."""
        moves = geometry(self.library, axes)
        if moves is None:
            return None
        given = self.library.channels_last(shape)
        result = self.library.channels_last((shape[0], *(a.steps for a in axes), self._out_depth))
        found = self._described(given, result, moves.of_convolution)
        if found is None or (self.is_alone and _ALONE not in found.name):
            return None
        is_last = self._kind == "backward_weights"
        if self._order is None:
            self._order = found.layout(_TO_FILTERS_LAYOUT if is_last else _FILTERS_LAYOUT)
        arguments = {
            "forward": {_SOURCE: given, _FILTERS: self._order, _RESULT: result},
            "backward_data": {_OF_RESULT: result, _FILTERS: self._order, _TO_SOURCE: given},
            "backward_weights": {_SOURCE: given, _OF_RESULT: result, _TO_FILTERS: self._order},
        }[self._kind]
        for place, layout in enumerate(self._added(result), 1):
            arguments[_LATER * place | _SECOND] = layout
        return Primitive(self.library, found, arguments)

    def planned(self, found: list[_Block]) -> _Plan:
        """The plan of these blocks."""
        assert self._order is not None
        orders = self._plain, self._order
        if self._kind == "backward_weights":
            orders = self._order, self._plain
        return _Plan(found, self.library.reorder(*orders), self._order.nbytes // 4)


@lru_cache(maxsize=256)
def _plan(
    kind: str,
    library: Library,
    shape: tuple[int, ...],
    filters: tuple[int, ...],
    axes: tuple[Axis, ...],
    sums: tuple[bool, ...] = (),
    least: int = 0,
) -> _Plan | None:
    """The plan for images of this shape; None where the library is not made for it.

    What is added to a block before it is written, `sums` say: a vector, or, if true, an array of
    the shape of the result. A block has so many multiplications at `least`.
    """
    problem = _Problem(kind, library, filters, axes, sums)
    first, *others = axes
    row = math.prod((*filters, *(axis.steps for axis in others)))
    most = min(max(shape[0] * first.steps * row // _BLOCKS, least or _LEAST_BLOCK), _BLOCK)
    if problem.is_alone:
        most = _ALONE_BLOCK
    if kind == "forward":
        parts = blocks(shape[0], first.steps, row, most)
    else:  # of whole images
        whole = slice(0, first.steps)
        parts = ((images, whole) for images, _ in blocks(shape[0], 1, first.steps * row, most))
    known: dict[Any, Primitive | None] = {}
    found = []
    for images, rows in parts:
        taken = touched(first, rows)
        near = (part_axis(first, rows, taken), *others)
        key = (images.stop - images.start, taken.stop - taken.start, *shape[2:]), near
        if key not in known:
            known[key] = problem.compute(*key)
        compute = known[key]
        if compute is None:
            return None
        found.append(_Block((images, taken), (images, rows), compute))
    return problem.planned(found)


def _order(plan: _Plan, weights: Any, kept: Kept, take: Callable[..., Any]) -> Any:
    """Filters in the order that the library likes; `take` gives memory if they are not kept."""
    last, filters = (kept or {}).get("library", (None, None))
    if last is not plan:
        filters = (take if kept is None else np.empty)((plan.filter_elements,), np.float32)
        plan.reorder(weights, filters)
        if kept is not None:
            kept["library"] = plan, filters
    return filters


def _run(
    xp: Any,
    plan: _Plan,
    weights: Any,
    compute: Callable[[_Block, Any], object],
    kept: Kept = None,
) -> None:
    """Call `compute` for all blocks, with the filters in the order that the library likes."""

    def of_blocks(start: int, stop: int) -> None:
        for block in plan.blocks[start:stop]:
            compute(block, filters)

    with Workspace(xp) as take:
        filters = _order(plan, weights, kept, take)
        run_blocks(xp, len(plan.blocks), 1, of_blocks)


def correlate(
    xp: Any,
    x: Any,
    weights: Any,
    axes: Sequence[Axis],
    out: Any,
    kept: Kept = None,
    done: Done = None,
) -> bool:
    """The sums over each window of `x` times the filters."""
    library = dnn_library(xp, x, weights, out)
    plan = library and _plan("forward", library, x.shape, weights.shape, tuple(axes))
    if not plan:
        return False

    def compute(block: _Block, filters: Any) -> None:
        block.compute(x[block.taken], filters, out[block.given])
        if done is not None:
            done(block.given)

    _run(xp, plan, weights, compute, kept)
    return True


class Pieces:
    """See `conv_windows.Pieces`."""

    def __init__(self, plan: _Plan, shape: tuple[int, ...], added: int) -> None:
        self._plan = plan
        self.shape, self.added = shape, added
        self.parts = [(block.taken, block.given) for block in plan.blocks]

    def filters(self, weights: Any, kept: Kept) -> Any:
        """What the pieces take for these filters."""
        return _order(self._plan, weights, kept, np.empty)

    def begin(self, filters: Any, x: Any, out: Any, added: Sequence[Any]) -> Callable[[int], bool]:
        """What writes a piece, with what is added to it."""
        blocks = self._plan.blocks

        def write(number: int) -> bool:
            taken, given, compute = blocks[number]
            more = [value if value.ndim == 1 else value[given] for value in added]
            compute.run(x[taken], filters, out[given], *more)
            return True

        return write


def pieces(
    shape: tuple[int, ...], weights: Any, axes: Sequence[Axis], sums: Sequence[bool]
) -> Pieces | None:
    """The pieces of a convolution of images of a shape, to which as much as can be is added."""
    library = dnn_library(np, weights)
    if library is None:
        return None
    key = "forward", library, shape, weights.shape, tuple(axes)
    for count in dict.fromkeys((len(sums), 0)):
        plan = _plan(*key, tuple(sums[:count]), _LEAST_PIECE)
        if plan is not None:
            result = shape[0], *(axis.steps for axis in axes), weights.shape[-1]
            return Pieces(plan, result, count)
    return None


def suits(xp: Any, x: Any, weights: Any, axes: Sequence[Axis], out: Any) -> bool:
    """Whether the library would convolve these."""
    library = dnn_library(xp, x, weights, out)
    return bool(library and _plan("forward", library, x.shape, weights.shape, tuple(axes)))


def input_gradient(xp: Any, weights: Any, grad: Any, axes: Sequence[Axis], out: Any) -> bool:
    """The gradient for the input."""
    library = dnn_library(xp, weights, grad, out)
    plan = library and _plan("backward_data", library, out.shape, weights.shape, tuple(axes))
    if not plan:
        return False

    def compute(block: _Block, filters: Any) -> None:
        block.compute(grad[block.given], filters, out[block.taken])

    _run(xp, plan, weights, compute)
    return True


def filter_gradient(xp: Any, x: Any, grad: Any, axes: Sequence[Axis], out: Any) -> bool:
    """The gradient for the filters."""
    library = dnn_library(xp, x, grad, out)
    plan = library and _plan("backward_weights", library, x.shape, out.shape, tuple(axes))
    if not plan:
        return False

    def compute(block: _Block, sums: Any) -> None:
        images = block.given[0]
        block.compute(x[images], grad[images], sums)

    with Workspace(xp) as take:
        shape = (plan.filter_elements,)
        sums = summed_blocks(xp, plan.blocks, shape, x.dtype, take, compute)
        plan.reorder(sums.sum(axis=0), out)
    return True
