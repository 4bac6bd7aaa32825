"""What is done to scores before softmax, and to shares behind it, as CUDA C.

Scores are scaled, masked by sums, factors or conditions; shares are dropped out. A change is one of
these, and is written for one element, forwards and for its gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final

import numpy as np

from tfsession.kernels.cuda.body import Argument, Array
from tfsession.kernels.cuda.expressions import STORED

__all__ = ["Change", "arguments", "changes_of", "is_possible", "text", "told"]

# What reads an array: {0} is its element, {1} the number that belongs to the change.
_TEXTS: Final = {
    "scale": "x *= {1};",
    "add": "x += {0};",
    "subtract": "x -= {0};",
    "times": "x *= {0};",
    "where": "x = {0} ? x : {1};",
    "where_not": "x = {0} ? {1} : x;",
}
_TEXTS_OF_GRADIENTS: Final = {**_TEXTS, "add": "", "subtract": ""}
_BOOLEAN = ("where", "where_not")
_AXES = ("outer", "inner", "row", "column")


@dataclass(frozen=True)
class Change:
    """What is done to each element of a matrix.

    Attributes:
        kind: one of scale, which multiplies by `number`; add, subtract, times, of an array; where
            and where_not, which put `number` where an array of bool is false, or true.
        number: see `kind`.
    """

    kind: str
    number: float = 0.0

    @property
    def takes_array(self) -> bool:
        """Whether it reads an array."""
        return self.kind != "scale"


# A kind with its number, as who groups operations tells of it.
Told = tuple[str, float]


def changes_of(rows: Iterable[Told]) -> tuple[Change, ...]:
    """The changes of which rows tell."""
    return tuple([Change(*row) for row in rows])


def is_possible(changes: Sequence[Change], arrays: Sequence[Array], dtype: str) -> bool:
    """Whether arrays are of the types that changes of numbers of this dtype read."""
    wanted = ["bool" if c.kind in _BOOLEAN else dtype for c in changes if c.takes_array]
    numbers = [c.number for c in changes if not c.takes_array]
    return [array.dtype for array in arrays] == wanted and all(map(isfinite, numbers))


def _number(value: float) -> str:
    number = np.float32(value)
    if np.isnan(number):
        return "NAN"
    if np.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    return f"{number.item().hex()}f"


def _function(name: str, lines: Iterable[str]) -> str:
    head = (
        f"__device__ __forceinline__ float {name}(float x, const Masks& at, const I r, const I c)"
    )
    return "\n".join([f"{head} {{", *(f"  {line}" for line in lines if line), "  return x;", "}"])


def _lines(changes: Sequence[Change], first: int, texts: Mapping[str, str]) -> list[str]:
    found, number = [], first
    for change in changes:
        element = f"loaded(at.x{number}[r * at.x{number}_row + c * at.x{number}_column])"
        found.append(texts[change.kind].format(element, _number(change.number)))
        number += change.takes_array
    return found


def text(scores: Sequence[Change], shares: Sequence[Change], dtypes: Sequence[str]) -> str:
    """The arrays that are read, of these dtypes, and a function for each use of them.

    `scored` and `shared_out` give what becomes of a score and of a share, `sloped` the gradient for
    a score before its changes of that behind them.
    """
    members = [
        f"  const {STORED[dtype]}* x{number}; I "
        + ", ".join(f"x{number}_{axis}" for axis in _AXES)
        + ";"
        for number, dtype in enumerate(dtypes)
    ]
    moves = [f"x{n} += b0 * x{n}_outer + b1 * x{n}_inner;" for n in range(len(dtypes))]
    count = sum(change.takes_array for change in scores)
    # Zeros stand where a score was put aside: its gradient does not reach it.
    sloped = [replace(change, number=0.0 if change.takes_array else change.number)
              for change in scores]  # fmt: skip
    parts = [
        f"constexpr bool IS_MASKED = {str(count > 0).lower()};",
        f"constexpr bool IS_SHARED = {str(bool(shares)).lower()};",
        "struct Masks {",
        *members,
        "  __device__ __forceinline__ void move(const I b0, const I b1) {",
        *(f"    {move}" for move in moves),
        "  }",
        "};",
        _function("scored", _lines(scores, 0, _TEXTS)),
        _function("sloped", _lines(sloped, 0, _TEXTS_OF_GRADIENTS)),
        _function("shared_out", _lines(shares, count, _TEXTS)),
    ]
    return "\n".join(parts)


def arguments(arrays: Sequence[Array], first: int) -> list[Argument]:
    """What a kernel takes for arrays spread over four dimensions, numbered from `first` on."""
    found = []
    for number, array in enumerate(arrays):
        kind = STORED[array.dtype]
        found.append(Argument(f"const {kind}* __restrict__ x{number}", first + number))
        for axis, step in zip(_AXES, array.strides, strict=True):
            found.append(Argument(f"const I x{number}_{axis}", number=step))
    return found


def told(count: int) -> str:
    """How a kernel hands on what it takes of so many arrays."""
    names = [name for n in range(count) for name in (f"x{n}", *(f"x{n}_{a}" for a in _AXES))]
    return f"Masks{{{', '.join(names)}}}"
