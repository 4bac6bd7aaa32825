"""Products in the way in which BLAS is fast."""

import numpy as np
import pytest

from tfsession.devices import blas
from tfsession.kernels.matmul import multiply


@pytest.mark.parametrize("rows", [1, 2, 7, 32, 33])
@pytest.mark.parametrize(("inner", "columns"), [(1, 5), (96, 256), (600, 40), (256, 1100)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "complex64"])
@pytest.mark.parametrize("is_slow", [True, False])
def test_few_rows_and_a_transposed_matrix(monkeypatch, rows, inner, columns, dtype, is_slow):
    monkeypatch.setattr(blas, "_is_slow_across", lambda: is_slow)
    rng = np.random.default_rng(rows)
    left, right = rng.normal(size=(rows, inner)) * 4, rng.normal(size=(columns, inner)) * 4
    left, right = left.astype(dtype), right.astype(dtype).T
    wanted = left.astype("complex128") @ right.astype("complex128")
    out = np.empty((rows, columns + 3), dtype)[:, :columns]
    found = blas.product(np, left, right)
    assert found.flags.c_contiguous
    for each in (found, blas.product(np, left, right, out), out, multiply(np, left, right)):
        np.testing.assert_allclose(each, wanted, rtol=1e-4, atol=1e-3)


def test_sizes_that_do_not_match():
    with pytest.raises(ValueError, match="mismatch"):
        blas.product(np, np.ones((4, 300)), np.ones((900, 301)).T)
