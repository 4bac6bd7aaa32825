"""Steps of optimizers at once: by compiled code, or by a library of neural networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.devices.native import is_there
from tfsession.devices.onednn import dnn_library
from tfsession.devices.program import Value
from tfsession.devices.threads import block_rows, even_rows, run_blocks
from tfsession.devices.traced import Untraceable
from tfsession.kernels.cuda.update import program_of
from tfsession.kernels.elementwise_loop import compiled
from tfsession.kernels.train_chains import Chains

# Elements of arrays for which a chain's call is worth what it takes, and bytes of each in a block.
_LEAST, _BLOCK = 1 << 17, 1 << 21
# Elements for which compiled code is worth being made, once a formula has been computed so often.
_LEAST_COMPILED, OFTEN = 1 << 10, 3
_LINE = 16
# NumPy's loops are as fast as chains that save fewer ways through memory.
_WORTH = 2


@lru_cache(maxsize=256)
def _chains(
    formula: Callable[..., None], count: int, names: tuple[str, ...], told: tuple[Any, ...]
) -> Chains | None:
    """What a formula makes of so many arrays and of the numbers of these names."""
    numbers = dict.fromkeys(names, Value("float32", ()))
    arrays: Any = [Value("float32", (_LEAST,))] * count
    try:
        with np.errstate(all="ignore"):
            chains = Chains(program_of(formula, arrays, {**numbers, **dict(told)}), count)
    except (Untraceable, TypeError, AttributeError):
        return None  # then NumPy's way tells what is wrong
    return chains if chains.is_fit() and chains.saved >= _WORTH else None


class _Compiled:
    """What a formula makes of so many arrays of a dtype, compiled once it has run often.

    Attributes:
        ufunc: takes arrays and numbers, and gives all arrays but the last.
    """

    def __init__(
        self,
        formula: Callable[..., None],
        dtype: str,
        count: int,
        names: tuple[str, ...],
        told: tuple[Any, ...],
    ) -> None:
        self.ufunc: np.ufunc | None = None
        self._runs = 0
        self._what = formula, dtype, count, names, told

    def often(self) -> np.ufunc | None:
        """The function, if it is time for it and there is one."""
        self._runs += 1
        if self._runs == OFTEN:
            self.ufunc = self._made()
        return self.ufunc

    def _made(self) -> np.ufunc | None:
        formula, dtype, count, names, told = self._what
        numbers = dict.fromkeys(names, Value(dtype, ()))
        arrays: Any = [Value(dtype, (OFTEN,))] * count
        try:
            with np.errstate(all="ignore"):
                program = program_of(formula, arrays, {**numbers, **dict(told)})
        except (Untraceable, TypeError, AttributeError):
            return None
        return compiled(program, [False] * count + [True] * len(names))


_compiled = lru_cache(maxsize=256)(_Compiled)


def updated(formula: Callable[..., None], arrays: Sequence[Any], scalars: dict[str, Any]) -> bool:
    """Compute a formula, which changes all arrays but the last; False if that was not done."""
    size, dtype = arrays[0].size, arrays[0].dtype
    compiles = is_there() and size >= _LEAST_COMPILED
    if not compiles and size < _LEAST:
        return False
    names = tuple([name for name, value in scalars.items() if type(value) is dtype.type])
    told = tuple([(name, value) for name, value in scalars.items() if name not in names])
    if any(not isinstance(value, bool) for _, value in told):
        return False
    if compiles and all(a.flags.c_contiguous and a.dtype == dtype for a in arrays):
        ufunc = _compiled(formula, dtype.name, len(arrays), names, told).often()
        if ufunc is not None:
            _update_at_once(ufunc, arrays, [scalars[name] for name in names])
            return True
    if size < _LEAST or (library := dnn_library(np, *arrays)) is None:
        return False
    chains = _chains(formula, len(arrays), names, told)
    if chains is None:
        return False
    numbers = chains.numbers([scalars[name] for name in names])
    vectors = [array.reshape(-1) for array in arrays]
    blocks = -(-size // block_rows(4, _BLOCK))
    step = -(-size // blocks // _LINE) * _LINE
    compiled = {length: chains.compiled(library, length) for length in (step, size % step or step)}
    if None in compiled.values():
        return False

    def task(start: int, stop: int) -> None:
        primitives = compiled[stop - start]
        assert primitives is not None
        chains.run(primitives, [vector[start:stop] for vector in vectors], numbers)

    run_blocks(np, size, step, task)
    return True


def _update_at_once(ufunc: np.ufunc, arrays: Sequence[Any], numbers: Sequence[Any]) -> None:
    """Let a function write its results over the arrays but the last, in blocks."""
    vectors = [array.reshape(-1) for array in arrays]
    size = vectors[0].size
    step = even_rows(size, vectors[0].itemsize * len(vectors), _BLOCK)

    def task(start: int, stop: int) -> None:
        parts = [vector[start:stop] for vector in vectors]
        ufunc(*parts, *numbers, out=tuple(parts[:-1]))

    run_blocks(np, size, step, task)
