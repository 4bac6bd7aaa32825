"""Products of matrices on a GPU: what lies how in memory, for the library that multiplies.

`gemm_library(xp)` gives the library for the arrays of `xp`, and None where kernels shall multiply
by `xp.matmul`. Transposes and adjoints are views, which the library reads as they lie; batches that
lie evenly are one call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import c_double, c_float
from itertools import product as each_of
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np

from tfsession.core import forking
from tfsession.core.errors import InternalError
from tfsession.core.modes import modes
from tfsession.devices import cublaslt
from tfsession.devices.code_cache import folder
from tfsession.devices.cublaslt import (
    ADJOINT,
    AS_IT_IS,
    DEFAULT,
    TRANSPOSED,
    Algorithm,
    Kind,
    Library,
    Operand,
    Problem,
    Product,
)
from tfsession.devices.gemm_choices import Choices

__all__ = ["AMPERE", "GemmLibrary", "description", "gemm_library", "may_round_to_tf32"]

# cublasComputeType_t of float32, exactly and with factors rounded to TF32.
_FLOAT32, _TF32 = 68, 77
_KINDS: Final[dict[np.dtype[Any], Kind]] = {
    np.dtype(np.float32): Kind(0, 0, _FLOAT32, c_float),
    np.dtype(np.float64): Kind(1, 1, 70, c_double),
    np.dtype(np.float16): Kind(2, 0, _FLOAT32, c_float),
    np.dtype(ml_dtypes.bfloat16): Kind(14, 0, _FLOAT32, c_float),
    np.dtype(np.complex64): Kind(4, 4, _FLOAT32, lambda x: (c_float * 2)(x, 0)),
    np.dtype(np.complex128): Kind(5, 5, 70, lambda x: (c_double * 2)(x, 0)),
}
# NVIDIA's switch for all of its libraries, and TensorFlow's for the timing of algorithms.
_OVERRIDE, _AUTOTUNE = "NVIDIA_TF32_OVERRIDE", "TF_MATMUL_AUTOTUNE_ENABLE"
AMPERE, _HOPPER = 80, 90
_MUCH_WORKSPACE, _WORKSPACE = 32 << 20, 4 << 20
# Algorithms that are timed for a problem, and how often.
_CANDIDATES, _TURNS = 6, 3
# Products that are kept described; calls for one product before its batches are laid out anew.
_MOST, _MOST_CALLS = 4096, 32
# Addresses that are multiples of this are as good as any.
_ALIGNED = 256


class _Side(NamedTuple):
    """One side of a product: an array, how each matrix lies, the steps along the batch."""

    array: Any
    operation: int
    lead: int
    steps: tuple[int, ...]


def _order_of(array: Any, prefers: int) -> tuple[int, int] | None:
    """How matrices lie, rows after rows or transposed so, with the step from one to the next.

    None where they do neither; where they do both, it is the one that is preferred.
    """
    rows, columns = array.shape[-2:]
    size = array.dtype.itemsize
    down, across = (step // size for step in array.strides[-2:])
    found = {}
    if (across == 1 or columns == 1) and (rows == 1 or down >= columns):
        found[AS_IT_IS] = down if rows > 1 else columns
    if (down == 1 or rows == 1) and (columns == 1 or across >= rows):
        found[TRANSPOSED] = across if columns > 1 else rows
    if not found:
        return None
    order = prefers if prefers in found else next(iter(found))
    return order, found[order]


def _steps(array: Any, ndim: int) -> list[int]:
    """Elements from one index to the next along each dimension, 0 along those that are spread."""
    size = array.dtype.itemsize
    own = [
        0 if length == 1 else step // size
        for length, step in zip(array.shape, array.strides, strict=True)
    ]
    return [0] * (ndim - len(own)) + own


def _collapsed(batch: Sequence[int], *steps: Sequence[int]) -> list[tuple[int, ...]]:
    """The dimensions of a batch with their steps, those joined that lie as one."""
    joined: list[tuple[int, ...]] = []
    for size, *own in zip(batch, *steps, strict=True):
        if size == 1:
            continue
        if joined and all(a == b * size for a, b in zip(joined[-1][1:], own, strict=True)):
            joined[-1] = (joined[-1][0] * size, *own)
        else:
            joined.append((size, *own))
    return joined


def _alignment(bits: int) -> int:
    """What divides all numbers of which these are the joined bits, as far as it matters."""
    return min(_ALIGNED, bits & -bits) if bits else _ALIGNED


def may_round_to_tf32(capability: int) -> bool:
    """Whether factors of float32 may be rounded to TF32 on a card of this capability."""
    is_wanted = modes.tensor_float_32 and os.environ.get(_OVERRIDE) != "0"
    return is_wanted and capability >= AMPERE


class GemmLibrary:
    """cuBLASLt on one card, with the algorithms that were chosen there."""

    def __init__(self, library: Library, capability: int, name: str, choices: Choices) -> None:
        self._library, self._choices = library, choices
        self._tells = f"{name}/{capability}/{library.version}"
        self._capability = capability
        self._most = _MUCH_WORKSPACE if capability >= _HOPPER else _WORKSPACE
        self._lock = forking.rlock()
        self._known: dict[Problem, tuple[Product, Algorithm | None]] = {}

    def multiply(
        self,
        xp: Any,
        left: Any,
        right: Any,
        out: Any = None,
        *,
        conjugates: tuple[bool, bool] = (False, False),
        epilogue: int = DEFAULT,
        vector: Any = None,
    ) -> Any:
        """The products of the matrices in the last two dimensions of two arrays.

        Args:
            xp: the module of the arrays.
            left: matrices; other dimensions are broadcast against those of `right`.
            right: matrices of the same dtype.
            out: where to put the products, instead of new memory.
            conjugates: whether the numbers of a side are conjugated.
            epilogue: what is done to the product, of cublasLtEpilogue_t.
            vector: the bias that is added to each row; or where its gradient is put, the sum of the
                rows of `right`.

        Returns:
            The products; None where the library cannot compute them, or shapes do not match.
        """
        kind = _KINDS.get(left.dtype)
        if kind is None or right.dtype != left.dtype or left.ndim < 2 or right.ndim < 2:
            return None
        if left.shape[-1] != right.shape[-2] or (epilogue != DEFAULT and left.dtype.kind == "c"):
            return None
        try:
            batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        except ValueError:
            return None
        shape = (*batch, left.shape[-2], right.shape[-1])
        if not left.size or not right.size or not prod(shape):
            return None
        if out is not None and (out.shape != shape or out.dtype != left.dtype):
            return None
        target = out
        if out is None or not _lies_by_rows(out):
            target = xp.empty(shape, left.dtype)
        sides = self._side(xp, left, conjugates[0]), self._side(xp, right, conjugates[1])
        call = _Call(xp, *sides, target, vector, min(self._most, getattr(xp, "room", self._most)))
        if not call.prepare(batch):
            left, right = (
                xp.ascontiguousarray(xp.broadcast_to(a, (*batch, *a.shape[-2:])))
                for a in (xp.conj(left) if conjugates[0] else left,
                          xp.conj(right) if conjugates[1] else right)
            )  # fmt: skip
            return self.multiply(xp, left, right, out, epilogue=epilogue, vector=vector)
        # Vectors are read once: to round them would gain nothing, and sums that kernels compute as
        # products would be wrong.
        is_exact = 1 in shape[-2:]
        problem = call.problem(kind.data, self._compute(kind, is_exact), epilogue)
        found = self._product(problem, kind, call)
        if found is None:
            return None
        call.run(*found)
        if target is out or out is None:
            return target
        out[...] = target
        return out

    def _compute(self, kind: Kind, is_exact: bool) -> int:
        """How exactly to multiply: float32 itself may be rounded to TF32 first."""
        may = not is_exact and kind.data in (0, 4)
        return _TF32 if may and may_round_to_tf32(self._capability) else kind.compute

    def _side(self, xp: Any, array: Any, conjugate: bool) -> _Side:
        """How an array lies, or a copy of it that lies as the library can read it."""
        order = _order_of(array, TRANSPOSED if conjugate else AS_IT_IS)
        if order is None or (conjugate and order[0] != TRANSPOSED):
            copied = xp.conj(array) if conjugate else array
            return self._side(xp, xp.ascontiguousarray(copied), False)
        operation = ADJOINT if conjugate else order[0]
        return _Side(array, operation, order[1], tuple(_steps(array, array.ndim)[:-2]))

    # --- how it is computed -----------------------------------------------------------------------

    def _product(
        self, problem: Problem, kind: Kind, call: _Call
    ) -> tuple[Product, Algorithm] | None:
        """The product as the library has it, and how to compute it; None where it cannot."""
        known = self._known.get(problem)
        if known is None:
            with self._lock:
                known = self._known.get(problem) or self._choose(problem, kind, call)
        product, algorithm = known
        return None if algorithm is None else (product, algorithm)

    def _choose(
        self, problem: Problem, kind: Kind, call: _Call
    ) -> tuple[Product, Algorithm | None]:
        key = f"{self._tells}/{problem!r}"
        kind = kind._replace(compute=problem.compute)
        product = Product(self._library, problem, kind)
        kept = self._choices.get(key)
        if kept is not None and self._library.fits(product, kept):
            return self._note(problem, product, kept)
        proposals = self._library.proposals(
            product, problem.workspace, _CANDIDATES, call.vector_address
        )
        if not proposals:
            return self._note(problem, product, None)
        if len(proposals) > 1 and os.environ.get(_AUTOTUNE, "1").lower() not in ("0", "false"):
            if call.stream.is_capturing():  # timed when it comes again outside of a capture
                return product, proposals[0]
            proposals = self._by_time(product, proposals, call)
            self._choices.put(key, proposals[0])
        return self._note(problem, product, proposals[0])

    def _note(
        self, problem: Problem, product: Product, algorithm: Algorithm | None
    ) -> tuple[Product, Algorithm | None]:
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[problem] = product, algorithm
        return product, algorithm

    def _by_time(
        self, product: Product, proposals: Sequence[Algorithm], call: _Call
    ) -> list[Algorithm]:
        """The algorithms, the fastest first; they write the same product each time."""
        times: list[tuple[float, int]] = []
        for number, algorithm in enumerate(proposals):
            try:
                times.append((call.time(product, algorithm), number))
            except InternalError:
                continue
        if not times:
            raise InternalError(None, None, "cuBLASLt refuses all algorithms that it proposed")
        return [proposals[number] for _, number in sorted(times)]


def _lies_by_rows(array: Any) -> bool:
    order = _order_of(array, AS_IT_IS)
    return order is not None and order[0] == AS_IT_IS


class _Call:
    """The arrays of a product, and the addresses at which its batches lie."""

    def __init__(
        self, xp: Any, left: _Side, right: _Side, out: Any, vector: Any, workspace: int
    ) -> None:
        self._xp, self._left, self._right, self._out = xp, left, right, out
        # As much for any algorithm: what is allocated is the same while they are timed, in each
        # step, and while a step is recorded.
        self._room = xp.empty(workspace, np.uint8)
        self.stream = xp.cuda.get_current_stream()
        self.vector_address = 0 if vector is None else int(vector.data.ptr)
        self._addresses = [int(a.data.ptr) for a in (right.array, left.array, out)]
        self._item = out.dtype.itemsize
        # The batch that one call multiplies: its size, and the steps of left, right and result.
        self._inner: tuple[int, ...] = (1, 0, 0, 0)
        self._outer: list[tuple[int, ...]] = []

    def prepare(self, batch: tuple[int, ...]) -> bool:
        """Find what of the batch is one call; False where that are too many calls."""
        steps = [
            (0,) * (len(batch) - len(side.steps)) + side.steps for side in (self._left, self._right)
        ]
        groups = _collapsed(batch, *steps, _steps(self._out, self._out.ndim)[:-2])
        if groups:
            self._inner = max(groups)
            groups.remove(self._inner)
        self._outer = groups
        return prod(group[0] for group in groups) <= _MOST_CALLS

    def problem(self, data: int, compute: int, epilogue: int) -> Problem:
        """All that decides how one call computes."""
        out, (left, right) = self._out, (self._left, self._right)
        rows, columns = out.shape[-2:]
        inner = left.array.shape[-1]
        batch, left_step, right_step, out_step = self._inner
        _, out_lead = _order_of(out, AS_IT_IS) or (0, 0)
        left_lead = left.lead
        if batch > 1 and not right_step and left.operation == AS_IT_IS:
            # All batches meet the same matrix: their rows are those of one.
            if rows == 1:
                left_lead, out_lead = left_step, out_step
            if (left_step, out_step) == (rows * left_lead, rows * out_lead) and left_lead >= inner:
                rows, batch, left_step, out_step = rows * batch, 1, 0, 0
        bits = [
            address | self._bits(column)
            for address, column in zip(self._addresses, (2, 1, 3), strict=True)
        ]
        return Problem(
            *(data, compute, epilogue, columns, rows, inner, batch),
            Operand(right.operation, right.lead, right_step),
            Operand(left.operation, left_lead, left_step),
            Operand(AS_IT_IS, out_lead, out_step),
            (*(_alignment(found) for found in bits), _alignment(self.vector_address)),
            int(self._room.size),
        )

    def _bits(self, column: int) -> int:
        bits = 0
        for group in self._outer:
            bits |= group[column] * self._item
        return bits

    def run(self, product: Product, algorithm: Algorithm) -> None:
        """Queue all calls."""
        workspace = int(self._room.data.ptr)
        right, left, out = self._addresses
        stream, item = int(self.stream.ptr), self._item
        for index in each_of(*(range(group[0]) for group in self._outer)):
            moved = [
                item * sum(i * group[column] for i, group in zip(index, self._outer, strict=True))
                for column in (1, 2, 3)
            ]
            addresses = right + moved[1], left + moved[0], out + moved[2]
            product.run(algorithm, addresses, workspace, stream, self.vector_address)

    def time(self, product: Product, algorithm: Algorithm) -> float:
        """Milliseconds that an algorithm takes, on a card that does other work perhaps."""
        cuda = self._xp.cuda
        self.run(product, algorithm)
        begin, end = cuda.Event(), cuda.Event()
        begin.record(self.stream)
        for _ in range(_TURNS):
            self.run(product, algorithm)
        end.record(self.stream)
        end.synchronize()
        return float(cuda.get_elapsed_time(begin, end))


# --- finding it -----------------------------------------------------------------------------------

_libraries: dict[int, GemmLibrary | None] = {}
_lock = forking.lock()


def gemm_library(xp: Any) -> GemmLibrary | None:
    """The library that multiplies arrays of `xp` on the current card; None where there is none."""
    cuda = None if xp is np else getattr(xp, "cuda", None)
    if cuda is None:
        return None
    number = cuda.runtime.getDevice()
    if number not in _libraries:
        with _lock:
            if number not in _libraries:
                _libraries[number] = _made(cuda)
    return _libraries[number]


def _made(cuda: Any) -> GemmLibrary | None:
    loaded = cublaslt.load()
    if loaded is None:
        return None
    card = cuda.Device()
    name = cuda.runtime.getDeviceProperties(card.id)["name"]
    try:
        path: Path | None = folder() / "gemm.json"
    except RuntimeError:  # no home
        path = None
    choices = Choices(path)
    told = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return GemmLibrary(Library(loaded), int(card.compute_capability), told, choices)


def description() -> str:
    """The library in a line, or that there is none; makes no CUDA context."""
    loaded = cublaslt.load()
    if loaded is None:
        return "not installed"
    version = int(loaded[1].cublasLtGetVersion())
    return f"cuBLASLt {version // 10000}.{version // 100 % 100}.{version % 100}"
