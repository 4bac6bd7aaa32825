"""Sums of rows that belong together, and weighted ones: the products of sparse matrices.

In host memory SciPy's products add large ones up, in one pass and in the order of the rows, where
it is installed; NumPy adds them element by element.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsession.devices.sparse import multiply_rows, sparse_matrices
from tfsession.devices.threads import blas_threads_for, even_rows, run_blocks

# Elements below which SciPy's preparations take longer than the sums.
_LEAST = 1 << 14
# Products of numbers in a block of SciPy's, 150 microseconds, and how many of them the elements of
# the sparse matrix cost beside their own.
_BLOCK_PRODUCTS = 1 << 20
_ELEMENT_PRODUCTS = 16
# So many numbers are counted in the time in which one is searched.
_SEARCHED = 20
# Numbers of a row that is combined with others as one, and how often one number may come for that.
_WIDE, _MOST_TURNS = 16, 32
# Rows from which on it pays to prepare that they are written.
_MANY_ROWS = 512
# How many gathered numbers are multiplied at once: they stay in the cache.
_BLOCK = 1 << 15
# And where no cache matters.
_UNSEEN = 1 << 26
_SUMMED = frozenset("fdFDbBhHiIlLqQ")
# Numbers that SciPy counts in.
_MOST = (1 << 31) - 1


def row_sums(xp: Any, ids: Any, rows: Any, count: int) -> Any:
    """`result[i]` is the sum of all `rows[k]` with `ids[k] == i`, in order; zeros without any.

    Args:
        xp: the module of the arrays.
        ids: a vector of numbers in `[0, count)`.
        rows: as many rows, along the first dimension.
        count: how many sums there are.

    Raises:
        IndexError: a number is out of range.
    """
    shape = (count, *rows.shape[1:])
    matrices = _matrices(xp, rows, max(ids.size, count))
    if matrices is None:
        result = xp.zeros(shape, rows.dtype)
        combine_rows(xp, "add", result, ids, rows)
        return result
    _check_range(ids, count)
    each = xp.arange(ids.size + 1, dtype=xp.int32)
    ones = xp.ones(ids.size, rows.dtype)
    chosen = matrices.csc_array((ones, ids.astype(xp.int32), each), shape=(count, ids.size))
    return (chosen @ rows.reshape(ids.size, -1)).reshape(shape)


def add_rows(xp: Any, result: Any, ids: Any, rows: Any, ufunc: str = "add") -> None:
    """Add `rows[k]` to `result[ids[k]]` in place, or subtract it; `result` is contiguous.

    Raises:
        IndexError: a number is out of range.
    """
    if rows.size < _LEAST:
        combine_rows(xp, ufunc, result, ids, rows)
        return
    _check_range(ids, len(result))
    distinct, numbers = distinct_of(xp, ids, len(result))
    sums = rows if numbers is None else row_sums(xp, numbers, rows, distinct.size)
    put_rows(xp, result, distinct, getattr(xp, ufunc)(xp.take(result, distinct, 0), sums))


def combine_rows(xp: Any, ufunc: str, result: Any, ids: Any, rows: Any) -> None:
    """Combine `result[ids[k]]` with `rows[k]` in place, in order; `result` is contiguous.

    Wide rows by turns: the first ones of all numbers, the second ones, and so on. All others
    element by element in one dimension: there NumPy has a fast loop.
    """
    function, width = getattr(xp, ufunc), math.prod(result.shape[1:])
    if xp is np and width >= _WIDE and rows.size > _LEAST:
        _check_range(ids, len(result))
        left = _combine_by_turns(function, result, ids, rows)
        ids, rows = ids.take(left), rows.take(left, 0)
    places = ids.astype(xp.int64)
    if width != 1:
        places = (places[:, None] * width + xp.arange(width)).reshape(-1)
    function.at(result.reshape(-1), places, rows.reshape(-1))


def put_rows(xp: Any, array: Any, places: Any, rows: Any) -> None:
    """Write `rows[k]` over `array[places[k]]`; of those with one place the last one stays.

    Raises:
        IndexError: a place is out of range.
    """
    is_plain = (
        xp is np
        and places.size >= _MANY_ROWS
        and array.flags.c_contiguous
        and rows.flags.c_contiguous
        and rows.shape == (places.size, *array.shape[1:])
        and rows.dtype == array.dtype
        and not array.dtype.hasobject
        and rows.size > places.size  # of one number each there is nothing to gain
    )
    if not is_plain:
        array[places] = rows
        return
    # A row is copied as one number of so many bytes, in half the time.
    whole = np.dtype((np.void, rows.nbytes // places.size))
    lines, written = (part.reshape(len(part), -1).view(whole) for part in (array, rows))
    lines.reshape(-1).put(places, written)


def without_strays(
    xp: Any, ufunc: str | None, array: Any, places: Any, rows: Any
) -> tuple[Any, Any]:
    """Places and rows as they are, but for places out of range: what stands there changes nothing.

    The host does not look at them. `ufunc` is that by which the rows are combined with those of
    `array`; None where they take their place.
    """
    if not places.size or not array.size:
        return places[:0], rows[:0]
    valid = (places >= 0) & (places < len(array))
    if ufunc in ("minimum", "maximum"):
        place, row = 0, array[:1]
    elif ufunc is not None:
        place, row = 0, xp.zeros((), rows.dtype)
    else:
        # The same update as that of the first place in range, or row 0 once more.
        first = valid.argmax().reshape(1)
        there = xp.take(valid, first, 0)
        place = xp.where(there, xp.take(places, first, 0), 0)
        mask = there.reshape(-1, *[1] * (rows.ndim - 1))
        row = xp.where(mask, xp.take(rows, first, 0), array[:1])
    mask = valid.reshape(-1, *[1] * (rows.ndim - 1))
    return xp.where(valid, places, place), xp.where(mask, rows, row)


def _combine_by_turns(function: Any, result: Any, ids: Any, rows: Any) -> Any:
    """Combine the rows of numbers that do not come often; gives the positions of the others."""
    order = _order(np, ids, len(result))
    ranked = ids.take(order)
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, ids.size)
    lengths = np.diff(ends, prepend=0)
    by_length = np.argsort(-lengths, kind="stable")
    descending = lengths.take(by_length)
    often = int(np.count_nonzero(descending > _MOST_TURNS))
    by_length, descending = by_length[often:], descending[often:]
    starts = (ends - lengths).take(by_length)
    distinct = ranked.take(starts)
    combined = result.take(distinct, 0)
    # How many numbers have a first row, a second one, and so on.
    most = int(descending[0]) if descending.size else 0
    turns = np.searchsorted(-descending, -np.arange(most))
    for turn, count in enumerate(turns.tolist()):
        part = combined[:count]
        function(part, rows.take(order.take(starts[:count] + turn), 0), out=part)
    put_rows(np, result, distinct, combined)
    return order[np.repeat(lengths > _MOST_TURNS, lengths)]


def distinct_of(xp: Any, ids: Any, count: int) -> tuple[Any, Any]:
    """The distinct ones of numbers in `[0, count)`, and which of these each number is.

    Where no number comes twice they are the numbers as they are, and None.
    """
    places = xp.arange(ids.size)
    # Whoever writes last to a place that others write to, too, stands for all of them there.
    last = xp.empty(count, places.dtype)
    last[ids] = places
    stands = last[ids] == places
    if stands.all():
        return ids, None
    distinct = ids[stands]
    last[distinct] = places[: distinct.size]
    return distinct, last[ids]


def rounds_of(xp: Any, indices: Any, size: int) -> Iterator[Any]:
    """Positions in `indices` in groups, none with an index twice; equal ones in their order."""
    if distinct_of(xp, indices, size)[1] is None:
        yield slice(None)
        return
    order = xp.argsort(indices, kind="stable")
    ranked = indices[order]
    starts = xp.concatenate([xp.ones(1, bool), ranked[1:] != ranked[:-1]])
    positions = xp.arange(indices.size)
    nth = positions - positions[starts][xp.cumsum(starts) - 1]
    for number in range(int(nth.max()) + 1):
        yield order[nth == number]


def _matrices(xp: Any, rows: Any, count: int) -> Any:
    """SciPy's sparse matrices, where they are worth it to sum these rows."""
    is_large = rows.size >= _LEAST and rows.ndim > 1 and rows.shape[-1] > 1
    if not is_large or rows.dtype.char not in _SUMMED or count >= _MOST:
        return None
    return sparse_matrices(xp)


def _check_range(ids: Any, count: int) -> None:
    """As NumPy does: SciPy would write where it should not."""
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < count:
        raise IndexError(f"an index is out of bounds for {count} rows")


def products_unseen(xp: Any, places: Any, values: Any, dense: Any, count: int) -> Any:
    """The product of a sparse matrix of `count` rows and a dense one, by no look at the places.

    Args:
        xp: the module of the arrays.
        places: a row and a column for each element. Rows out of range are left out; for columns the
            result has what is no number, where its dtype has such a thing.
        values: the elements.
        dense: a matrix that has all columns as rows.
        count: how many rows there are.
    """
    width = dense.shape[1]
    result = xp.zeros((count, width), dense.dtype)
    if not dense.size or not count:
        return result
    step = max(1, _UNSEEN // width)
    nothing = xp.full((), math.nan if dense.dtype.kind in "fc" else 0, dense.dtype)
    for start in range(0, values.size, step):
        here = slice(start, start + step)
        rows, columns = places[here, 0], places[here, 1]
        valid = (columns >= 0) & (columns < len(dense))
        terms = values[here, None] * xp.take(dense, xp.where(valid, columns, 0), 0)
        terms = xp.where(valid[:, None], terms, nothing)
        combine_rows(xp, "add", result, *without_strays(xp, "add", result, rows, terms))
    return result


# --- weighted sums --------------------------------------------------------------------------------


class SparseRows:
    """The elements of a sparse matrix by its rows: looked at once for all products with it.

    Args:
        xp: the module of the arrays.
        rows: the row of each element, in `[0, count)`.
        columns: the column of each.
        count: how many rows there are.
        is_kept: whether there will be more than one product.
    """

    def __init__(
        self, xp: Any, rows: Any, columns: Any, count: int, *, is_kept: bool = False
    ) -> None:
        self._xp, self._rows, self._columns, self._count = xp, rows, columns, count
        self._is_kept = is_kept
        # Where each row starts, the columns by rows, and where their elements are, unless in order.
        self._by_row: tuple[Any, Any, Any] | None = None

    def times(self, values: Any, dense: Any) -> Any:
        """The product: the sums of `values[k] * dense[columns[k]]` over all k of a row, in order.

        Args:
            values: the elements, in the type of `dense`.
            dense: a contiguous matrix that has all columns as rows.
        """
        xp, rows, columns, count = self._xp, self._rows, self._columns, self._count
        if rows.size * dense.shape[1] < _LEAST:
            return row_sums(xp, rows, values[:, None] * dense[columns], count)
        is_narrow = rows.itemsize == columns.itemsize == 4 and dense.dtype.char in _SUMMED
        matrices = sparse_matrices(xp) if is_narrow else None
        if matrices is None:
            with blas_threads_for(0):
                return _sums_of_batches(xp, rows, columns, values, count, dense)
        if self._by_row is None:
            is_sorted = not (rows[1:] < rows[:-1]).any()
            if not is_sorted and not self._is_kept and (columns[1:] >= columns[:-1]).all():
                starts = _starts(xp, columns, len(dense))
                matrix = matrices.csc_array((values, rows, starts), shape=(count, len(dense)))
                return matrix @ dense
            self._by_row = self._in_order(matrices, is_sorted)
        starts, columns, order = self._by_row
        if order is not None:
            values = values.take(order)
        products = columns.size * (dense.shape[1] + _ELEMENT_PRODUCTS)
        step = even_rows(count, products // max(1, count), _BLOCK_PRODUCTS)
        result = xp.empty((count, dense.shape[1]), dense.dtype)

        def multiply(start: int, stop: int) -> None:
            multiply_rows(starts[start : stop + 1], columns, values, dense, result[start:stop])

        run_blocks(xp, count, step, multiply)
        return result

    def _in_order(self, matrices: Any, is_sorted: bool) -> tuple[Any, Any, Any]:
        xp, rows, columns, count = self._xp, self._rows, self._columns, self._count
        if is_sorted:
            return _starts(xp, rows, count), columns, None
        each = xp.arange(rows.size + 1, dtype=xp.int32)
        by_row = matrices.csc_array((each[:-1], rows, each), shape=(count, rows.size)).tocsr()
        return by_row.indptr, columns.take(by_row.indices), by_row.indices


def _starts(xp: Any, numbers: Any, count: int) -> Any:
    """Where each number begins in an ascending vector, and where the last one ends."""
    if numbers.size > _SEARCHED * count:
        starts = xp.searchsorted(numbers, xp.arange(count + 1, dtype=numbers.dtype))
        return starts.astype(xp.int32)
    starts = xp.zeros(count + 1, xp.int32)
    if not numbers.size:
        return starts
    ends = xp.flatnonzero(numbers[1:] != numbers[:-1])
    if ends.size == count - 1:  # all are there
        xp.add(ends, 1, out=starts[1:count], casting="unsafe")
        starts[count] = numbers.size
        return starts
    lengths = xp.append(ends, numbers.size - 1)
    there = numbers.take(lengths)
    lengths[1:] -= ends
    lengths[0] += 1
    starts[1:][there] = lengths
    return xp.cumsum(starts, dtype=xp.int32, out=starts)


def _order(xp: Any, keys: Any, bound: int) -> Any:
    """A stable order of keys in `[0, bound)`; two bytes are enough for many, and sort fast."""
    return xp.argsort(keys.astype(xp.uint16) if bound <= 1 << 16 else keys, kind="stable")


def _sums_of_batches(xp: Any, rows: Any, columns: Any, values: Any, count: int, dense: Any) -> Any:
    """Weighted sums: rows of one length together are a batch of small products, which are fast."""
    width = dense.shape[1]
    result = xp.zeros((count, width), dense.dtype)
    if (rows[1:] < rows[:-1]).any():
        order = _order(xp, rows, count)
        rows, columns, values = rows.take(order), columns.take(order), values.take(order)
    lengths = xp.bincount(rows, minlength=count)
    by_length = _order(xp, lengths, rows.size + 1)
    by_length = by_length[int((lengths == 0).sum()) :]
    lengths_there = lengths.take(by_length)
    ends_there = xp.cumsum(lengths_there)
    # Where each element of the new order lies in the old one.
    marks = xp.zeros(rows.size, xp.int64)
    marks[ends_there[:-1]] = 1
    shifts = (xp.cumsum(lengths) - lengths).take(by_length) - (ends_there - lengths_there)
    elements = shifts.take(xp.cumsum(marks)) + xp.arange(rows.size)
    columns, values = columns.take(elements), values.take(elements)
    sums = xp.empty((by_length.size, 1, width), dense.dtype)
    edges = xp.nonzero(lengths_there[1:] != lengths_there[:-1])[0] + 1
    edges = [0, *edges.tolist(), by_length.size]
    sizes = lengths_there[xp.asarray(edges[:-1])].tolist()
    for block in _blocks(edges, sizes, width):
        first, last = block[0][3], block[-1][3] + block[-1][2] * (block[-1][1] - block[-1][0])
        factors = dense.take(columns[first:last], 0)
        for start, end, length, at in block:
            here = slice(at - first, at - first + (end - start) * length)
            weights = values[at : at + (end - start) * length].reshape(end - start, 1, length)
            terms = factors[here].reshape(end - start, length, width)
            xp.matmul(weights, terms, out=sums[start:end])
    result[by_length] = sums.reshape(by_length.size, width)
    return result


def _blocks(edges: list[int], sizes: list[int], width: int) -> Iterator[list[tuple[int, ...]]]:
    """Runs of rows of one length, (start, end, length, first element), in blocks of some size."""
    block: list[tuple[int, ...]] = []
    filled = at = 0
    for begin, stop, length in zip(edges[:-1], edges[1:], sizes, strict=True):
        step = max(1, _BLOCK // (length * width))
        for start in range(begin, stop, step):
            end = min(stop, start + step)
            elements = (end - start) * length
            if block and filled + elements * width > _BLOCK:
                yield block
                block, filled = [], 0
            block.append((start, end, length, at))
            filled += elements * width
            at += elements
    yield block
