"""Python values as tensors: `convert_to_tensor` and the functions that types register with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import late
from tfsession.core.dtypes import DType, as_dtype
from tfsession.graph.tensor import Tensor

ConversionFunction = Callable[..., Any]
_conversions: list[tuple[int, int, tuple[type, ...], ConversionFunction]] = []
_conversion_cache: dict[type, list[ConversionFunction]] = {}


def register_tensor_conversion_function(
    base_type: type | tuple[type, ...], conversion_func: ConversionFunction, priority: int = 100
) -> None:
    """Let `conversion_func(value, dtype, name, as_ref)` turn objects of a type into tensors.

    Lower priorities are tried first; a function returns NotImplemented to pass.
    """
    types = base_type if isinstance(base_type, tuple) else (base_type,)
    if not all(isinstance(t, type) for t in types):
        raise TypeError(
            f"Argument `base_type` must be a type or a tuple of types. Obtained: {base_type!r}"
        )
    if not callable(conversion_func):
        raise TypeError(
            f"Argument `conversion_func` must be callable. Received {conversion_func!r}."
        )
    number = len(_conversions)
    for place, (known_priority, known_number, known_types, known) in enumerate(_conversions):
        same = known_priority == priority and _named(known_types) == _named(types)
        if same and _is_again(known, conversion_func):
            number = known_number
            del _conversions[place]
            break
    _conversions.append((priority, number, types, conversion_func))
    _conversions.sort(key=lambda entry: entry[:2])
    _conversion_cache.clear()


def _named(types: tuple[type, ...]) -> list[tuple[str, str]]:
    """Types by name: a module that is executed twice makes its own anew."""
    return [(t.__module__, t.__qualname__) for t in types]


def _is_again(known: ConversionFunction, function: ConversionFunction) -> bool:
    """Whether both are one definition, executed twice: Ctrl-C has ended its module's import."""
    code, closure = (getattr(function, name, None) for name in ("__code__", "__closure__"))
    return code is not None and closure is None and code == getattr(known, "__code__", None)


def _conversions_of(cls: type) -> list[ConversionFunction]:
    found = _conversion_cache.get(cls)
    if found is None:
        late.ops.loaded()  # constants are a family's, too
        found = [function for _, _, types, function in _conversions if issubclass(cls, types)]
        _conversion_cache[cls] = found
    return found


def convert_to_tensor(
    value: Any,
    dtype: Any = None,
    name: str | None = None,
    preferred_dtype: Any = None,
    dtype_hint: Any = None,
    as_ref: bool = False,
) -> Tensor:
    """A Tensor for `value`: a Tensor, Variable, NumPy array, Python number, string or nested list.

    Args:
        value: what to convert; Python values become constants of the default graph.
        dtype: the dtype to have; None infers it.
        name: name of the constant that is made, if one is.
        preferred_dtype: dtype tried first when `dtype` is None.
        dtype_hint: the same as `preferred_dtype`.
        as_ref: give the reference of a reference variable.

    Raises:
        TypeError: no conversion is known, or the value does not fit `dtype`.
        ValueError: `value` is a Tensor of another dtype.
    """
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(value, Tensor):
        if wanted is not None and value.dtype.base_dtype is not wanted.base_dtype:
            prefix = f"{name}: " if name else ""
            raise ValueError(
                f"{prefix}Tensor conversion requested dtype {wanted.name} for Tensor with dtype "
                f"{value.dtype.name}: {value!r}"
            )
        return value
    hint = preferred_dtype if preferred_dtype is not None else dtype_hint
    if wanted is None and hint is not None:
        try:
            return _convert(value, as_dtype(hint), name, as_ref)
        except (TypeError, ValueError):
            pass
    return _convert(value, wanted, name, as_ref)


def _convert(value: Any, dtype: DType | None, name: str | None, as_ref: bool) -> Tensor:
    for function in _conversions_of(type(value)):
        result = function(value, dtype=dtype, name=name, as_ref=as_ref)
        if result is NotImplemented:
            continue
        label = f"{name}: " if name else ""
        source = f"{label}Conversion function {function!r} for type {type(value)} returned"
        if not isinstance(result, Tensor):
            raise RuntimeError(f"{source} non-Tensor: {result!r}")
        if dtype is not None and dtype.base_dtype is not result.dtype.base_dtype:
            raise RuntimeError(
                f"{source} incompatible dtype: requested = {dtype.base_dtype.name}, actual = "
                f"{result.dtype.name}"
            )
        return result
    raise TypeError(
        f"Cannot convert {value!r} with type {type(value)} to Tensor: no conversion function "
        "registered."
    )
