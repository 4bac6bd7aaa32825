"""The works of `gpu.py`: mathematics in each library's words, and the steps made of it.

`work` says what a work is, `peers` how a library does it, `ceilings` what the machine can do. The
texts of models come from `works`, where the CPU bench has them; only those by hand, for NumPy and
CuPy, are here. Nothing but `gpu.py`, its probes and the tests beside it imports this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from on_gpu.attention import Block, BlockTraining
from on_gpu.dense import Chain, Mlp, Product
from on_gpu.images import Digits
from on_gpu.recurrent import Lstm
from on_gpu.work import RESIDENT, Variant, Work

__all__ = ["RESIDENT", "Variant", "Work", "planned"]


def planned(tiny: bool) -> Iterator[Callable[[], Work]]:
    """Each work, not made yet, in order of interest; `tiny` ones have the same texts."""
    if tiny:
        yield partial(Mlp, 4, (16, 8, 10))
        yield partial(Chain, 1000)
        yield partial(Block, 2, 8, 32, 2)
        yield partial(Product, 64, "float32")
        yield partial(Product, 64, "tf32")
        yield partial(Product, 64, "bfloat16")
        yield partial(Digits, 2)
        yield partial(BlockTraining, 2, 8, 32, 2)
        yield partial(Lstm, static=True, steps=4, batch=2, units=3)
        yield partial(Lstm, static=False, steps=4, batch=2, units=3)
        return
    yield partial(Mlp, 128)
    yield partial(Chain, 1 << 26)
    yield partial(Chain, 1000)  # which shows what a step costs the host
    yield partial(Product, 8192, "bfloat16")
    yield partial(Product, 8192, "tf32")
    yield partial(Product, 4096, "float32")
    yield partial(Block, 8, 1024, 1024, 16)
    yield partial(BlockTraining, 8, 256, 512, 8)
    yield partial(Digits, 128)
    yield partial(Lstm, static=True, steps=50, batch=64, units=256)
    yield partial(Lstm, static=False, steps=50, batch=64, units=256)
