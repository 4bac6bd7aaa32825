"""Attention as one kernel of a GPU: its scores are never written to memory.

The text stands in `attention_text`; here it is decided how arrays meet it, and when it is worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from tfsession.core.rules import fuser
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.code_library import CodeLibrary, code_library
from tfsession.devices.gemm import AMPERE, may_round_to_tf32
from tfsession.devices.program import Value
from tfsession.kernels.cuda import attention_changes, attention_graph
from tfsession.kernels.cuda.attention_changes import Change, Told, changes_of
from tfsession.kernels.cuda.attention_text import ARGUMENTS, EXACT, SHARED, TENSOR_CORES
from tfsession.kernels.cuda.body import Argument, Array, Launch
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.expressions import STORED
from tfsession.kernels.cuda.fused import ALIGNMENT, Plan, layout_of

__all__ = ["OPTIONS", "Attention", "Way", "batches", "is_wide", "planned", "spread", "way_text"]

# Products and sums of scores may be contracted, as those of a library of products are.
OPTIONS = ("--std=c++17",)
# Threads of a block, and blocks that a multiprocessor shall hold at once: with less, numbers would
# be put aside that there is room for in registers.
_THREADS, _RESIDENT = 128, 2
_MOST_PLANS, _MOST_DEPTH = 64, 128
KEPT = "complex64"
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
    """How an attention is computed.

    Attributes:
        changes: what is done to scores before softmax.
        shares: what is done behind it, each of which leaves a zero what it is.
        rounds: whether float32 is rounded to TF32, where tensor cores multiply it.
        keeps: whether gradients need what is known of each row.
    """

    changes: tuple[Change, ...] = ()
    shares: tuple[Change, ...] = ()
    rounds: bool = False
    keeps: bool = False

    def by_tensor_cores(self, dtype: str) -> bool:
        """Whether numbers of this dtype are multiplied there."""
        return dtype != "float32" or self.rounds

    def name(self, dtype: str, depth: int) -> str:
        """What the kernel for heads of this depth is called."""
        number = "tf32" if self.rounds and dtype == "float32" else dtype
        is_masked = any(change.takes_array for change in self.changes)
        kinds = ["masked_"] * is_masked + ["dropped_"] * bool(self.shares)
        return f"{''.join(kinds)}attention_{number}_{depth}"


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
    if way.keeps:  # gradients have blocks of keys, too
        longest = max(m, n)
        blocks = min(blocks, batch * -(-n // 64))
        return longest <= _FEW_KEYS or blocks >= _MANY_BLOCKS
    if way.by_tensor_cores(q.dtype):
        return is_small or n <= _FEW_KEYS or blocks >= _MANY_BLOCKS
    return is_small or (d <= _MOST_DEPTH // 4 and 4 * scores >= _FAR and blocks >= _MANY_BLOCKS)


def _rows(way: Way, dtype: str, depth: int) -> int:
    """The rows of Q that a block has."""
    return 32 if depth > 64 and not way.by_tensor_cores(dtype) else 64


def spread(array: Array, batch: Sequence[int]) -> Array:
    """Matrices as they lie in a batch of two dimensions, over some of which they are repeated."""
    missing = 4 - len(array.shape)
    shape = (*([1] * missing), *array.shape)
    strides = (*([0] * missing), *array.strides)
    ends = (*batch, *shape[2:])
    steps = [0 if own == 1 else step for own, step in zip(shape, strides, strict=True)]
    return replace(array, shape=ends, strides=tuple(steps))


def is_wide(array: Array) -> bool:
    """Whether rows can be read 16 bytes at a time, none of which leaves its row."""
    lanes = 8 if array.dtype != "float32" else 4
    *steps, last = array.strides
    fits = (last == 1 or array.shape[-1] == 1) and array.shape[-1] % lanes == 0
    return fits and array.is_aligned and not any(step % lanes for step in steps)


def batches(
    way: Way, arrays: Sequence[Array]
) -> tuple[tuple[int, ...], tuple[int, int], list[Array]] | None:
    """For Q, K, V, each by rows, and the arrays of changes: the batch, and it as two dimensions.

    The third are the arrays spread over it. None where they do not fit, or there is no kernel.
    """
    q, k, v, *rest = arrays
    if not all(0 not in array.shape and len(array.shape) <= 4 for array in arrays):
        return None
    if min(len(array.shape) for array in (q, k, v)) < 2 or len({q.dtype, k.dtype, v.dtype}) > 1:
        return None
    (m, d), (n, dv) = q.shape[-2:], v.shape[-2:]
    if k.shape[-2:] != (n, d) or -(-max(d, dv) // 16) * 16 > _MOST_DEPTH:
        return None
    if not attention_changes.is_possible((*way.changes, *way.shares), rest, q.dtype):
        return None
    try:
        batch = np.broadcast_shapes(*[array.shape[:-2] for array in (q, k, v)])
        scores = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), m, n)
        if any(np.broadcast_shapes(array.shape, scores) != scores for array in rest):
            return None
    except ValueError:
        return None
    outer, inner = (1, 1, *batch)[-2:]
    return batch, (outer, inner), [spread(array, (outer, inner)) for array in arrays]


def planned(way: Way, arrays: Sequence[Array]) -> Calls | None:
    """The call of the kernel for Q, K, V, each by rows, and arrays of changes; None without one.

    Arrays have two to four dimensions, the last two those of matrices. It gives the result, and
    where that is asked for what is kept of each row: what its scores were shifted by, and one over
    the sum of its powers, as one number of dtype `KEPT`, which nothing else here is of.
    """
    found = batches(way, arrays)
    if found is None or (way.keeps and not way.by_tensor_cores(arrays[0].dtype)):
        return None
    if way.keeps and len({array.shape[:-2] for array in arrays[:3]}) > 1:
        return None  # gradients are summed up where what they are of was spread
    batch, (outer, inner), (q, k, v, *masks) = found
    (m, d), (n, dv) = q.shape[-2:], v.shape[-2:]
    blocks = outer * inner * -(-m // _rows(way, q.dtype, -(-max(d, dv) // 16) * 16))
    if blocks > _MOST_BLOCKS:
        return None
    numbers = {"inner": inner, "m": m, "n": n, "d": d, "dv": dv}
    numbers |= {"o_outer": inner * m * dv, "o_inner": m * dv}
    for letter, array in (("q", q), ("k", k), ("v", v)):
        for name, step in zip(("outer", "inner", "row", "column"), array.strides, strict=True):
            numbers[f"{letter}_{name}"] = step
    given = len(arrays)
    results = {given: Value(q.dtype, (*batch, m, dv))}
    if way.keeps:
        results[given + 1] = Value(KEPT, (*batch, m))
    return Calls((_launch(way, [q, k, v, *masks], numbers, blocks),), results, tuple(results))


def way_text(way: Way, dtype: str, masks: Sequence[Array]) -> list[str]:
    """What the text of kernels begins with."""
    return [
        f"constexpr bool IS_BFLOAT16 = {str(dtype == 'bfloat16').lower()};",
        f"constexpr bool KEEPS = {str(way.keeps).lower()};",
        SHARED,
        attention_changes.text(way.changes, way.shares, [mask.dtype for mask in masks]),
    ]


def _launch(way: Way, arrays: Sequence[Array], numbers: dict[str, int], blocks: int) -> Launch:
    q, _, v, *masks = arrays
    dtype, given = q.dtype, len(arrays)
    stored = STORED[dtype]
    depth = -(-max(q.shape[-1], v.shape[-1]) // 16) * 16
    arguments = [
        Argument(f"const {stored}* __restrict__ {name}", place) for place, name in enumerate("qkv")
    ]
    arguments.append(Argument(f"{stored}* __restrict__ out", given))
    if way.keeps:
        arguments.append(Argument("float* __restrict__ kept_sums", given + 1))
    arguments += attention_changes.arguments(masks, 3)
    arguments += [Argument(f"const I {name}", number=numbers[name]) for name in ARGUMENTS]
    kept = "kept_sums" if way.keeps else "(float*)nullptr"
    told = ["q", "k", "v", "out", kept, attention_changes.told(len(masks)), *ARGUMENTS]
    kinds = f"{stored}, {depth}, {str(all(map(is_wide, arrays[:3]))).lower()}"
    name = way.name(dtype, depth)
    text = [
        *way_text(way, dtype, masks),
        TENSOR_CORES if way.by_tensor_cores(dtype) else EXACT,
        f'extern "C" __global__ void __launch_bounds__({_THREADS}, {_RESIDENT}) {name}(',
        "    " + ",\n    ".join(argument.declaration for argument in arguments) + ") {",
        f"  attend<{kinds}>({', '.join(told)});",
        "}",
        "",
    ]
    grid, block = (blocks, 1), (_THREADS, 1)
    return Launch("\n".join(text), name, grid, block, tuple(arguments), "long long")


class Planned:
    """Calls of kernels for arrays on a card; one for each kind of arrays is remembered."""

    def __init__(self, xp: Any, way: Way) -> None:
        self._xp = xp
        self._way = way
        self._plans: dict[Any, Plan | None] = {}

    def launched(self, arrays: Sequence[Any]) -> list[Any] | None:
        """The results for arrays; None where there is no code, or it is not worth it."""
        library = code_library(self._xp)
        if library is None:
            return None
        card = library.card
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
        return None if plan is None else plan.run(self._xp, places)

    def _plan(
        self, library: CodeLibrary, way: Way, layouts: Sequence[Array], capability: int
    ) -> Plan | None:
        if capability < AMPERE and way.by_tensor_cores(layouts[0].dtype):
            return None
        calls = self._calls(way, layouts)
        if calls is None:
            return None
        otherwise = "an attention is computed operation by operation"
        return Plan.of(library, calls, otherwise, OPTIONS)

    def _calls(self, way: Way, layouts: Sequence[Array]) -> Calls | None:
        raise NotImplementedError


@fuser("attention")
class Attention(Planned):
    """An attention; called with Q, K, V and the arrays of changes it gives the result, or None.

    Where it `keeps` it gives with it what is known of each row, for the gradients. `transposed`
    tells whether K comes with its columns as rows.
    """

    def __init__(
        self,
        xp: Any,
        changes: Sequence[Told],
        shares: Sequence[Told],
        transposed: bool,
        keeps: bool = False,
    ) -> None:
        super().__init__(xp, Way(changes_of(changes), changes_of(shares), keeps=keeps))
        self._transposed = transposed

    def __call__(self, q: Any, k: Any, v: Any, *masks: Any) -> Any:
        """The result in new memory; None where operations one after another are as good."""
        try:
            turned = k.swapaxes(-1, -2) if self._transposed and k.ndim >= 2 else k
            arrays = [q, turned, v, *masks]
            if not (self._way.keeps or self._way.shares):
                by_graph = attention_graph.attended(self._xp, self._way.changes, arrays)
                if by_graph is not None:
                    return by_graph
            found = self.launched(arrays)
        except CaptureRefused:
            raise
        except Exception:
            return None  # operations one after another tell what is wrong
        if found is None:
            return None
        return tuple(found) if self._way.keeps else found[0]

    def _calls(self, way: Way, layouts: Sequence[Array]) -> Calls | None:
        calls = planned(way, layouts)
        if calls is None or not _is_worth_it(way, layouts[0], layouts[1]):
            return None
        return calls
