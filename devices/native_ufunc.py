"""NumPy ufuncs of functions in machine code.

The functions are those of NumPy's C interface for inner loops (PyUFuncGenericFunction): of the
places of arguments and results, the number of elements, and the steps between them. What NumPy does
for its own ufuncs, broadcasting, `out=`, and letting other threads run, it does for these.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_char_p, c_int, c_void_p, py_object
from functools import cache
from typing import Any

import numpy as np
from numpy._core import umath

__all__ = ["MOST_ARGUMENTS", "native_ufunc"]

# NumPy takes 32 in version 1, and 64 since.
MOST_ARGUMENTS = 32
# The place of PyUFunc_FromFuncAndData in the table of the interface, and that there is no number
# with which a reduction begins.
_FROM_FUNCTIONS = 1
_NO_IDENTITY = -1
# What NumPy only refers to, and what must stay as long as the ufunc.
_kept: list[Any] = []


@cache
def _maker() -> Any:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = c_void_p, [py_object, c_char_p]
    table = ctypes.cast(pointer(umath._UFUNC_API, None), ctypes.POINTER(c_void_p))
    kinds = (c_void_p, c_void_p, c_void_p, *[c_int] * 4, c_char_p, c_char_p, c_int)
    return ctypes.PYFUNCTYPE(py_object, *kinds)(table[_FROM_FUNCTIONS])


def native_ufunc(
    name: str, address: int, taken: Sequence[np.dtype[Any]], given: Sequence[np.dtype[Any]]
) -> np.ufunc:
    """The ufunc of one loop at an address, for arguments and results of these dtypes."""
    functions, data = (c_void_p * 1)(address), (c_void_p * 1)(None)
    types = ctypes.create_string_buffer(bytes([dtype.num for dtype in (*taken, *given)]))
    label, text = name.encode(), b""
    made: np.ufunc = _maker()(
        ctypes.addressof(functions), ctypes.addressof(data), ctypes.addressof(types), 1,
        len(taken), len(given), _NO_IDENTITY, label, text, 0,
    )  # fmt: skip
    _kept.append((made, functions, data, types, label, text))
    return made
