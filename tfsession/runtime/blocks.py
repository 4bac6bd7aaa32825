"""Element-wise operations and reductions computed together, in blocks that stay in the cache.

Large arrays go through memory once for all operations of a group, not once for each, and on all
cores. How arrays are cut follows from their shapes alone, so results depend on nothing else; each
element, and each sum, is computed by the same calls in the same order as without blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any, NamedTuple

import numpy as np

from tfsession.devices.memory import HostLedger, on_behalf_of
from tfsession.devices.native import is_there
from tfsession.devices.spares import Spares
from tfsession.devices.threads import block_rows, run_blocks
from tfsession.runtime.block_code import BlockWriter
from tfsession.runtime.block_sums import Rows, joined_pairs, pairwise_bounds
from tfsession.runtime.control import stop_closed

Function = Callable[..., Any]
Sizes = tuple[int, ...]

# Bytes and least elements of a block: threads hand the interpreter to each other between any two
# calls, and to be woken takes tens of microseconds: calls should take as long.
_BLOCK_BYTES, _LEAST = 4 << 20, 128 << 10
# Fewer columns are not summed in blocks: that is as slow as it is without them.
_WIDE = 32
# A thread keeps so much for each array; rows may be longer.
_MOST_SCRATCH = 4 << 20
# A group remembers how so many sets of shapes are cut.
_MOST_CUTS = 16
# A cut that runs so often is worth being compiled.
_OFTEN = 3


@dataclass(slots=True, frozen=True, eq=False)
class Reduction:
    """How a step reduces the value that it takes.

    `axes` are those of the value, also counted from its last on. The result is
    `finish(total, count)` of the total that `ufunc` makes of pieces, if it is not that; without a
    ufunc only rows are reduced in blocks, by the function, which takes value and axes.
    """

    axes: Any
    keeps: bool = False
    ufunc: np.ufunc | None = None
    finish: Function | None = None

    def axes_of(self, ndim: int) -> Sizes:
        """The axes of a value of so many, in order."""
        given = self.axes.ravel().tolist()
        axes = sorted([axis % ndim if -ndim <= axis < ndim else ndim for axis in given])
        if len({*axes, ndim}) <= len(axes):
            raise Unfit
        return tuple(axes)


@dataclass(slots=True, frozen=True, eq=False)
class Step:
    """One operation, of this name and type: `function` of the values of these numbers.

    `kind` is what a kernel says of itself as `elementwise`; `takes_out` whether it writes into an
    array that it is given. `bind` gives the function over another array module.
    """

    owner: tuple[str, str]
    function: Function
    arguments: Sizes
    kind: str
    takes_out: bool
    reduction: Reduction | None = None
    bind: Callable[[Any], Function] | None = None


class Repeated(NamedTuple):
    """The shape of an array, and that of the part of it which is in memory once."""

    shape: Sizes
    own: Sizes


def _shape_of(value: Any) -> Sizes | Repeated:
    shape: Sizes = value.shape
    own = tuple([n if step else 1 for n, step in zip(shape, value.strides, strict=True)])
    return shape if own == shape else Repeated(shape, own)


class Unfit(Exception):
    """These shapes are not computed in blocks."""


class Blocks:
    """A group of steps. Called with the values, it gives the results, or None where it cannot.

    Values are numbered: what is given, then what each step gives.

    Args:
        steps: in an order in which they can run.
        dtypes: of all values by number.
        results: the numbers of the results.
        fetched: those of them that belong to the program then.
        hollow: those of them of which only the shape is looked at.
        closing: holds something once the session is closed.
        spares: gives arrays for what the program does not get.
        ledger: what the results are charged to, if their device has a limit.
        least: elements of a value from which on blocks are worth it; smaller ones are computed
            here where one compiled function gives all results.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        dtypes: Sequence[np.dtype[Any]],
        results: Sequence[int],
        *,
        fetched: Container[int],
        hollow: Container[int],
        closing: Sequence[object],
        spares: Spares,
        ledger: HostLedger | None = None,
        least: int = 0,
    ) -> None:
        self.steps = steps
        self.least = least
        self.dtypes = dtypes
        self.results = results
        self.fetched = fetched
        self.hollow = hollow
        self.ledger = ledger
        self.closing = closing
        self.spares = spares
        self.given = len(dtypes) - len(steps)
        self.cuts: dict[tuple[Sizes | Repeated, ...], Cut | None] = {}

    def __call__(self, *values: Any) -> Any:
        """The results for these values: one, or a tuple; None where they do not fit.

        An error is none here: operations one after another find it again, and tell whose it is.
        """
        shapes = tuple([v.shape if v.flags.c_contiguous else _shape_of(v) for v in values])
        try:
            cut = self.cuts[shapes]
        except KeyError:
            cut = self._cut(shapes)
        if cut is None:
            return None
        try:
            if cut.is_small:
                return cut.run_at_once(values)
            results = cut.run(values)
        except Exception:
            return None
        return results[0] if len(results) == 1 else results

    def _cut(self, shapes: tuple[Sizes | Repeated, ...]) -> Cut | None:
        try:
            cut = Cut(self, shapes)
        except (Unfit, ValueError):
            cut = None
        if len(self.cuts) >= _MOST_CUTS:
            self.cuts.clear()
        self.cuts[shapes] = cut
        return cut


class Cut:
    """A group of steps for values of given shapes: how they are cut, and the code for a block.

    The values of the largest shape are vectors where none is broadcast to them, else matrices:
    some are rows of those, some are columns. Smaller values are computed beforehand.

    Attributes:
        is_small: there are no blocks, but a function for all of it, once it has run often.
        bounds: where blocks begin, and the end of the last.
        scratch_bytes: what each thread needs for values that nobody reads but the block.
    """

    def __init__(self, group: Blocks, shapes: tuple[Sizes | Repeated, ...]) -> None:
        self._group = group
        self._shapes = [s.shape if isinstance(s, Repeated) else s for s in shapes]
        self._own = {n: s.own for n, s in enumerate(shapes) if isinstance(s, Repeated)}
        self._axes: dict[int, Sizes] = {}
        self._find_shapes()
        self._split = self._find_split()
        self._rows = prod(self._full[: self._split])
        self._columns = prod(self._full[self._split :])
        self._is_flat = self._split == len(self._full)
        self._sort_steps()
        self._runs = 0
        self.is_small = max(map(prod, self._shapes[: group.given]), default=0) <= group.least
        self._at_once: Function | None = None
        if self.is_small:
            return
        writer = BlockWriter(self, is_native=False)
        self.bounds = self._find_bounds(writer.row_bytes)
        self._cuts = [row * self._columns for row in self.bounds]
        self._code = self._compiled(writer)
        self.scratch_bytes = sum(size for _, size in self._code.parts)

    def _compiled(self, writer: BlockWriter) -> _Code:
        return _Code(*writer.compile(max(np.diff(self.bounds).tolist())), next(_numbers))

    # --- what fits ------------------------------------------------------------------------------

    def _find_shapes(self) -> None:
        """The shape of each result, and the largest of all."""
        group, shapes = self._group, self._shapes
        for step in group.steps:
            taken = [shapes[number] for number in step.arguments]
            reduction = step.reduction
            if reduction is None:
                shapes.append(np.broadcast_shapes(*taken))
            else:
                axes = reduction.axes_of(len(taken[0]))
                self._axes[len(shapes)] = axes
                shapes.append(_reduced(taken[0], axes, reduction.keeps))
        self._full = max(
            (
                shapes[step.arguments[0] if step.reduction else group.given + index]
                for index, step in enumerate(group.steps)
            ),
            key=prod,
        )
        if not prod(self._full):
            raise Unfit
        self.is_full = [shape == self._full for shape in shapes]

    def _plain(self) -> list[int]:
        return [i for i, step in enumerate(self._group.steps) if step.reduction is None]

    def _find_split(self) -> int:
        """The axis at which all values fall into rows."""
        ndim = len(self._full)
        least, most = 0, ndim
        for index in self._plain():
            if self.is_full[self._group.given + index]:
                self._check(self._group.steps[index])
                for number in self._group.steps[index].arguments:
                    least, most = self._narrow(number, least, most)
        if least > most:
            raise Unfit
        for number, axes in self._axes.items():
            if self.is_full[self.step(number).arguments[0]]:
                for axis in (_rows_axis(axes, ndim), _columns_axis(axes, ndim)):
                    if axis and least <= axis <= most:
                        return axis
        return least or most

    def _check(self, step: Step) -> None:
        """Kernels look at the shapes of blocks: what they refuse is not passed by."""
        shapes = [self._shapes[number] for number in step.arguments]
        full = self._full
        if step.kind == "same" and any(shape not in (full, ()) for shape in shapes):
            raise Unfit
        if step.kind == "bias" and (shapes[0] != full or shapes[1] != full[-1:]):
            raise Unfit

    def _narrow(self, number: int, least: int, most: int) -> tuple[int, int]:
        """Between which axes rows may end, given how this value is broadcast."""
        shape, full = self._own.get(number, self._shapes[number]), self._full
        if prod(shape) == 1 or shape == full:
            return least, most
        padded = (1,) * (len(full) - len(shape)) + shape
        own = [axis for axis, size in enumerate(padded) if size != 1]
        spread = [a for a, (size, all_) in enumerate(zip(padded, full, strict=True)) if size < all_]
        if not spread:
            return least, most
        if spread[-1] < own[0]:
            return least, min(most, own[0])
        if own[-1] < spread[0]:
            return max(least, own[-1] + 1), most
        raise Unfit

    # --- how it is cut --------------------------------------------------------------------------

    def _sort_steps(self) -> None:
        """What is computed beforehand, in blocks, and afterwards; numbers of the values."""
        group = self._group
        self.before: list[int] = []
        self.inside: list[int] = []
        self._after: list[int] = []
        for index, step in enumerate(group.steps):
            if step.reduction is not None:
                source = step.arguments[0]
                # What repeats in memory is summed in another order than what does not.
                fits = self.is_full[source] and source not in self._own
                fits = fits and self._reduces_inside(group.given + index)
                where = self.inside if fits else self._after
            else:
                where = self.inside if self.is_full[group.given + index] else self.before
            where.append(group.given + index)
        read_after = {group.steps[n - group.given].arguments[0] for n in self._after}
        kept = {*read_after, *(n for n in group.results if n not in group.hollow)}
        self.written = [n for n in self.inside if n in kept]
        read = {n for number in self.inside for n in self.step(number).arguments}
        taken = [*read.difference(self.inside), *self.written]
        self.taken = {number: self._kind_of(number) for number in sorted(taken)}

    def step(self, number: int) -> Step:
        """The step that gives a value."""
        return self._group.steps[number - self._group.given]

    def is_whole(self, number: int) -> bool:
        """Whether this is a reduction that leaves one element."""
        return number in self._axes and len(self._axes[number]) == len(self._full)

    def is_columns(self, number: int) -> bool:
        """Whether this is a reduction that leaves one row."""
        axes = self._axes.get(number, ())
        return _columns_axis(axes, len(self._full)) == self._split > 0

    def _reduces_inside(self, number: int) -> bool:
        axes, reduction = self._axes[number], self.step(number).reduction
        assert reduction is not None
        if self.is_columns(number):
            return reduction.ufunc is not None and self._columns >= _WIDE
        if not self.is_whole(number):
            return _rows_axis(axes, len(self._full)) == self._split > 0
        return reduction.ufunc is not None and (
            self._is_flat or self._is_orderless(number) or self._is_cut_between_rows(number)
        )

    def _is_cut_between_rows(self, number: int) -> bool:
        """Whether NumPy cuts the elements for its pairwise sum where rows end, as far as we do."""
        columns = self._columns
        bounds = pairwise_bounds(self._rows * columns, max(_LEAST, columns), self._unit(number))
        return all(bound % columns == 0 for bound in bounds)

    def _unit(self, number: int) -> int:
        """How many numbers an element of a value is."""
        return 2 if self._group.dtypes[number].kind == "c" else 1

    def _is_orderless(self, number: int) -> bool:
        """Whether the pieces of a reduction may be cut anywhere."""
        step = self.step(number)
        reduction = step.reduction
        assert reduction is not None
        kind = self._group.dtypes[step.arguments[0]].kind
        return reduction.ufunc is not np.add or kind in "iu"

    def _find_bounds(self, row_bytes: int) -> list[int]:
        rows = max(block_rows(row_bytes, _BLOCK_BYTES), -(-_LEAST // self._columns))
        for number in self.inside:
            if self.is_whole(number) and not self._is_orderless(number):
                elements, most = self._rows * self._columns, rows * self._columns
                bounds = pairwise_bounds(elements, most, self._unit(number))
                return [bound // self._columns for bound in bounds]
        blocks = -(-self._rows // rows)
        rows = -(-self._rows // blocks)
        bounds = [*range(0, self._rows, rows)]
        # A product of complex numbers that is written over its first factor is a reduction to NumPy
        # if it is of one number, and rounded otherwise.
        if len(bounds) > 1 and (self._rows - bounds[-1]) * self._columns == 1:
            bounds.pop()
        return [*bounds, self._rows]

    # --- running --------------------------------------------------------------------------------

    def run(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for values of these shapes."""
        group, bounds = self._group, self.bounds
        found: dict[int, Any] = dict(enumerate(values))
        for number in self.before:
            found[number] = self._call(number, *[found[n] for n in self.step(number).arguments])
        pieces: dict[int, Any] = {}
        rows: dict[int, Rows] = {}
        for number in self.written:
            if self.is_columns(number):
                rows[number] = found[number] = Rows(self._ufunc(number))
            elif self.is_whole(number):
                found[number] = pieces[number] = np.empty(len(bounds) - 1, group.dtypes[number])
            else:
                found[number] = self._empty(number)
        arrays = [self._laid_out(kind, found[number]) for number, kind in self.taken.items()]
        self._runs += 1
        if self._runs == _OFTEN and is_there():
            self._code = self._compiled(BlockWriter(self, is_native=True))
        code, closing = self._code, group.closing
        block = code.block

        def task(start: int, stop: int) -> None:
            scratch = self._own_scratch(code)
            for index in range(start, stop):
                if closing:
                    stop_closed()
                block(index, bounds[index], bounds[index + 1], *arrays, *scratch)

        run_blocks(np, len(bounds) - 1, 1, task)
        for number, piece in pieces.items():
            found[number] = self._finished(number, self._joined(number, piece), prod(self._full))
        for number, row in rows.items():
            found[number] = self._finished(number, row.total(), self._rows)
        for number in self._after:
            step = self.step(number)
            assert step.reduction is not None
            found[number] = self._call(number, found[step.arguments[0]], step.reduction.axes)
        return tuple([found[n] if n in found else self._hollow(n) for n in group.results])

    def run_at_once(self, values: Sequence[Any]) -> Any:
        """One result, or a tuple of them; None where operations are to run one after another."""
        if self._at_once is not None:
            return self._at_once(*values)
        self._runs += 1
        if self._runs == _OFTEN:
            self._at_once = self._whole()
        return None

    def _whole(self) -> Function | None:
        """The one function of all that is given which gives all results, if there is one."""
        group = self._group
        if group.ledger is not None or self._axes or self.before or group.hollow:
            return None
        found: Function | None = BlockWriter(self, is_native=False).whole()
        return found

    def _call(self, number: int, *arguments: Any) -> Any:
        """The result of a step that is not computed in blocks."""
        step, ledger = self.step(number), self._group.ledger
        result = step.function(*arguments)
        if ledger is not None:
            with on_behalf_of(*step.owner):
                ledger.take_array(result, arguments)
        return result

    def _empty(self, number: int) -> Any:
        """An array for the result of a step."""
        group, shape, dtype = self._group, self._shapes[number], self._group.dtypes[number]
        if group.ledger is None:
            make = np.empty if number in group.fetched else group.spares.empty
            return make(shape, dtype)
        with on_behalf_of(*self.step(number).owner):
            group.ledger.require(prod(shape) * dtype.itemsize, shape, dtype)
            array = np.empty(shape, dtype)
            group.ledger.take_array(array)
        return array

    def _hollow(self, number: int) -> Any:
        """What has the shape of a result, and no memory for its elements."""
        return np.broadcast_to(np.empty((), self._group.dtypes[number]), self._shapes[number])

    def _kind_of(self, number: int) -> str:
        """How a block takes an array: all of it as it is, or what belongs to its rows."""
        shape, full = self._shapes[number], self._full
        if number in self._axes:
            made_at_once = self.is_whole(number) or self.is_columns(number)
            return "pieces" if made_at_once else "reduced"
        if prod(shape) == 1 and prod(full) != 1:
            return "one"
        if prod(shape) == prod(full):
            return "full"
        padded = (1,) * (len(full) - len(shape)) + shape
        return "row" if prod(padded[self._split :]) > 1 else "column"

    def _laid_out(self, kind: str, value: Any) -> Any:
        """A value as a block takes it: a vector or a matrix, one of its rows or columns."""
        if kind == "one":
            return value if value.ndim <= 1 else value.reshape(1)
        if kind == "pieces":
            return value
        if kind == "reduced":
            return value.reshape(-1)
        if kind == "full":
            if not value.flags.c_contiguous:
                return self._laid_out_once(value)
            return value.reshape(-1 if self._is_flat else (self._rows, self._columns))
        if kind == "row":
            tail = self._full[self._split :]
            return np.broadcast_to(value.reshape(value.shape[-len(tail) :]), tail).reshape(-1)
        head = self._full[: self._split]
        return np.broadcast_to(value.reshape(value.shape[: len(head)]), head).reshape(-1, 1)

    def _laid_out_once(self, value: Any) -> Any:
        """As `_laid_out`, for a value of which a row or a column is in memory, or less."""
        once = value[tuple([slice(None if step else 1) for step in value.strides])]
        split, full = self._split, self._full
        head, tail = once.shape[:split], once.shape[split:]
        if once.size == 1:
            part = once.reshape(1)
        elif self._is_flat or once.size == value.size or min(prod(head), prod(tail)) > 1:
            raise Unfit
        elif prod(tail) > 1:
            part = np.broadcast_to(once.reshape(tail), full[split:]).reshape(1, -1)
        else:
            part = np.broadcast_to(once.reshape(head), full[:split]).reshape(-1, 1)
        return np.broadcast_to(part, self._rows if self._is_flat else (self._rows, self._columns))

    def _joined(self, number: int, pieces: Any) -> Any:
        """What all of it is reduced to, from what blocks are."""
        if self._is_orderless(number):
            return self._ufunc(number).reduce(pieces, dtype=pieces.dtype)
        return joined_pairs(list(pieces), self._cuts, self._unit(number))

    def _ufunc(self, number: int) -> np.ufunc:
        reduction = self.step(number).reduction
        assert reduction is not None and reduction.ufunc is not None
        return reduction.ufunc

    def _finished(self, number: int, total: Any, count: int) -> Any:
        """The result of a reduction of so many elements each."""
        reduction, shape = self.step(number).reduction, self._shapes[number]
        assert reduction is not None
        result = total if reduction.finish is None else reduction.finish(total, count)
        return np.asarray(result).reshape(shape) if shape else result

    def _own_scratch(self, code: _Code) -> list[Any]:
        """This thread's arrays for what only blocks read; in memory that all cuts share."""
        if _here.number != code.number:
            columns = () if self._is_flat else (self._columns,)
            _here.arrays = []
            for index, (dtype, size) in enumerate(code.parts):
                memory = _here.memory(index, size)
                _here.arrays.append(memory[:size].view(dtype).reshape(-1, *columns))
            _here.number = code.number
        return _here.arrays


class _Code(NamedTuple):
    """What computes a block, dtype and bytes of its scratch arrays, and a number of its own."""

    block: Function
    parts: list[tuple[np.dtype[Any], int]]
    number: int


class _Scratch(threading.local):
    """Memory that a thread has at hand, and the cut for which it is laid out."""

    def __init__(self) -> None:
        self.number = -1
        self.arrays: list[Any] = []
        self._memories: list[Any] = []

    def memory(self, index: int, size: int) -> Any:
        """Memory number `index`, of so many bytes at least."""
        while len(self._memories) <= index:
            self._memories.append(np.empty(0, np.uint8))
        memory = self._memories[index]
        if memory.nbytes < size:
            memory = np.empty(size, np.uint8)
            if size <= _MOST_SCRATCH:
                self._memories[index] = memory
        return memory


_here = _Scratch()
_numbers = count()


def _reduced(shape: Sizes, axes: Sizes, keeps: bool) -> Sizes:
    if keeps:
        return tuple([1 if axis in axes else size for axis, size in enumerate(shape)])
    return tuple([size for axis, size in enumerate(shape) if axis not in axes])


def _rows_axis(axes: Sizes, ndim: int) -> int:
    """The first of these axes where they are the last of all; else 0."""
    first = ndim - len(axes)
    return first if axes and axes == tuple(range(first, ndim)) else 0


def _columns_axis(axes: Sizes, ndim: int) -> int:
    """The axis behind these where they are the first of all; else 0."""
    return len(axes) if axes == tuple(range(len(axes))) and len(axes) < ndim else 0
