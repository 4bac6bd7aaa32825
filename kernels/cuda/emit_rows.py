"""CUDA C of reductions along rows, with what is computed in the same rows before and behind them.

A short row is one warp's, a longer one a block's; each thread keeps its elements in registers, or
reads them anew for each reduction where they are too many. Sums are in a fixed order: elements by
thread, threads by a butterfly in their warp, warps one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tfsession.devices.program import Step
from tfsession.kernels.cuda.body import (
    Axes,
    Kernel,
    Launch,
    Operand,
    Statements,
    name_of,
    place_as_number,
    variable,
    wanted_lanes,
)
from tfsession.kernels.cuda.expressions import STORED, combined, neutral
from tfsession.kernels.cuda.schedule import (
    Part,
    Places,
    own_places,
    result_places,
    stored_places,
)

_WARP = 32
_WARPS_A_BLOCK = 8
# Elements of a row that a thread keeps in registers, and values of them.
_MOST_KEPT, _MOST_REGISTERS = 16, 96
# A warp goes through a row so often where it reads it anew.
_TURNS_ANEW = 4
_THREADS = (256, 512, 1024)


def emit_rows(kernel: Kernel, part: Part) -> Launch:
    """The kernel of a part whose reductions are along rows."""
    return _Rows(kernel, part).written()


class _Rows:
    """Writes one kernel.

    `phases` are the reductions by how many others of the kernel come before each.
    """

    def __init__(self, kernel: Kernel, part: Part) -> None:
        self.kernel = kernel
        self.part = part
        self.program = kernel.program
        self.reduced = frozenset(part.space.reduced)
        self.phases = self._find_phases()
        self.values = self._find_operands()
        operands = list(kernel.operands.values())
        self.columns = Axes.merged(kernel.space, part.space.reduced, operands)
        self.rows = Axes.merged(kernel.space, part.space.kept, operands)
        self._choose()
        self.read = [o for o in operands if not o.is_written]
        self.stored = {o.number: o for o in operands if o.is_written}
        self.row_offsets: dict[Operand, str] = {}
        self.statements = Statements(kernel, self._read, self._inside, self._write)
        self.inner: list[str] = []
        self.used: dict[Operand, None] = {}
        self.taken: set[str] = set()

    # --- what there is --------------------------------------------------------------------------

    def _source(self, number: int) -> tuple[int, Places]:
        step = self.program.step(number)
        assert step is not None
        source = step.arguments[0]
        return source, own_places(self.program.value(source).shape)

    def _is_inside(self, number: int, places: Places) -> bool:
        if number not in self.part.reductions or self.part.space.pieces:
            return False
        own = result_places(self.program, number)
        return places == own

    def _places_of(self, number: int) -> Places:
        places = stored_places(self.part.space, self.program.value(number).shape)
        assert places is not None
        return places

    def _find_phases(self) -> list[list[int]]:
        depths: dict[int, int] = {}
        for number in self.part.reductions:
            before: list[int] = []

            def inside(other: int, places: Places) -> str | None:
                if self._is_inside(other, places) and other in depths:
                    before.append(depths[other])  # noqa: B023
                    return "x"
                return None

            probe = Kernel(self.program, self.kernel.arrays, self.kernel.space)
            Statements(probe, lambda o: "x", inside, lambda *_: "x").value(*self._source(number))
            depths[number] = 1 + max(before, default=-1)
        phases: list[list[int]] = [[] for _ in range(1 + max(depths.values(), default=-1))]
        for number, depth in depths.items():
            phases[depth].append(number)
        return phases

    def _find_operands(self) -> int:
        """Note all that is read and written; gives how many values are made for each element."""
        made = 0

        def write(step: Step, places: Places, text: str) -> str:
            nonlocal made
            made += bool(self.reduced.intersection(places))
            return "x"

        def inside(number: int, places: Places) -> str | None:
            return "x" if self._is_inside(number, places) else None

        statements = Statements(self.kernel, lambda operand: "x", inside, write)
        for number in self.part.reductions:
            statements.value(*self._source(number))
        for number in self.part.stores:
            if number not in self.part.reductions:
                statements.value(number, self._places_of(number))
        for number in self.part.stores:
            self._written_operand(number)
        return made

    def _written_operand(self, number: int) -> None:
        if number in self.part.reductions:
            places = result_places(self.program, number)
            if self.part.space.pieces:
                places = (*places, -1)
            self.kernel.operand(number, places, is_written=True)
        else:
            self.kernel.operand(number, self._places_of(number), is_written=True)

    # --- how it is cut --------------------------------------------------------------------------

    def _choose(self) -> None:
        """Lanes, threads of a row, rows of a block, and groups of lanes that a thread keeps."""
        space = self.part.space
        moving = [o for o in self.kernel.operands.values() if o.moves(space.reduced)]
        self.lanes = self.columns.lanes(wanted_lanes(moving))
        if self.columns.count % self.lanes or self._kept_breaks():
            self.lanes = 1
        self.groups = self.columns.count // self.lanes
        kept_values = max(1, len([o for o in moving if not o.is_written]) + self.values)
        most = max(1, min(_MOST_KEPT, _MOST_REGISTERS // kept_values))
        turns = most // self.lanes
        self.pieces = space.pieces
        if not self.pieces and self.groups <= _WARP * max(turns, _TURNS_ANEW):
            self.threads, self.in_block = _WARP, _WARPS_A_BLOCK
        else:
            fits = [t for t in _THREADS if self.groups <= t * turns and not self.pieces]
            self.threads = fits[0] if fits else _THREADS[0 if self.pieces else -1]
            self.in_block = 1
        needed = -(-self.groups // self.threads)
        self.turns = needed if needed <= turns and not self.pieces else 0

    def _kept_breaks(self) -> bool:
        """Whether rows begin where no group of lanes may."""
        for operand, strides in self.rows.strides.items():
            if self.columns.strides[operand][-1] == 1 and any(s % self.lanes for s in strides):
                return True
        return False

    # --- text -----------------------------------------------------------------------------------

    def written(self) -> Launch:
        """The kernel."""
        kernel, rows = self.kernel, self.rows.count
        kernel.number("m", self.groups)
        if self.in_block > 1:
            kernel.number("rows", rows)
            kernel.add(
                f"const I row = (I)blockIdx.x * {self.in_block} + threadIdx.x / {_WARP};",
                f"const I lane = threadIdx.x % {_WARP};",
                "if (row >= rows) return;",
            )
        else:
            kernel.add("const I row = blockIdx.x;", "const I lane = threadIdx.x;")
        if self.pieces:
            kernel.number("piece", -(-self.groups // self.pieces))
            kernel.add("const I begin = (I)blockIdx.y * piece;")
            kernel.add("const I end = begin + piece < m ? begin + piece : m;")
        self.row_offsets = kernel.offsets(self.rows, "row", "r", 1)
        if self.turns:
            self._load_all()
        for phase in self.phases:
            self._reduce(phase)
        self._store_all()
        grid = (-(-rows // self.in_block), max(1, self.pieces))
        name = name_of("rows", self.program, [*self.part.stores, *self.part.reductions])
        return kernel.finished(name, (self.threads * self.in_block, 1), grid)

    def _inside(self, number: int, places: Places) -> str | None:
        return f"sum{number}" if self._is_inside(number, places) else None

    def _read(self, operand: Operand) -> str:
        if not self._moves(operand):
            if operand.is_places:
                return place_as_number(operand, self.row_offsets[operand], (0,))
            return f"loaded({operand.name}[{self.row_offsets[operand]}])"
        if self.turns:
            return f"{operand.name}_x[e]"
        if operand.is_places:
            self.used[operand] = None
            strides = self.columns.strides[operand]
            return place_as_number(operand, f"{operand.name}_place", strides)
        self.used[operand] = None
        return f"loaded({operand.name}_in.at[{'k' if self._width(operand) > 1 else '0'}])"

    def _moves(self, operand: Operand) -> bool:
        return any(self.columns.strides[operand])

    def _width(self, operand: Operand) -> int:
        return self.lanes if self.columns.strides[operand][-1] else 1

    def _write(self, step: Step, places: Places, text: str) -> str:
        """A statement: in the loop over elements, or before it where a row has it once."""
        kind, name = variable(step.value.dtype), f"t{len(self.statements.known)}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        if not self.reduced.intersection(places):
            self.kernel.add(f"const {kind} {name} = {text};")
        elif self.turns:
            self.kernel.add(f"{kind} {name}[{self.turns * self.lanes}];")
            name = f"{name}[e]"
            self.inner.append(f"{name} = {text};")
        else:
            self.inner.append(f"const {kind} {name} = {text};")
        return name

    def _begin(self) -> None:
        """Statements of a new loop over elements: what was in the last one is gone."""
        self.inner.clear()
        if not self.turns:
            self.used.clear()
            known = self.statements.known
            for item in [item for item in known if self.reduced.intersection(item[1])]:
                del known[item]

    def _packed(self, operand: Operand) -> str:
        return f"pack<{STORED[operand.dtype]}, {self._width(operand)}>"

    def _place(self, operand: Operand, offsets: Mapping[Operand, str]) -> str:
        return f"{operand.name} + ({self.row_offsets[operand]} + {offsets[operand]})"

    def _load_all(self) -> None:
        """Elements into registers."""
        kernel, lanes = self.kernel, self.lanes
        moving = [operand for operand in self.read if self._moves(operand)]
        for operand in moving:
            kernel.add(f"{variable(operand.dtype)} {operand.name}_x[{self.turns * lanes}] = {{}};")
        kernel.add("#pragma unroll")
        kernel.open(f"for (int g = 0; g < {self.turns}; ++g)")
        kernel.add(f"const I j = lane + (I)g * {self.threads};")
        loaded = [operand for operand in moving if not operand.is_places]
        for operand in loaded:
            kernel.add(f"{self._packed(operand)} {operand.name}_in = {{}};")
        kernel.open("if (j < m)")
        offsets = kernel.offsets(self.columns, "j", "c", lanes)
        for operand in moving:
            if operand.is_places:
                own = f"{self.row_offsets[operand]} + {offsets[operand]}"
                place = place_as_number(operand, own, self.columns.strides[operand])
                kernel.add(f"for (int k = 0; k < {lanes}; ++k)")
                kernel.add(f"  {operand.name}_x[g * {lanes} + k] = {place};")
        for operand in loaded:
            place = self._place(operand, offsets)
            kernel.add(f"{operand.name}_in = *(const {self._packed(operand)}*)({place});")
        kernel.close()
        kernel.add("#pragma unroll")
        kernel.open(f"for (int k = 0; k < {lanes}; ++k)")
        for operand in loaded:
            at = "k" if self._width(operand) > 1 else "0"
            kernel.add(f"{operand.name}_x[g * {lanes} + k] = loaded({operand.name}_in.at[{at}]);")
        kernel.close()
        kernel.close()

    def _loop(self, body: Callable[[Mapping[Operand, str]], None]) -> None:
        """Go through a row, its elements read anew."""
        kernel = self.kernel
        begin, end = ("begin", "end") if self.pieces else ("0", "m")
        kernel.open(f"for (I j = {begin} + lane; j < {end}; j += {self.threads})")
        offsets = kernel.offsets(self.columns, "j", "c", self.lanes)
        for operand in self.used:
            if operand.is_places:
                own = f"{self.row_offsets[operand]} + {offsets[operand]}"
                kernel.add(f"const I {operand.name}_place = {own};")
                continue
            held = self._packed(operand)
            place = self._place(operand, offsets)
            kernel.add(f"const {held} {operand.name}_in = *(const {held}*)({place});")
        body(offsets)
        kernel.close()

    def _lanes(self, *last: str) -> None:
        """The statements of each element of a group."""
        self.kernel.add("#pragma unroll")
        self.kernel.open(f"for (int k = 0; k < {self.lanes}; ++k)")
        self.kernel.add(*self.inner, *last)
        self.kernel.close()

    # --- reductions -----------------------------------------------------------------------------

    def _reduce(self, phase: list[int]) -> None:
        """Reductions that need nothing of each other; their results are known to all threads."""
        kernel = self.kernel
        self._begin()
        sources = {number: self.statements.value(*self._source(number)) for number in phase}
        turns = []
        for number, source in sources.items():
            step = self.program.step(number)
            assert step is not None
            kernel.add(f"{variable(step.loop)} a{number} = {neutral(step.name, step.loop)};")
            turns.append(f"a{number} = {self._joined(number, source)};")
        if self.turns:
            kernel.add("#pragma unroll")
            kernel.open(f"for (int e = 0; e < {self.turns * self.lanes}; ++e)")
            kernel.add(*self.inner)
            kernel.add(f"if (lane + (I)(e / {self.lanes}) * {self.threads} < m) {{")
            kernel.add(*[f"  {turn}" for turn in turns], "}")
            kernel.close()
        else:
            self._loop(lambda offsets: self._lanes(*turns))
        self._join_threads(phase)

    def _joined(self, number: int, other: str) -> str:
        step = self.program.step(number)
        assert step is not None
        text = combined(step.name, step.loop, f"a{number}", other)
        return f"({variable(step.loop)})({text})"

    def _join_threads(self, phase: list[int]) -> None:
        kernel = self.kernel
        kernel.add("#pragma unroll")
        kernel.open(f"for (int d = {_WARP // 2}; d > 0; d /= 2)")
        for number in phase:
            kernel.add(f"a{number} = {self._joined(number, f'shuffled(a{number}, d)')};")
        kernel.close()
        warps = self.threads // _WARP
        if self.in_block == 1 and warps > 1:
            for number in phase:
                kernel.add(f"__shared__ {self._kind(number)} s{number}[{warps}];")
                kernel.add(
                    f"if (threadIdx.x % {_WARP} == 0) s{number}[threadIdx.x / {_WARP}] = a{number};"
                )
            kernel.add("__syncthreads();")
            for number in phase:
                kernel.add(f"a{number} = s{number}[0];")
            kernel.open(f"for (int w = 1; w < {warps}; ++w)")
            for number in phase:
                kernel.add(f"a{number} = {self._joined(number, f's{number}[w]')};")
            kernel.close()
        for number in phase:
            kernel.add(f"const {self._kind(number)} sum{number} = a{number};")

    def _kind(self, number: int) -> str:
        return variable(self.program.value(number).dtype)

    # --- what is written ------------------------------------------------------------------------

    def _store_all(self) -> None:
        kernel = self.kernel
        self._begin()
        once, many = [], []
        for number in self.part.stores:
            operand = self.stored[number]
            if number in self.part.reductions:
                value = f"sum{number}"
            else:
                value = self.statements.value(number, self._places_of(number))
            (many if self._moves(operand) else once).append((operand, value))
        if once:
            kernel.open("if (lane == 0)")
            for operand, value in once:
                place = self.row_offsets[operand]
                if self.pieces:
                    place = f"({place}) + blockIdx.y"
                kernel.add(f"store({operand.name}[{place}], {value});")
            kernel.close()
        if not many:
            return
        if self.turns and self.inner:
            kernel.add("#pragma unroll")
            kernel.open(f"for (int e = 0; e < {self.turns * self.lanes}; ++e)")
            kernel.add(*self.inner)
            kernel.close()
        if not self.turns:
            self._loop(lambda offsets: self._store_group(many, offsets))
            return
        kernel.add("#pragma unroll")
        kernel.open(f"for (int g = 0; g < {self.turns}; ++g)")
        kernel.add(f"const I j = lane + (I)g * {self.threads};")
        kernel.open("if (j < m)")
        self.inner[:] = [f"const int e = g * {self.lanes} + k;"]
        self._store_group(many, kernel.offsets(self.columns, "j", "c", self.lanes))
        kernel.close()
        kernel.close()

    def _store_group(
        self, stores: list[tuple[Operand, str]], offsets: Mapping[Operand, str]
    ) -> None:
        kernel = self.kernel
        for operand, _ in stores:
            kernel.add(f"{self._packed(operand)} {operand.name}_out;")
        self._lanes(*[f"store({o.name}_out.at[k], {value});" for o, value in stores])
        for operand, _ in stores:
            place = self._place(operand, offsets)
            kernel.add(f"*({self._packed(operand)}*)({place}) = {operand.name}_out;")
