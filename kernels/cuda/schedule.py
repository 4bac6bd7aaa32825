"""Which kernels compute a program: each goes through one space of indices.

Element-wise steps are computed anew wherever they are read; only results and reductions lie in
memory. A reduction along what comes last (a row) may be read by what is computed in the same rows,
so softmax, norms and cross-entropies are one kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

from tfsession.devices.program import REDUCTIONS, Program, Recorder, Sizes, Step

# For each axis of a value the axis of the space that it follows; -1 where it has one place only.
Places = tuple[int, ...]

# A reduction that gives fewer numbers than this occupies few blocks: then it is cut in pieces, that
# other blocks join. No piece is shorter than this.
_FEW, _LEAST_PIECE = 64, 4096
_FEW_COLUMNS, _LEAST_ROWS = 256, 256
_MOST_PIECES = 1024
COLUMNS = 32  # of a block that reduces columns


@dataclass(frozen=True)
class Space:
    """Where a kernel goes: the sizes of its axes, none of them 1; which of them are reduced.

    `pieces` is in how many parts the reduced axes are cut, 0 if they are not.
    """

    kind: str
    sizes: Sizes
    reduced: Sizes = ()
    pieces: int = 0

    @property
    def kept(self) -> Sizes:
        """The axes that are not reduced."""
        return tuple([a for a in range(len(self.sizes)) if a not in self.reduced])

    @property
    def rows(self) -> int:
        """How many numbers a reduction gives."""
        return prod(self.sizes[a] for a in self.kept)

    @property
    def columns(self) -> int:
        """How many elements go into one of them."""
        return prod(self.sizes[a] for a in self.reduced)


@dataclass
class Part:
    """A kernel: what it reduces, and what it writes to memory, by numbers of values."""

    space: Space
    stage: int
    reductions: list[int] = field(default_factory=list)
    stores: list[int] = field(default_factory=list)


def is_reduction(step: Step | None) -> bool:
    """Whether a step makes one element of many."""
    return step is not None and step.name in REDUCTIONS


def own_places(shape: Sizes) -> Places:
    """Where the axes of a value lie in its own space."""
    axes = iter(range(len(shape)))
    return tuple([-1 if size == 1 else next(axes) for size in shape])


def argument_places(program: Program, step: Step, index: int, places: Places) -> Places:
    """Where the axes of an argument lie, given where those of the result do."""
    shape = program.value(step.arguments[index]).shape
    if step.name == "view":
        axes: tuple[int, ...] = step.axes
    else:
        first = len(step.value.shape) - len(shape)
        axes = tuple(range(first, len(step.value.shape)))
    return tuple(
        [
            -1 if size == 1 or axis < 0 else places[axis]
            for size, axis in zip(shape, axes, strict=True)
        ]
    )


def space_of(program: Program, number: int) -> Space:
    """Where a reduction goes."""
    step = program.step(number)
    assert step is not None
    shape = program.value(step.arguments[0]).shape
    places = own_places(shape)
    sizes = tuple([size for size in shape if size != 1])
    reduced = tuple([places[axis] for axis in step.axes if places[axis] >= 0])
    is_rows = not sizes or len(sizes) - 1 in reduced or not reduced
    pieces = int(step.text or 0)
    return Space("rows" if is_rows else "columns", sizes, reduced, pieces)


def result_places(program: Program, number: int) -> Places:
    """Where the axes of a reduction's result lie in its space."""
    step = program.step(number)
    assert step is not None
    shape = program.value(step.arguments[0]).shape
    places = own_places(shape)
    return tuple([place for axis, place in enumerate(places) if axis not in step.axes])


# --- pieces ---------------------------------------------------------------------------------------


def in_pieces(program: Program) -> Program:
    """The program with long reductions of few results in two steps, of pieces and of those.

    How they are cut follows from the shapes alone.
    """
    recorder = Recorder()
    new = [recorder.input(value) for value in program.inputs]
    given = len(new)
    for index, step in enumerate(program.steps):
        own = replace(step, arguments=tuple([new[n] for n in step.arguments]))
        pieces = _pieces(space_of(program, given + index)) if is_reduction(step) else 0
        if pieces:
            rest = step.value.shape
            is_rows = space_of(program, given + index).kind == "rows"
            shape = (*rest, pieces) if is_rows else (pieces, *rest)
            value = replace(step.value, shape=shape)
            first = recorder.add(replace(own, value=value, text=str(pieces)))
            axes = (len(rest),) if is_rows else (0,)
            own = replace(step, arguments=(first,), axes=axes)
        new.append(recorder.add(own))
    results: list[int] = []
    for number in program.results:
        value, result = program.value(number), new[number]
        # An input that is a result has memory of its own, as each of the results has.
        if number < given:
            result = recorder.add(Step("astype", (result,), value, value.dtype))
        while result in results:
            result = recorder.add(Step("astype", (result,), value, value.dtype))
        results.append(result)
    return recorder.program(results)


def _pieces(space: Space) -> int:
    if space.kind == "rows":
        few, least, blocks = _FEW, 2 * _LEAST_PIECE, space.rows
    else:
        few, least, blocks = _FEW_COLUMNS, 2 * _LEAST_ROWS, -(-space.rows // COLUMNS)
    if blocks >= few or space.columns < least:
        return 0
    return min(-(-space.columns // (least // 2)), -(-2 * few // blocks), _MOST_PIECES)


# --- which kernel computes what -------------------------------------------------------------------


class Schedule:
    """The parts of a program, in an order in which they can run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._stages: dict[int, int] = {}
        self._spaces: dict[int, Space] = {}
        self._parts: dict[tuple[Space, int], Part] = {}
        given = len(program.inputs)
        for index, step in enumerate(program.steps):
            if is_reduction(step):
                self._place_reduction(given + index)
        for number in dict.fromkeys(program.results):
            if number in self._stages:
                self._store(number)
            else:
                self._place_result(number)
        for part in list(self._parts.values()):
            for number in self._read_from_memory(part):
                self._store(number)
        self.parts = sorted(self._parts.values(), key=lambda part: part.stage)

    def _part(self, space: Space, stage: int) -> Part:
        return self._parts.setdefault((space, stage), Part(space, stage))

    def _store(self, number: int) -> None:
        part = self._part(self._spaces[number], self._stages[number])
        if number not in part.stores:
            part.stores.append(number)

    def is_inside(self, number: int, places: Places, space: Space, stage: int) -> bool:
        """Whether a reduction is at hand where a kernel reads it."""
        if self._spaces[number] != space or self._stages[number] != stage or space.pieces:
            return False
        return all(
            place == wanted
            for place, wanted in zip(places, result_places(self.program, number), strict=True)
        )

    def _place_reduction(self, number: int) -> None:
        step = self.program.step(number)
        assert step is not None
        space = self._spaces[number] = space_of(self.program, number)
        source = step.arguments[0]
        places = own_places(self.program.value(source).shape)
        found = list(self._reductions(source, places))
        stage = 0
        for other, where in found:
            self._stages[number] = self._stages[other]
            inside = space.kind == "rows" and self.is_inside(
                other, where, space, self._stages[other]
            )
            stage = max(stage, self._stages[other] + (not inside))
        self._stages[number] = stage
        self._part(space, stage).reductions.append(number)

    def _place_result(self, number: int) -> None:
        """What is no reduction is written where its reductions are made, or by itself."""
        shape = self.program.value(number).shape
        sizes = tuple([size for size in shape if size != 1])
        stage = 0
        for space in dict.fromkeys(self._spaces[n] for n, _ in self._reductions(number, None)):
            places = stored_places(space, shape)
            if places is None or space.pieces:
                continue
            found = list(self._reductions(number, places))
            at = max(self._stages[n] for n, _ in found)
            inside = {n for n, where in found if self.is_inside(n, where, space, at)}
            if inside and all(n in inside or self._stages[n] < at for n, _ in found):
                self._part(space, at).stores.append(number)
                return
        for other, _ in self._reductions(number, None):
            stage = max(stage, self._stages[other] + 1)
        self._part(Space("elementwise", sizes), stage).stores.append(number)

    def _reductions(self, number: int, places: Places | None) -> Iterator[tuple[int, Places]]:
        """The reductions that a value is computed of, and where their axes lie."""
        if places is None:
            places = own_places(self.program.value(number).shape)
        waiting, seen = [(number, places)], set()
        while waiting:
            item = waiting.pop()
            if item in seen:
                continue
            seen.add(item)
            step = self.program.step(item[0])
            if step is None:
                continue
            if is_reduction(step):
                yield item
                continue
            for index, argument in enumerate(step.arguments):
                waiting.append((argument, argument_places(self.program, step, index, item[1])))

    def _read_from_memory(self, part: Part) -> Iterator[int]:
        """The reductions of other kernels that this one reads."""
        roots = [(n, stored_places(part.space, self.program.value(n).shape)) for n in part.stores]
        roots = [root for root in roots if root[0] not in part.reductions]
        for number in part.reductions:
            step = self.program.step(number)
            assert step is not None
            source = step.arguments[0]
            roots.append((source, own_places(self.program.value(source).shape)))
        for number, places in roots:
            for other, where in self._reductions(number, places):
                if not self.is_inside(other, where, part.space, part.stage):
                    yield other


def stored_places(space: Space, shape: Sizes) -> Places | None:
    """Where the axes of a value lie that a kernel writes: in all of its space, or what is kept."""
    sizes = tuple([size for size in shape if size != 1])
    for axes in (tuple(range(len(space.sizes))), space.kept):
        if space.kind == "columns" and len(axes) == len(space.sizes):
            continue
        if sizes == tuple([space.sizes[axis] for axis in axes]):
            places = iter(axes)
            return tuple([-1 if size == 1 else next(places) for size in shape])
    return None
