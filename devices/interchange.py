"""Arrays of other libraries: where they lie, and their memory as NumPy's, without a copy.

They speak DLPack (1.0, as dlpack.h defines it), NumPy's `__array__`, or CUDA's array interface.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import ml_dtypes
import numpy as np

__all__ = ["host_array", "is_device_array", "place_of", "speaks_dlpack"]

# Device types of DLPack whose memory the host reads: kDLCPU, and what is pinned for CUDA and ROCm.
_HOST: Final = (1, 3, 11)
_KINDS: Final = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "managed CUDA"}


def speaks_dlpack(value: Any) -> bool:
    """Whether `value` can be exported through DLPack; classes, which only lend methods, cannot."""
    return hasattr(value, "__dlpack_device__") and not isinstance(value, type)


def is_device_array(value: Any) -> bool:
    """Whether `value` says of itself, by DLPack or by CUDA's interface, that a device has it."""
    if speaks_dlpack(value):
        return int(value.__dlpack_device__()[0]) not in _HOST
    return hasattr(value, "__cuda_array_interface__") and not isinstance(value, type)


def place_of(value: Any) -> str:
    """The device of a device array, as a text for errors."""
    if not hasattr(value, "__dlpack_device__"):
        return "a CUDA device"
    kind, number = map(int, value.__dlpack_device__())
    if kind in _KINDS:
        return f"{_KINDS[kind]} device {number}"
    return f"device {number} of DLPack's type {kind}"


def host_array(value: Any) -> Any:
    """What speaks DLPack, and lies in host memory, as a NumPy array over the same memory.

    Raises:
        TypeError: the exporter refuses, or NumPy has no such elements.
    """
    if hasattr(value, "__array__"):
        try:
            return np.asarray(value)
        except TypeError:
            pass  # a dtype that is not NumPy's own, such as bfloat16
    try:
        return _Export(value).array()
    except BufferError as error:
        raise TypeError(
            f"The fed {type(value).__name__} cannot be read through DLPack: {error}"
        ) from None


class _Tensor(ctypes.Structure):
    """DLTensor of dlpack.h; its shape and strides are not looked at here."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    )


# Where the DLTensor stands in the structure of a capsule of this name: DLManagedTensorVersioned
# begins with version, context, deleter and flags.
_OFFSETS: Final = {b"dltensor": 0, b"dltensor_versioned": 32}
_UNSIGNED: Final = 1
# What DLPack and ml_dtypes have and NumPy has not, by DLPack's code and the number of bits.
_EXTENDED: Final = {
    (4, 16): ml_dtypes.bfloat16,
    (10, 8): ml_dtypes.float8_e4m3fn,
    (12, 8): ml_dtypes.float8_e5m2,
}

_name_of = ctypes.pythonapi.PyCapsule_GetName
_name_of.restype, _name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class _Export:
    """An array exported once, for NumPy to take; elements that it does not know go as integers."""

    def __init__(self, value: Any) -> None:
        self._device = value.__dlpack_device__()
        try:
            self._capsule = value.__dlpack__(max_version=(1, 0))
        except TypeError:  # of the time before versions
            self._capsule = value.__dlpack__()
        name = _name_of(self._capsule)
        if name not in _OFFSETS:
            raise BufferError(f"a capsule of the name {name!r}")
        start = _pointer_of(self._capsule, name) + _OFFSETS[name]
        tensor = _Tensor.from_address(start)
        self._extended = _EXTENDED.get((tensor.code, tensor.bits))
        if self._extended is not None:
            tensor.code = _UNSIGNED  # the capsule is ours: nobody else reads this

    def __dlpack_device__(self) -> Any:
        return self._device

    def __dlpack__(self, **_wishes: Any) -> Any:
        return self._capsule

    def array(self) -> np.ndarray[Any, Any]:
        """The array, writable as its exporter says."""
        array = np.from_dlpack(self)
        return array if self._extended is None else array.view(self._extended)
