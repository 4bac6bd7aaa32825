"""The gradients of attention as two kernels of a GPU, which make its shares again.

The text stands in `attention_gradient_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.rules import fuser
from tfsession.devices.program import Value
from tfsession.kernels.cuda import attention_changes
from tfsession.kernels.cuda.attention import Planned, Way, batches, is_wide, spread, way_text
from tfsession.kernels.cuda.attention_changes import Told, changes_of
from tfsession.kernels.cuda.attention_gradient_text import ARGUMENTS, POINTERS, TEXT
from tfsession.kernels.cuda.body import Argument, Array, Launch
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.expressions import STORED

__all__ = ["AttentionGradient", "planned"]

# Blocks that a multiprocessor shall hold at once.
_RESIDENT = 2
_MOST_BLOCKS = (1 << 31) - 1


def _warps(dtype: str, depth: int) -> int:
    """The warps of a block, as the text has them."""
    return 4 if dtype != "float32" or depth <= 64 else 2


def planned(way: Way, arrays: Sequence[Array]) -> Calls | None:
    """The calls for Q, K, V, the result, its gradient, what was kept, and the arrays of changes.

    They give the gradients of Q, of K and of V. None where there is no kernel for them: all three
    have the same batches.
    """
    q, k, v, result, slope, _, *masks = arrays
    if not way.by_tensor_cores(q.dtype) or len({a.shape[:-2] for a in (q, k, v)}) > 1:
        return None
    found = batches(way, [q, k, v, *masks])
    shape = (*q.shape[:-1], v.shape[-1])
    if found is None or any(array.shape != shape for array in (result, slope)):
        return None
    if result.dtype != q.dtype or slope.dtype != q.dtype:
        return None
    batch, two, _ = found
    sides = [*batches_of((q, k, v, result, slope), two)]
    numbers = {"inner": two[1], "m": q.shape[-2], "n": k.shape[-2]}
    numbers |= {"d": q.shape[-1], "dv": v.shape[-1]}
    for letter, array in zip("qkvos", sides, strict=True):
        for axis, step in zip(("outer", "inner", "row", "column"), array.strides, strict=True):
            numbers[f"{letter}_{axis}"] = step
    given = len(arrays)
    shapes = {"to_q": q.shape, "to_k": k.shape, "to_v": v.shape}
    places = {name: place for place, (name, _) in enumerate(POINTERS[:6])}
    places |= {"dots": given, **{name: given + 1 + i for i, name in enumerate(shapes)}}
    buffers = {places[name]: Value(q.dtype, shape) for name, shape in shapes.items()}
    buffers[given] = Value("float32", (*batch, q.shape[-2]))
    masks = batches_of(masks, two)
    launches = [
        _launch(way, sides, masks, numbers, places, of_keys=of_keys) for of_keys in (False, True)
    ]
    if max(launch.grid[0] for launch in launches) > _MOST_BLOCKS:
        return None
    return Calls(tuple(launches), buffers, (given + 1, given + 2, given + 3))


def batches_of(arrays: Sequence[Array], two: tuple[int, int]) -> list[Array]:
    """The arrays spread over a batch of two dimensions."""
    return [spread(array, two) for array in arrays]


def _launch(
    way: Way,
    sides: Sequence[Array],
    masks: Sequence[Array],
    numbers: dict[str, int],
    places: dict[str, int],
    *,
    of_keys: bool,
) -> Launch:
    dtype = sides[0].dtype
    stored, depth = STORED[dtype], -(-max(numbers["d"], numbers["dv"]) // 16) * 16
    unused = {"to_q"} if of_keys else {"to_k", "to_v"}
    arguments, told = [], []
    for name, kind in POINTERS:
        pointer = kind.replace("T*", f"{stored}*")
        if name in unused:
            told.append(f"({pointer})nullptr")
            continue
        told.append(name)
        arguments.append(Argument(f"{pointer} __restrict__ {name}", places[name]))
    arguments += attention_changes.arguments(masks, 6)
    arguments += [Argument(f"const I {name}", number=numbers[name]) for name in ARGUMENTS]
    told += [attention_changes.told(len(masks)), *ARGUMENTS]
    are_wide = all(map(is_wide, (*sides[:3], sides[4])))
    kinds = f"{stored}, {depth}, {str(are_wide).lower()}, {str(of_keys).lower()}"
    name = f"{'keys' if of_keys else 'queries'}_of_{way.name(dtype, depth)}"
    threads = 32 * _warps(dtype, depth)
    text = [
        *way_text(way, dtype, masks),
        TEXT,
        f'extern "C" __global__ void __launch_bounds__({threads}, {_RESIDENT}) {name}(',
        "    " + ",\n    ".join(argument.declaration for argument in arguments) + ") {",
        f"  differentiate<{kinds}>({', '.join(told)});",
        "}",
        "",
    ]
    rows = numbers["n" if of_keys else "m"]
    blocks = sides[0].shape[0] * sides[0].shape[1] * -(-rows // (threads // 2))
    block = threads, 1
    return Launch("\n".join(text), name, (blocks, 1), block, tuple(arguments), "long long")


@fuser("attention_gradient")
class AttentionGradient(Planned):
    """The gradients of Q, K and V; called with these, the result, its gradient, and what was kept.

    Behind them come the arrays of changes. `transposed` tells whether K comes with its columns as
    rows: so its gradient goes.
    """

    def __init__(
        self, xp: Any, changes: Sequence[Told], shares: Sequence[Told], transposed: bool
    ) -> None:
        super().__init__(xp, Way(changes_of(changes), changes_of(shares)))
        self._transposed = transposed

    def __call__(self, q: Any, k: Any, *others: Any) -> list[Any] | None:
        """The gradients in new memory; None where there is no code for these."""
        turned = k.swapaxes(-1, -2) if self._transposed else k
        found = self.launched([q, turned, *others])
        if found is None or not self._transposed:
            return found
        of_q, of_k, of_v = found
        return [of_q, of_k.swapaxes(-1, -2), of_v]

    def _calls(self, way: Way, layouts: Sequence[Array]) -> Calls | None:
        return planned(way, layouts)
