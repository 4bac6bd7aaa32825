"""Sums of rows by number, and products with sparse matrices: with SciPy and without it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.devices import sparse
from tfsession.kernels import segment_sums as kernels
from tfsession.kernels.segment_sums import (
    SparseRows,
    add_rows,
    combine_rows,
    distinct_of,
    put_rows,
    row_sums,
)

DTYPES = ["float32", "float64", "complex64", "complex128", "int8", "uint8", "int32", "int64"]


@pytest.fixture(params=["SciPy", "SciPy's arrays", "NumPy"])
def library(request, monkeypatch):
    """Sums as of large arrays, by SciPy or as where it is not installed."""
    monkeypatch.setattr(kernels, "_LEAST", 0)
    if request.param == "SciPy's arrays":
        monkeypatch.setattr(sparse, "_loops", lambda: None)
    if request.param == "NumPy":
        monkeypatch.setattr(kernels, "sparse_matrices", lambda xp: None)
    return request.param


def numbers(rng, dtype, *shape):
    values = rng.integers(-5, 5, shape)
    return (values + 0.25j * values if dtype.startswith("complex") else values).astype(dtype)


def in_order(ids, rows, count):
    result = np.zeros((count, *rows.shape[1:]), rows.dtype)
    for number, row in zip(ids, rows, strict=True):
        result[number, ...] += row
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1,), (0,)])
def test_sums(library, dtype, shape):
    rng = np.random.default_rng(1)
    ids, rows = rng.integers(0, 7, 40).astype(np.int32), numbers(rng, dtype, 40, *shape)
    found = row_sums(np, ids, rows, 9)
    assert (found.dtype, found.shape) == (rows.dtype, (9, *shape))
    assert found.tolist() == in_order(ids, rows, 9).tolist()


def test_sums_have_the_bits_of_sums_in_order(library):
    rng = np.random.default_rng(2)
    ids, rows = rng.integers(0, 5, 900), rng.normal(size=(900, 4)).astype(np.float32)
    assert row_sums(np, ids, rows, 5).tobytes() == in_order(ids, rows, 5).tobytes()


@pytest.mark.parametrize("ufunc", ["add", "subtract"])
@pytest.mark.parametrize("ids", [[2, 2, 0, 2], [3, 0, 1, 2], [1, 1, 1, 1], []])
def test_rows_in_place(library, ids, ufunc):
    start = np.arange(12, dtype=np.float64).reshape(4, 3)
    rows = np.arange(3.0 * len(ids)).reshape(len(ids), 3) + 1
    result = start.copy()
    add_rows(np, result, np.array(ids, np.int64), rows, ufunc)
    sign = 1 if ufunc == "add" else -1
    assert result.tolist() == (start + sign * in_order(ids, rows, 4)).tolist()


@pytest.mark.parametrize("ufunc", ["add", "subtract", "multiply", "divide", "maximum", "minimum"])
@pytest.mark.parametrize("counts", [[], [3], [0, 1, 5, 2, 0, 7], [40, 1, 33, 32, 0, 2]])
@pytest.mark.parametrize("width", [1, 20])
def test_wide_rows_are_combined_in_their_order(monkeypatch, ufunc, counts, width):
    rng = np.random.default_rng(3)
    ids = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    rows = rng.normal(size=(len(ids), width)).astype(np.float32)
    start = rng.normal(size=(len(counts) + 1, width)).astype(np.float32)
    rows.reshape(-1)[::17] = np.nan
    wanted = start.copy()
    for number, row in zip(ids, rows, strict=True):
        wanted[number] = getattr(np, ufunc)(wanted[number], row)
    for least in (0, 1 << 20):
        monkeypatch.setattr(kernels, "_LEAST", least)
        found = start.copy()
        with np.errstate(invalid="ignore"):  # as in a step
            combine_rows(np, ufunc, found, ids, rows)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("bad", [-5, 4, 1 << 40])
def test_a_number_out_of_range(library, bad):
    ids, rows = np.array([0, bad]), np.ones((2, 3))
    with pytest.raises(IndexError):
        row_sums(np, ids, rows, 4)
    result = np.zeros((4, 3))
    with pytest.raises(IndexError):
        add_rows(np, result, ids, rows)
    with pytest.raises(IndexError):
        combine_rows(np, "maximum", np.zeros((4, 20)), ids, np.ones((2, 20)))


@given(st.lists(st.integers(0, 6)))
def test_distinct_numbers(ids):
    ids = np.array(ids, np.int64)
    distinct, which = distinct_of(np, ids, 7)
    assert sorted(distinct.tolist()) == sorted(set(ids.tolist()))
    assert (distinct if which is None else distinct[which]).tolist() == ids.tolist()


@pytest.mark.parametrize("order", ["by row", "by column", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int32"])
@pytest.mark.parametrize("index_type", ["int32", "int64"])
def test_products(library, monkeypatch, order, dtype, index_type):
    rng = np.random.default_rng(3)
    rows, columns = rng.integers(0, 40, 500) ** 2 // 40, rng.integers(0, 30, 500)
    keys = {"by row": rows, "by column": columns, "none": rng.random(500)}[order]
    rows, columns = (side[np.argsort(keys)].astype(index_type) for side in (rows, columns))
    values, dense = numbers(rng, dtype, 500), numbers(rng, dtype, 30, 6)
    wanted = in_order(rows, values[:, None] * dense[columns], 41)
    for block in (1, 100, 1 << 20):
        monkeypatch.setattr(kernels, "_BLOCK", block)
        monkeypatch.setattr(kernels, "_BLOCK_PRODUCTS", block)
        for is_kept in (False, True):
            matrix = SparseRows(np, rows, columns, 41, is_kept=is_kept)
            for _ in range(2):
                found = matrix.times(values, dense)
                assert found.dtype == dense.dtype
                assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("width", [1, 5])
def test_products_have_the_same_bits_once_and_often(monkeypatch, width):
    rng = np.random.default_rng(5)
    rows, columns = rng.integers(0, 9, (2, 300)).astype(np.int32)
    columns.sort()
    values = rng.normal(size=300).astype(np.float32)
    dense = rng.normal(size=(9, width)).astype(np.float32)
    monkeypatch.setattr(kernels, "_LEAST", 0)
    once, often = (SparseRows(np, rows, columns, 9, is_kept=kept) for kept in (False, True))
    assert once.times(values, dense).tobytes() == often.times(values, dense).tobytes()


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(0, 50), st.integers(0, 4), st.integers(1, 9))
def test_products_are_those_of_dense_matrices(seed, count, width, size):
    rng = np.random.default_rng(seed)
    rows, columns = (rng.integers(0, size, count).astype(np.int32) for _ in range(2))
    values, dense = rng.normal(size=count), rng.normal(size=(size, width))
    matrix = np.zeros((size, size))
    np.add.at(matrix, (rows, columns), values)
    for least in (0, 1 << 14):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "_LEAST", least)
            found = SparseRows(np, rows, columns, size).times(values, dense)
        np.testing.assert_allclose(found, matrix @ dense, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2])
def test_parts_of_products_have_the_bits_of_scipys_arrays(monkeypatch, width):
    rng = np.random.default_rng(4)
    rows, columns = np.sort(rng.integers(0, 40, 500)), rng.integers(0, 30, 500)
    rows, columns = rows.astype(np.int32), columns.astype(np.int32)
    values = rng.normal(size=500).astype(np.float32)
    dense = rng.normal(size=(30, width)).astype(np.float32)
    monkeypatch.setattr(kernels, "_LEAST", 0)
    monkeypatch.setattr(kernels, "_BLOCK_PRODUCTS", 1000)
    found = SparseRows(np, rows, columns, 40).times(values, dense)
    parts = values, columns, np.searchsorted(rows, np.arange(41))
    matrix = sparse.sparse_matrices(np).csr_array(parts, shape=(40, 30))
    assert found.tobytes() == (matrix @ dense).tobytes()


def test_scipy_is_not_needed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.sparse", None)
    assert sparse._scipy.__wrapped__() is None
    monkeypatch.setitem(__import__("sys").modules, "scipy.sparse._sparsetools", None)
    assert sparse._loops.__wrapped__() is None


ROWS_PUT = {
    "rows": lambda rng, n: (rng.normal(size=(50, 7)).astype("f"), rng.normal(size=(n, 7))),
    "cubes": lambda rng, n: (rng.normal(size=(50, 3, 2)), rng.normal(size=(n, 3, 2))),
    "numbers": lambda rng, n: (rng.normal(size=50), rng.normal(size=n)),
    "one row for all": lambda rng, n: (rng.normal(size=(50, 4)), rng.normal(size=4)),
    "every other column": lambda rng, n: (
        rng.normal(size=(50, 8))[:, ::2],
        rng.normal(size=(n, 4)),
    ),
    "of another type": lambda rng, n: (rng.normal(size=(50, 4)), rng.integers(9, size=(n, 4))),
    "texts": lambda rng, n: (np.full((50, 2), b"", object), np.full((n, 2), b"a", object)),
    "no columns": lambda rng, n: (np.zeros((50, 0)), np.zeros((n, 0))),
}


@pytest.mark.parametrize("count", [0, 3, 600])
@pytest.mark.parametrize("name", ROWS_PUT)
def test_put_rows_is_assignment(name, count):
    rng = np.random.default_rng(0)
    array, rows = ROWS_PUT[name](rng, count)
    rows = rows.astype(array.dtype) if name == "rows" else rows
    places = rng.integers(-50, 50, count).astype(np.int32)
    wanted = array.copy()
    wanted[places] = rows
    put_rows(np, array, places, rows)
    np.testing.assert_array_equal(array, wanted)


def test_put_rows_of_the_array_itself():
    array = np.arange(4000.0).reshape(1000, 4)
    wanted, places = array.copy(), np.arange(1, 1000)
    wanted[places] = wanted[:-1].copy()
    put_rows(np, array, places, array[:-1])
    np.testing.assert_array_equal(array, wanted)


def test_put_rows_refuses_a_place_out_of_range():
    with pytest.raises(IndexError):
        put_rows(np, np.zeros((4, 2)), np.full(600, 4), np.zeros((600, 2)))
