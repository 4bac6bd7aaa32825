"""Numbers beside arrays: kept, of the dtype that is asked for, and nobody writes to them."""

import ml_dtypes
import numpy as np
import pytest

from tfsession.devices.scalars import scalar


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "complex64", ml_dtypes.bfloat16])
def test_a_number_is_an_array_that_cannot_be_written_to(dtype):
    dtype = np.dtype(dtype)
    one = scalar(np, 1, dtype)
    assert (one.dtype, one.shape, one == 1) == (dtype, (), True)
    assert scalar(np, 1, dtype) is one
    assert np.add(np.ones(3, dtype), one).dtype == dtype
    with pytest.raises(ValueError, match="read-only"):
        one += 1


def test_other_modules_get_what_they_know():
    assert type(scalar(object(), 2, np.dtype("float32"))) is np.float32
