"""Attention as one kernel of a GPU: its scores are never written to memory.

The text stands in `attention_text`; here it is decided how arrays meet it, and when it is worth it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any

import numpy as np

from tfsession.core.rules import fuser
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.code_library import CodeLibrary, code_library
from tfsession.devices.gemm import AMPERE, may_round_to_tf32
from tfsession.devices.nvrtc import CompilationError
from tfsession.devices.program import Value
from tfsession.kernels.cuda.attention_text import ARGUMENTS, EXACT, SHARED, TENSOR_CORES
from tfsession.kernels.cuda.body import Argument, Array, Launch
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.expressions import STORED
from tfsession.kernels.cuda.fused import ALIGNMENT, Plan, layout_of

__all__ = ["OPTIONS", "Attention", "Way", "planned"]

# Products and sums of scores may be contracted, as those of a library of products are.
OPTIONS = ("--std=c++17",)
# Threads of a block, and blocks that a multiprocessor shall hold at once: with less, numbers would
# be put aside that there is room for in registers.
_THREADS, _RESIDENT = 128, 2
_MOST_PLANS, _MOST_DEPTH = 64, 128
_MOST_BLOCKS = (1 << 31) - 1
# Scores of more bytes than this leave the second cache between the kernels that would make and
# read them: four times through memory. It is 40 MiB on cards of compute capability 8.0, 50 on 9.0.
_FAR = 32 << 20
# With so many blocks a card has work enough; keys so few that a block is done in a few turns.
_MANY_BLOCKS, _FEW_KEYS = 64, 256
# Multiplications and additions that take no longer than to start the kernels that are saved.
_SOON = 50_000_000


@dataclass(frozen=True)
class Way:
    """How the scores of an attention are made: their scale, and whether there is a mask."""

    scale: float
    is_masked: bool
    rounds: bool = False  # float32 to TF32, where tensor cores multiply it

    def by_tensor_cores(self, dtype: str) -> bool:
        """Whether numbers of this dtype are multiplied there."""
        return dtype != "float32" or self.rounds


def _is_worth_it(way: Way, q: Array, k: Array) -> bool:
    """Whether one kernel should take less time than two products and a softmax.

    By what is moved and multiplied: the products make a matrix of scores, softmax reads it and
    writes another one, and the last product reads that. Beyond the cache this costs more than all
    else where tensor cores multiply. Without them the time goes into multiplications, in which the
    library is better the deeper the heads are: there it is worth it for shallow ones, and for
    problems so small that three starts of kernels cost more than what they do.
    """
    batch, (m, d), n = prod(q.shape[:-2]), q.shape[-2:], k.shape[-2]
    blocks = batch * -(-m // _rows(way, q.dtype, d))
    scores = batch * m * n
    is_small = 2 * scores * d <= _SOON and n <= _FEW_KEYS
    if way.by_tensor_cores(q.dtype):
        return is_small or n <= _FEW_KEYS or blocks >= _MANY_BLOCKS
    return is_small or (d <= _MOST_DEPTH // 4 and 4 * scores >= _FAR and blocks >= _MANY_BLOCKS)


def _rows(way: Way, dtype: str, depth: int) -> int:
    """The rows of Q that a block has."""
    return 32 if depth > 64 and not way.by_tensor_cores(dtype) else 64


def _spread(array: Array, batch: Sequence[int]) -> Array:
    """Matrices as they lie in a batch of two dimensions, over some of which they are repeated."""
    missing = 4 - len(array.shape)
    shape = (*([1] * missing), *array.shape)
    strides = (*([0] * missing), *array.strides)
    ends = (*batch, *shape[2:])
    steps = [0 if own == 1 else step for own, step in zip(shape, strides, strict=True)]
    return replace(array, shape=ends, strides=tuple(steps))


def _is_wide(array: Array) -> bool:
    """Whether rows can be read 16 bytes at a time, none of which leaves its row."""
    lanes = 8 if array.dtype != "float32" else 4
    *steps, last = array.strides
    fits = (last == 1 or array.shape[-1] == 1) and array.shape[-1] % lanes == 0
    return fits and array.is_aligned and not any(step % lanes for step in steps)


def planned(way: Way, arrays: Sequence[Array]) -> Calls | None:
    """The call of the kernel for Q, K, V, each by rows, and the mask; None where there is none.

    Arrays have two to four dimensions, the last two those of matrices.
    """
    q, k, v, *rest = arrays
    if not all(2 <= len(array.shape) <= 4 and 0 not in array.shape for array in arrays):
        return None
    (m, d), (n, dv) = q.shape[-2:], v.shape[-2:]
    if k.shape[-2:] != (n, d) or len({array.dtype for array in arrays}) > 1:
        return None
    rank = max(len(array.shape) for array in arrays[:3]) - 2
    try:
        batch = np.broadcast_shapes(*[array.shape[:-2] for array in arrays[:3]])
        scores = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), m, n)
        if rest and np.broadcast_shapes(rest[0].shape, scores) != scores:
            return None
    except ValueError:
        return None
    outer, inner = (1, 1, *batch)[-2:]
    depth = -(-max(d, dv) // 16) * 16
    blocks = outer * inner * -(-m // _rows(way, q.dtype, depth))
    if depth > _MOST_DEPTH or blocks > _MOST_BLOCKS or not isfinite(way.scale):
        return None
    q, k, v = (_spread(array, (outer, inner)) for array in (q, k, v))
    mask = _spread(rest[0], (outer, inner)) if rest else None
    numbers = {"inner": inner, "m": m, "n": n, "d": d, "dv": dv}
    numbers |= {"o_outer": inner * m * dv, "o_inner": m * dv}
    for letter, array in (("q", q), ("k", k), ("v", v), ("x", mask)):
        steps = array.strides if array is not None else (0, 0, 0, 0)
        for name, step in zip(("outer", "inner", "row", "column"), steps, strict=True):
            numbers[f"{letter}_{name}"] = step
    result = Value(q.dtype, (*batch[len(batch) - rank :], m, dv))
    is_wide = all(map(_is_wide, (q, k, v)))
    launch = _launch(way, q.dtype, depth, is_wide, numbers, blocks, len(arrays))
    return Calls((launch,), {len(arrays): result}, (len(arrays),))


def _launch(
    way: Way,
    dtype: str,
    depth: int,
    is_wide: bool,
    numbers: dict[str, int],
    blocks: int,
    given: int,
) -> Launch:
    stored = STORED[dtype]
    names = ["q", "k", "v", *(["mask"] if way.is_masked else [])]
    arguments = [
        Argument(f"const {stored}* __restrict__ {name}", place) for place, name in enumerate(names)
    ]
    arguments.append(Argument(f"{stored}* __restrict__ out", given))
    arguments += [Argument(f"const I {name}", number=numbers[name]) for name in ARGUMENTS]
    mask = "mask" if way.is_masked else f"(const {stored}*)nullptr"
    told = ", ".join(["q", "k", "v", mask, "out", *ARGUMENTS])
    kinds = f"{stored}, {depth}, {str(is_wide).lower()}, {str(way.is_masked).lower()}"
    number = "tf32" if way.rounds and dtype == "float32" else dtype
    name = f"{'masked_' if way.is_masked else ''}attention_{number}_{depth}"
    parameters = ",\n    ".join(argument.declaration for argument in arguments)
    text = [
        f"constexpr float SCALE = {np.float32(way.scale).item().hex()}f;",
        f"constexpr bool IS_BFLOAT16 = {str(dtype == 'bfloat16').lower()};",
        SHARED,
        TENSOR_CORES if way.by_tensor_cores(dtype) else EXACT,
        f'extern "C" __global__ void __launch_bounds__({_THREADS}, {_RESIDENT}) {name}(',
        f"    {parameters}) {{",
        f"  attend<{kinds}>({told});",
        "}",
        "",
    ]
    source = "\n".join(text)
    return Launch(source, name, (blocks, 1), (_THREADS, 1), tuple(arguments), "long long")


_log = logging.getLogger("tfsession")


@fuser("attention")
class Attention:
    """An attention; called with Q, K, V and the mask it gives the result, or None.

    `transposed` tells whether K comes with its columns as rows.
    """

    def __init__(self, xp: Any, scale: float, is_masked: bool, transposed: bool) -> None:
        self._xp = xp
        self._way = Way(scale, is_masked)
        self._transposed = transposed
        self._plans: dict[Any, Plan | None] = {}

    def __call__(self, q: Any, k: Any, v: Any, *mask: Any) -> Any:
        """The result in new memory; None where operations one after another are as good."""
        library = code_library(self._xp)
        if library is None:
            return None
        try:
            turned = k.swapaxes(-1, -2) if self._transposed and k.ndim >= 2 else k
            return self._launched(library, [q, turned, v, *mask])
        except CaptureRefused:
            raise
        except Exception:
            return None  # operations one after another tell what is wrong

    def _launched(self, library: CodeLibrary, arrays: Sequence[Any]) -> Any:
        card = self._xp.cuda.Device()
        capability = int(card.compute_capability)
        places = [array.data.ptr for array in arrays]
        rounds = may_round_to_tf32(capability)
        rows = zip(arrays, places, strict=True)
        key = card.id, rounds, *[(a.shape, a.strides, a.dtype, not p % ALIGNMENT) for a, p in rows]
        if key not in self._plans:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            way, layouts = replace(self._way, rounds=rounds), list(map(layout_of, arrays))
            self._plans[key] = self._plan(library, way, layouts, capability)
        plan = self._plans[key]
        if plan is None:
            return None
        return plan.run(self._xp, places)[0]

    def _plan(
        self, library: CodeLibrary, way: Way, layouts: Sequence[Array], capability: int
    ) -> Plan | None:
        if capability < AMPERE and way.by_tensor_cores(layouts[0].dtype):
            return None
        calls = planned(way, layouts)
        if calls is None or not _is_worth_it(way, layouts[0], layouts[1]):
            return None
        try:
            return Plan(library, calls, OPTIONS)
        except CompilationError as error:
            _log.warning("an attention is computed operation by operation: %s", error)
            return None
