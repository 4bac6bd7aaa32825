"""Kernels between numbers and texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.control import escaped, shown_element
from tfsession.kernels.string import texts


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


# --- numbers to texts -----------------------------------------------------------------------------


def _printf(fill: str, width: int, precision: int, letter: str) -> str:
    """A format of C's printf, which Python understands too."""
    if len(fill) > 1:
        raise _refuse("Fill string must be one or fewer characters")
    if fill and fill not in " +-0":
        raise _refuse(f'Fill argument not supported: "{fill}"')
    size = str(width) if width > -1 else ""
    digits = f".{precision}" if precision > -1 else ""
    return f"%{fill}{size}{digits}{letter}"


def _float_text(form: str) -> Callable[[float], str]:
    without_zeros = form.replace("%0", "%")

    def text(value: float) -> str:
        if math.isfinite(value):
            return form % value
        # C fills up with spaces what is no number, and tells the sign of NaN.
        shown = without_zeros % math.copysign(math.inf, value)
        return shown.replace("inf", "nan") if math.isnan(value) else shown

    return text


@kernel("AsString", device="CPU")
def as_string(
    xp: Any, array: Any, *, T: DType, precision: int, scientific: bool, shortest: bool,
    width: int, fill: bytes,
) -> Any:  # fmt: skip
    """Numbers as printf writes them."""
    flag = fill.decode(errors="replace")
    if scientific and shortest:
        raise _refuse("Cannot select both scientific and shortest notation")
    is_float = T.is_floating or T.is_complex
    if not is_float and T.name != "string":
        if scientific or shortest:
            raise _refuse(f"scientific and shortest format not supported for datatype {T.name}")
        if precision >= 0:
            raise _refuse(f"precision not supported for datatype {T.name}")
    letter = "e" if scientific else "g" if shortest else "f"
    form = _printf(flag, -1 if T.is_complex else width, precision, letter)
    make: Callable[[Any], str]
    if T.name == "string":
        side = "<" if flag == "-" else ">"
        padded = [t.ljust(width) if side == "<" else t.rjust(width) for t in array.ravel().tolist()]
        return texts(padded, array.shape)
    if T.is_complex:
        part = _float_text(form)
        make = lambda value: f"({part(value.real)},{part(value.imag)})"  # noqa: E731
    elif is_float:
        make = _float_text(form)
        array = array.astype(np.float64)
    elif T.name == "bool":
        make = lambda value: "true" if value else "false"  # noqa: E731
    else:
        # Numbers without a sign take none.
        unsigned = flag if flag not in (" ", "+") or not T.is_unsigned else ""
        make = _printf(unsigned, width, -1, "d").__mod__
    return texts([make(v).encode() for v in array.ravel().tolist()], array.shape)


# --- texts to numbers -----------------------------------------------------------------------------

_INTEGER = re.compile(rb"\s*([+-]?[0-9]+)\s*\Z")
_DECIMAL = re.compile(rb"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*\Z")
_SPECIAL = re.compile(rb"\s*([+-]?)(inf|infinity|nan(?:\([^)]*\))?)\s*\Z", re.IGNORECASE)
_HEXADECIMAL = re.compile(
    rb"\s*([+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?)\s*\Z"
)


def _integer(text: bytes, least: int, most: int) -> int | None:
    match = _INTEGER.match(text)
    if match is None or (least == 0 and b"-" in text) or len(match[1]) > 4000:
        return None
    value = int(match[1])
    return value if least <= value <= most else None


def _double(text: bytes) -> float | None:
    match = _DECIMAL.match(text)
    if match is not None:
        return float(match[1])
    match = _HEXADECIMAL.match(text)
    if match is not None:
        try:
            return float.fromhex(match[1].decode())
        except OverflowError:
            return -np.inf if match[1].startswith(b"-") else np.inf
    match = _SPECIAL.match(text)
    return None if match is None else float(match[1] + match[2][:3])


def _single(text: bytes) -> Any:
    """The nearest float32: a double in the middle between two does not tell which one it is."""
    value = _double(text)
    if value is None:
        return None
    with np.errstate(over="ignore"):
        nearest = np.float32(value)
    error = value - float(nearest)
    if not error or not np.isfinite(nearest):
        return nearest
    other = np.nextafter(nearest, np.float32(np.copysign(np.inf, error)))
    match = _DECIMAL.match(text)
    if match is None or float(other) - value != error:
        return nearest
    exact = Fraction(match[1].decode())
    return other if exact != value and (exact > value) == (value > float(nearest)) else nearest


def parsed(text: bytes, dtype: DType) -> Any:
    """The number of this dtype that a text stands for; None if it stands for none."""
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return _integer(text, int(info.min), int(info.max))
    return _single(text) if dtype.numpy == np.float32 else _double(text)


@kernel("StringToNumber", device="CPU")
def string_to_number(xp: Any, array: Any, *, out_type: DType) -> Any:
    """The number of each text."""
    found = np.empty(array.size, out_type.numpy)
    for index, text in enumerate(array.ravel().tolist()):
        value = parsed(text, out_type)
        if value is None:
            shown = text.decode(errors="backslashreplace")
            raise _refuse(f"StringToNumberOp could not correctly convert string: {shown}")
        found[index] = value
    return found.reshape(array.shape)


# --- tensors in texts -----------------------------------------------------------------------------


def _quoted(text: bytes) -> str:
    return f'"{escaped(text).decode("latin-1")}"'


def _shown(array: Any, edge: int) -> str:
    """An array in brackets as NumPy shows it: `edge` elements at both ends, all when negative."""
    name = as_dtype(array.dtype).name
    if name == "string":
        element: Callable[[Any], str] = _quoted
    elif name.startswith("complex"):
        element = lambda _: "?"  # noqa: E731
    else:
        element = shown_element
    if array.ndim == 0:
        return element(array[()]) if edge else "..."

    def block(part: Any, depth: int) -> str:
        size = len(part)
        show = element if part.ndim == 1 else lambda inner: block(inner, depth + 1)
        gap = " " if part.ndim == 1 else "\n" * (part.ndim - 1) + " " * (depth + 1)
        if edge < 0 or 2 * edge >= size:
            return "[" + gap.join(map(show, part)) + "]"
        first = gap.join(map(show, part[:edge]))
        last = "".join(gap + show(inner) for inner in part[size - edge :])
        return f"[{first}{gap}...{last}]"

    # Of nothing, nothing is shown.
    edge = edge if array.size else 0
    return block(array, 0)


@kernel("StringFormat", device="CPU")
def string_format(
    xp: Any, *inputs: Any, template: bytes, placeholder: bytes, summarize: int
) -> Any:
    """The template with tensors in place of the placeholders."""
    parts = template.split(placeholder) if placeholder else [template]
    if len(parts) != len(inputs) + 1:
        raise _refuse(
            f"num placeholders in template and num inputs must match: {len(parts) - 1} vs. "
            f"{len(inputs)}"
        )
    # Bytes of texts stand for themselves.
    shown = [_shown(np.asarray(array), summarize).encode("latin-1") for array in inputs]
    joined = b"".join(b"".join(pair) for pair in zip(parts, [*shown, b""], strict=True))
    return texts([joined], ())
