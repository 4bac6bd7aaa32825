"""Arrays made larger: padded and tiled."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _pairs(x: Any, paddings: Any) -> list[list[int]]:
    if paddings.ndim != 2 or paddings.shape[1] != 2:
        raise _refuse(f"paddings must be a matrix with 2 columns: {debug_string(paddings.shape)}")
    if paddings.shape[0] != x.ndim:
        raise _refuse(
            "The first dimension of paddings must be the rank of inputs"
            f"{debug_string(paddings.shape)} {debug_string(x.shape)}"
        )
    pairs: list[list[int]] = paddings.tolist()
    return pairs


def _checked_pairs(x: Any, paddings: Any) -> list[list[int]]:
    pairs = _pairs(x, paddings)
    for before, after in pairs:
        if before < 0 or after < 0:
            raise _refuse(f"Paddings must be non-negative: {before} {after}")
    return pairs


def _inside(x: Any, pairs: list[list[int]]) -> tuple[slice, ...]:
    return tuple(slice(b, b + n) for (b, _), n in zip(pairs, x.shape, strict=True))


def _padded_shape(x: Any, pairs: list[list[int]]) -> list[int]:
    return [b + n + a for (b, a), n in zip(pairs, x.shape, strict=True)]


@kernel("Pad", types={"T": ["string"]}, device="CPU", host=["paddings"])
def pad_texts(xp: Any, x: Any, paddings: Any) -> Any:
    """Empty texts around the input."""
    return pad_with(xp, x, paddings, xp.asarray(b"", dtype=object))


@kernel("Pad", host=["paddings"])
def pad(xp: Any, x: Any, paddings: Any) -> Any:
    """Zeros around the input."""
    pairs = _checked_pairs(x, paddings)
    result = xp.zeros(_padded_shape(x, pairs), x.dtype)
    result[_inside(x, pairs)] = x
    return result


@kernel("PadV2", host=["paddings"])
def pad_with(xp: Any, x: Any, paddings: Any, constant_values: Any) -> Any:
    """One value around the input."""
    pairs = _checked_pairs(x, paddings)
    if constant_values.ndim:
        shape = debug_string(constant_values.shape)
        raise _refuse(f"constant_values must be a scalar. Found: {shape}")
    result = xp.full(_padded_shape(x, pairs), constant_values, x.dtype)
    result[_inside(x, pairs)] = x
    return result


@kernel("MirrorPad", host=["paddings"])
def mirror_pad(xp: Any, x: Any, paddings: Any, mode: bytes) -> Any:
    """The input's border mirrored around it."""
    pairs = _pairs(x, paddings)
    reflects = mode == b"REFLECT"
    for (before, after), size in zip(pairs, x.shape, strict=True):
        if before < 0 or after < 0:
            raise _refuse(f"paddings must be non-negative: {before} {after}")
        if reflects and (before >= size or after >= size) and (before or after):
            raise _refuse(
                f"paddings must be less than the dimension size: {before}, {after} not less than "
                f"{size}"
            )
        if before > size or after > size:
            raise _refuse(
                f"paddings must be no greater than the dimension size: {before}, {after} greater "
                f"than {size}"
            )
    result = xp.empty(_padded_shape(x, pairs), x.dtype)
    result[_inside(x, pairs)] = x
    inside = list(_inside(x, pairs))
    for axis, (before, after) in enumerate(pairs):
        inside[axis] = slice(None)
        _mirror(result, inside, axis, (before, after), int(reflects))
    return result


def _mirror(
    result: Any, inside: list[slice], axis: int, widths: tuple[int, int], skip: int
) -> None:
    """Fill the padding of one dimension from the elements beside it."""
    before, after = widths
    end = result.shape[axis] - after

    def part(start: int, stop: int) -> tuple[slice, ...]:
        return (*inside[:axis], slice(start, stop), *inside[axis + 1 :])

    backwards = (slice(None),) * axis + (slice(None, None, -1),)
    if before:
        result[part(0, before)] = result[part(before + skip, 2 * before + skip)][backwards]
    if after:
        source = result[part(end - after - skip, end - skip)]
        result[part(end, end + after)] = source[backwards]


@kernel("MirrorPadGrad", host=["paddings"])
def mirror_pad_grad(xp: Any, grad: Any, paddings: Any, mode: bytes) -> Any:
    """What each element of the input of MirrorPad gets from all its images."""
    skip = int(mode == b"REFLECT")
    for axis, (before, after) in enumerate(_checked_pairs(grad, paddings)):
        if before or after:
            grad = _fold(xp.moveaxis(grad, axis, 0), before, after, skip)
            grad = xp.moveaxis(grad, 0, axis)
    return grad


def _fold(grad: Any, before: int, after: int, skip: int) -> Any:
    """Add the images before and after the first dimension to what they mirror."""
    end = grad.shape[0] - after
    if end - before < max(before, after) + skip:
        raise _refuse("output size must not be smaller than the paddings that it mirrors")
    result = grad[before:end].copy()
    size = end - before
    if before:
        result[skip : skip + before] += grad[before - 1 :: -1]
    if after:
        result[size - skip - after : size - skip] += grad[end:][::-1]
    return result


@kernel("Tile", host=["multiples"])
def tile(xp: Any, x: Any, multiples: Any) -> Any:
    """The input repeated along its dimensions."""
    factors = multiples.tolist()
    if multiples.ndim != 1 or len(factors) != x.ndim:
        raise _refuse(
            f"Expected multiples argument to be a vector of length {x.ndim} but got length "
            f"{multiples.size}"
        )
    for i, factor in enumerate(factors):
        if factor < 0:
            raise _refuse(f"Expected multiples[{i}] >= 0, but got {factor}")
    return xp.tile(x, tuple(factors))
