"""Steps of optimizers by a library of neural networks, where there is one for the arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.devices.onednn import dnn_library
from tfsession.devices.program import Value
from tfsession.devices.threads import block_rows, run_blocks
from tfsession.devices.traced import Untraceable
from tfsession.kernels.cuda.update import program_of
from tfsession.kernels.train_chains import Chains

# Elements of arrays for which a chain's call is worth what it takes, and bytes of each in a block.
_LEAST, _BLOCK = 1 << 17, 1 << 21
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


def updated(formula: Callable[..., None], arrays: Sequence[Any], scalars: dict[str, Any]) -> bool:
    """Compute a formula, which changes all arrays but the last; False if that was not done."""
    size = arrays[0].size
    if size < _LEAST or (library := dnn_library(np, *arrays)) is None:
        return False
    names = tuple([name for name, value in scalars.items() if type(value) is np.float32])
    told = tuple([(name, value) for name, value in scalars.items() if name not in names])
    if any(not isinstance(value, bool) for _, value in told):
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
