"""The code of a block: calls of NumPy on what belongs to its rows, results in what is at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tfsession.runtime.blocks import Cut, Step

Function = Callable[..., Any]

# The kinds of arrays of which a block takes its own rows.
_CUT = ("full", "column", "reduced")
# NumPy's loops for these are several times faster between arrays than with a number.
_SLOW_WITH_NUMBERS = (np.maximum, np.minimum)


class BlockWriter:
    """Writes the function that computes one block of a cut."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._lines: list[str] = []
        self._names: dict[str, Any] = {"axis": np.array([1], np.int32)}
        self._texts: dict[int, str] = {}
        self._scratch: list[np.dtype[Any]] = []
        self._free: dict[np.dtype[Any], list[str]] = {}
        self._at: dict[int, str] = {}
        self._last: dict[int, int] = {}
        self._dtypes = cut._group.dtypes
        for number in cut.inside:
            for argument in cut.step(number).arguments:
                self._last[argument] = number
        self._write()

    @property
    def row_bytes(self) -> int:
        """What a block touches for each row."""
        cut, dtypes = self._cut, self._dtypes
        row = sum(dtypes[n].itemsize for n, kind in cut.taken.items() if kind in _CUT)
        row += sum(dtype.itemsize for dtype in self._scratch)
        makes_own = any(not cut.step(n).takes_out for n in cut.inside)
        return (row + makes_own * 8) * cut._columns

    def compile(self, rows: int) -> tuple[Function, list[tuple[np.dtype[Any], int]]]:
        """The function, and dtype and bytes of each of its scratch arrays for so many rows."""
        arrays = [f"x{number}" for number in self._cut.taken]
        scratch = [f"s{index}" for index in range(len(self._scratch))]
        head = f"def block({', '.join(['index', 'i', 'j', *arrays, *scratch])}):"
        cuts = [f"x{n} = x{n}[i:j]" for n, kind in self._cut.taken.items() if kind in _CUT]
        cuts += [f"{name} = {name}[:j - i]" for name in scratch]
        exec("\n ".join([head, *cuts, *self._lines, "pass"]), self._names)
        size = rows * self._cut._columns
        parts = [(dtype, size * dtype.itemsize) for dtype in self._scratch]
        return self._names["block"], parts

    def _text(self, number: int) -> str:
        return self._texts.get(number, f"x{number}")

    def _write(self) -> None:
        for number in self._cut.inside:
            step = self._cut.step(number)
            function = f"k{number}"
            self._names[function] = step.function
            if step.reduction is not None:
                self._reduce(number, step, function)
            else:
                self._compute(number, step, function)
            self._let_go(number)
            self._drop(number)

    def _reduce(self, number: int, step: Step, function: str) -> None:
        value = self._text(step.arguments[0])
        if number not in self._cut.written:
            return
        if self._cut.is_columns(number):
            self._lines.append(f"x{number}.add(index, {value})")
        elif self._cut.is_whole(number):
            assert step.reduction is not None
            self._names[function] = step.reduction.ufunc.reduce  # type: ignore[union-attr]
            self._names[f"d{number}"] = self._dtypes[number]
            flat = value if self._cut._is_flat else f"{value}.reshape(-1)"
            self._lines.append(f"x{number}[index] = {function}({flat}, dtype=d{number})")
        else:
            self._lines.append(f"x{number}[...] = {function}({value}, axis).reshape(-1)")

    def _compute(self, number: int, step: Step, function: str) -> None:
        arguments = ", ".join(map(self._text, step.arguments))
        is_written = number in self._cut.written
        filler = self._number_of(step)
        if not step.takes_out:
            target = f"x{number}[...]" if is_written else f"x{number}"
            self._lines.append(f"{target} = {function}({arguments})")
            return
        if is_written:
            target = f"x{number}"
        else:
            if filler is None:
                self._let_go(number)
            target = self._texts[number] = self._take(number)
        if filler is not None:
            self._lines.append(f"{target}[...] = x{filler}")
            arguments = ", ".join(target if n == filler else self._text(n) for n in step.arguments)
        self._lines.append(f"{function}({arguments}, out={target})")

    def _number_of(self, step: Step) -> int | None:
        """The number that is better given as an array."""
        if step.function not in _SLOW_WITH_NUMBERS:
            return None
        ones = [n for n in step.arguments if self._cut.taken.get(n) == "one"]
        return ones[0] if ones else None

    def _take(self, number: int) -> str:
        dtype = self._dtypes[number]
        free = self._free.setdefault(dtype, [])
        if not free:
            free.append(f"s{len(self._scratch)}")
            self._scratch.append(dtype)
        self._at[number] = free.pop()
        return self._at[number]

    def _ending(self, number: int) -> list[int]:
        """The values of which this step is the last reader; the one that it reads first is last."""
        arguments = dict.fromkeys(self._cut.step(number).arguments)
        return [n for n in reversed(arguments) if self._last[n] == number]

    def _let_go(self, number: int) -> None:
        """What ends with this step gives its memory back."""
        for argument in self._ending(number):
            if argument in self._at:
                self._free[self._dtypes[argument]].append(self._at.pop(argument))

    def _drop(self, number: int) -> None:
        """What a kernel made for itself, and ends with this step, is dropped."""
        own = [n for n in self._ending(number) if n in self._cut.inside]
        own = [n for n in own if n not in self._cut.written and n not in self._texts]
        if own:
            self._lines.append(f"del {', '.join(f'x{n}' for n in own)}")
