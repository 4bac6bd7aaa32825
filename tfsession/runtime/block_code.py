"""The code of a block: calls of NumPy on what belongs to its rows, results in what is at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfsession.core.rules import fusers
from tfsession.devices.program import Call

if TYPE_CHECKING:
    from tfsession.runtime.blocks import Cut, Step

Function = Callable[..., Any]


# Steps for each result of a ufunc that is worth it.
_WORTH = 2


class Loop(NamedTuple):
    """A ufunc, and the numbers of the values that it takes and gives."""

    ufunc: Any
    taken: list[int]
    given: list[int]


# The kinds of arrays of which a block takes its own rows.
_CUT = ("full", "column", "reduced")
# NumPy's loops for these are several times faster between arrays than with a number.
_SLOW_WITH_NUMBERS = (np.maximum, np.minimum)


class BlockWriter:
    """Writes the function that computes one block of a cut."""

    def __init__(self, cut: Cut, is_native: bool) -> None:
        self._cut = cut
        self._is_native = is_native
        self._lines: list[str] = []
        self._names: dict[str, Any] = {"axis": np.array([1], np.int32)}
        self._texts: dict[int, str] = {}
        self._scratch: list[np.dtype[Any]] = []
        self._free: dict[np.dtype[Any], list[str]] = {}
        self._at: dict[int, str] = {}
        self._last: dict[int, int] = {}
        self._dtypes = cut._group.dtypes
        # A reduction is read by no step: all of them may come last.
        self._order = sorted(cut.inside, key=lambda n: cut.step(n).reduction is not None)
        self._plain = [n for n in self._order if cut.step(n).reduction is None]
        if not is_native:
            self._order = cut.inside
        for number in self._order:
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
        together = self._together() if self._is_native else {}
        for number in self._order:
            if number not in together:
                self._write_step(number)
                self._drop(number)
            elif (loop := together[number]) is not None:
                self._compute_together(number, *loop)
            self._let_go(number)

    def _write_step(self, number: int) -> None:
        step = self._cut.step(number)
        function = f"k{number}"
        self._names[function] = step.function
        if step.reduction is not None:
            self._reduce(number, step, function)
        else:
            self._compute(number, step, function)

    # --- in the processor's own code --------------------------------------------------------------

    def _together(self) -> dict[int, Loop | None]:
        """The steps that one ufunc computes, by number: at the last of them that ufunc, else None.

        A run of them begins anew behind a step that stays with NumPy.
        """
        found: dict[int, Loop | None] = {}
        for can_be, steps in groupby(self._plain, self._can_be_compiled):
            run = list(steps)
            if can_be and (loop := self._loop_of(run)) is not None:
                found.update(dict.fromkeys(run, None))
                found[run[-1]] = loop
        return found

    def _can_be_compiled(self, number: int) -> bool:
        arguments = self._cut.step(number).arguments
        call, inputs = self._call(number, dict(zip(arguments, count()))), self._inputs(arguments)
        return fusers["can be in a loop"](call, inputs)  # type: ignore[no-any-return]

    def whole(self) -> Any:
        """The ufunc of all that is given which gives all results; None where there is none."""
        group, inside = self._cut._group, self._cut.inside
        return self._ufunc(inside, [*range(group.given)], list(group.results))

    def _loop_of(self, run: list[int]) -> Loop | None:
        """The ufunc of some steps, what it takes and what it gives; None where there is none."""
        cut, own = self._cut, set(run)
        taken = list(dict.fromkeys(n for r in run for n in cut.step(r).arguments if n not in own))
        outside = {n for r in cut.inside if r not in own for n in cut.step(r).arguments}
        given = [n for n in run if n in cut.written or n in outside]
        if len(run) < _WORTH * len(given):  # NumPy goes through what is in the cache as often
            return None
        ufunc = self._ufunc(run, taken, given)
        return None if ufunc is None else Loop(ufunc, taken, given)

    def _ufunc(self, run: list[int], taken: list[int], given: list[int]) -> Any:
        places = {number: place for place, number in enumerate([*taken, *run])}
        calls = [self._call(number, places) for number in run]
        return fusers["loop"](calls, self._inputs(taken), [places[n] for n in given])

    def _call(self, number: int, places: Mapping[int, int]) -> Call:
        """A step, its arguments numbered by their places."""
        step = self._cut.step(number)
        assert step.bind is not None
        return Call(step.bind, tuple([places[n] for n in step.arguments]))

    def _inputs(self, numbers: Sequence[int]) -> list[tuple[np.dtype[Any], str]]:
        """Dtypes of values, and how they lie."""
        return [(self._dtypes[n], self._cut.taken.get(n, "full")) for n in numbers]

    def _compute_together(
        self, number: int, ufunc: Any, taken: list[int], given: list[int]
    ) -> None:
        self._names[f"l{number}"] = ufunc
        arguments = ", ".join(map(self._text, taken))
        for result in given:
            if result not in self._cut.written:
                self._texts[result] = self._take(result)
        targets = ", ".join(map(self._text, given))
        self._lines.append(f"l{number}({arguments}, out=({targets},))")

    # --- by NumPy ---------------------------------------------------------------------------------

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
