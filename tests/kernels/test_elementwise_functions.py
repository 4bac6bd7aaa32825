"""Functions in machine code: near to the true ones everywhere, and as NumPy's at the ends."""

import numpy as np
import pytest

from tfsession.kernels.elementwise_functions import FUNCTIONS
from tfsession.kernels.elementwise_loop import function, of_float32

pytestmark = pytest.mark.llvm

FLOAT = np.dtype(np.float32)
# Units in the last place by which a result may differ from the true one.
MOST = {"exp": 1.0, "expm1": 1.5, "log": 1.0, "log1p": 1.0, "tanh": 1.5}
ENDS = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1e-45,
    -1e-45,
    1e-38,
    3e38,
    -3e38,
    88.7,
    88.8,
    89.1,
    104.0,
]
ENDS += [-87.5, -103.9, -104.1, 1.0, -1.0, 0.625, -0.9999999, 0.70710677, 0.7071068, 1.1754944e-38]


def numbers():
    """Floats of all sizes: one bit pattern in some ten thousand."""
    patterns = np.arange(0, 1 << 32, 9973, dtype=np.uint64).astype(np.uint32)
    return np.concatenate([patterns.view(np.float32), np.array(ENDS, np.float32)])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_near_to_the_true_ones(name):
    x = numbers()
    with np.errstate(all="ignore"):
        found = of_float32(name)(x)
        exact = getattr(np, name)(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    known = ~np.isnan(rounded)
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(rounded[known]))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(rounded))
    finite = np.isfinite(rounded)
    error = np.abs(found[finite].astype(np.float64) - exact[finite])
    assert (error / np.spacing(np.abs(rounded[finite]))).max() <= MOST[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_do_not_depend_on_where_numbers_lie(name):
    compute, x = of_float32(name), numbers()[::97]
    with np.errstate(all="ignore"):
        whole = compute(x)
        twice = np.repeat(x, 2)[::2]
        alone = np.array([compute(np.array([value]))[0] for value in x[:50]])
        over = x.copy()
        compute(over, out=over)
        at_odds = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32)
        assert at_odds.flags.aligned is False
        for other in (compute(twice), over, compute(at_odds), compute(x[::-1])[::-1]):
            np.testing.assert_array_equal(other, whole)
        np.testing.assert_array_equal(alone, whole[:50])


def test_other_numbers_are_numpys():
    assert function(np, "exp", np.dtype(np.float64)) is np.exp
    assert function(np, "exp", FLOAT) is of_float32("exp") is not np.exp
