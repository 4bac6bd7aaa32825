"""Calls of Python functions: on the host, in the thread that runs the step."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfsession.core import errors
from tfsession.core.dtypes import DType, as_dtype, string
from tfsession.core.host_functions import host_function
from tfsession.core.rules import kernel

_ERRORS: tuple[tuple[type[Exception], type[errors.OpError]], ...] = (
    (ValueError, errors.InvalidArgumentError),
    (TypeError, errors.InvalidArgumentError),
    (StopIteration, errors.OutOfRangeError),
    (MemoryError, errors.ResourceExhaustedError),
    (NotImplementedError, errors.UnimplementedError),
)


def _refuse(text: str) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(None, None, text)


def _argument(array: Any) -> Any:
    """What the function gets: its own copy, so that it may write to it."""
    return np.asarray(array).copy()[()]


def _raised(error: Exception) -> errors.OpError:
    """TensorFlow's error for one that the function has raised."""
    kind = next((k for cls, k in _ERRORS if isinstance(error, cls)), errors.UnknownError)
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    lines = "\n".join(traceback.format_tb(frames))
    text = f"{type(error).__name__}: {error}\nTraceback (most recent call last):\n\n{lines}"
    return kind(None, None, text)


def _result(token: str, index: int, value: Any, dtype: DType) -> Any:
    array = np.asarray(value, order="C")
    if array.dtype.kind in "SUO":
        array = _strings(array, value)
        found = string
    else:
        try:
            found = as_dtype(array.dtype)
        except TypeError:
            raise _unsupported(value) from None
    if found is not dtype:
        raise _refuse(
            f"{index}-th value returned by {token} is {found.op_def_name}, but expects "
            f"{dtype.op_def_name}"
        )
    # Nobody but the step may hold it.
    return array.copy() if array is value or array.base is not None else array


def _strings(array: Any, value: Any) -> Any:
    flat = [v.encode() if isinstance(v, str) else v for v in array.reshape(-1).tolist()]
    if not all(isinstance(v, bytes) for v in flat):
        raise _unsupported(value)
    found = np.empty(len(flat), object)
    found[:] = flat
    return found.reshape(array.shape)


def _unsupported(value: Any) -> errors.InternalError:
    return errors.InternalError(None, None, f"Unsupported object type {type(value).__name__}")


def _values(token: str | bytes, arguments: Iterable[Any], Tout: list[DType]) -> list[Any]:
    """What the function of the token gives, as many values as were promised."""
    name = token.decode() if isinstance(token, bytes) else token
    try:
        values = host_function(name)(*arguments)
    except Exception as error:
        raise _raised(error) from error
    if values is None:
        values = []
    elif not isinstance(values, list | tuple):
        values = [values]
    if len(values) != len(Tout):
        raise _refuse(
            f"{name} returns {len(values)} values, but expects to see {len(Tout)} values."
        )
    return list(values)


@kernel("PyFunc", device="CPU")
@kernel("PyFuncStateless", device="CPU")
def py_func(xp: Any, *inputs: Any, token: str, Tout: list[DType]) -> Any:
    """What the function of the token gives, held to the dtypes that were promised."""
    values = _values(token, map(_argument, inputs), Tout)
    name = token.decode() if isinstance(token, bytes) else token
    pairs = zip(values, Tout, strict=True)
    return [_result(name, i, value, dtype) for i, (value, dtype) in enumerate(pairs)]


class HostArray(np.ndarray[Any, Any]):
    """An array that a function of `tf.py_function` gets; it stands for an eager tensor."""

    def numpy(self) -> Any:
        """The plain array, or NumPy's scalar."""
        return np.asarray(self)[()]


def _converted(value: Any, dtype: DType) -> Any:
    """A result as an array of the dtype; it is refused where that would lose its kind."""
    if hasattr(value, "graph") and hasattr(value, "op"):
        raise _refuse(
            f"The function of tf.py_function gave {value!r}, a tensor of a graph, which has no "
            "value yet: the function gets arrays, and computes with NumPy"
        )
    array = np.asarray(value)
    if array.dtype.kind in "SUO":
        array = _strings(array, value)
    if array.dtype.kind == "O" or dtype is string:
        fits = array.dtype.kind == "O" and dtype is string
    else:
        fits = np.can_cast(array.dtype, dtype.numpy, "same_kind")
    if not fits:
        raise _refuse(
            f"Cannot convert {value!r}, which tf.py_function's function gave, to {dtype.name}"
        )
    return np.array(array, dtype.numpy, subok=False)


@kernel("EagerPyFunc", device="CPU")
def eager_py_func(xp: Any, *inputs: Any, token: str, Tout: list[DType]) -> Any:
    """What the function of the token gives, made arrays of the dtypes that were promised."""
    arguments = (np.asarray(array).copy().view(HostArray) for array in inputs)
    values = _values(token, arguments, Tout)
    return [_converted(value, dtype) for value, dtype in zip(values, Tout, strict=True)]
