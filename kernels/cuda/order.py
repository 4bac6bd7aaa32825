"""Indices in order, each with its position: by a network of comparisons, the host does not look.

A network (Batcher, 1968) compares at places that depend on how many there are alone. Keys are an
index and its position, so that equal indices stay in the order in which they came.
"""

from __future__ import annotations

from tfsession.devices.program import Value
from tfsession.kernels.cuda.body import Argument, Launch
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.expressions import STORED

__all__ = ["MOST", "ordering"]

# So many keys are ordered by one block, in the memory that it shares.
TILE = 2048
_THREADS = 512
# How many indices there may be, and rows for them: the greatest number stands for none.
MOST = (1 << 31) - 1

# Within tiles: all of the stages that begin with `first`, which is 2, or the end of one.
_TILES = """\
typedef unsigned int I;
typedef unsigned long long K;
extern "C" __global__ void __launch_bounds__({threads}) {name}(
    {source}, K* __restrict__ keys, const I n{number}) {{
  __shared__ K own[{tile}];
  const I begin = (I)blockIdx.x * {tile};
  const I here = n - begin < {tile} ? n - begin : {tile};
  for (I i = threadIdx.x; i < here; i += {threads}) {{
{load}
  }}
  for (I stage = {first}; stage <= {tile}; stage *= 2) {{
    for (I step = stage / 2; step; step /= 2) {{
      __syncthreads();
      for (I pair = threadIdx.x; pair < {half}; pair += {threads}) {{
        const I low = 2 * pair - (pair & (step - 1));
        const I high = {turned} ? low ^ (stage - 1) : low + step;
        if (high < here && own[high] < own[low]) {{
          const K lower = own[high];
          own[high] = own[low];
          own[low] = lower;
        }}
      }}
    }}
  }}
  __syncthreads();
  for (I i = threadIdx.x; i < here; i += {threads}) keys[begin + i] = own[i];
}}
"""
_KEYS = """\
    const long long id = (long long)ids[begin + i];
    own[i] = (K)(id < 0 || id >= count ? 0xffffffffu : (unsigned int)id) << 32 | (begin + i);"""
# One step across tiles: the first of a stage compares from both ends.
_STEP = """\
typedef unsigned int I;
typedef unsigned long long K;
extern "C" __global__ void __launch_bounds__({threads}) {name}(
    K* keys, const I n, const I step, const I turned) {{
  const I pair = (I)blockIdx.x * {threads} + threadIdx.x;
  const I low = 2 * pair - (pair & (step - 1));
  const I high = turned ? low ^ (2 * step - 1) : low + step;
  if (high >= n || low >= n) return;
  const K one = keys[low], other = keys[high];
  if (other < one) {{
    keys[low] = other;
    keys[high] = one;
  }}
}}
"""


def ordering(dtype: str, size: int, count: int, ids: int = 0) -> Calls:
    """What orders so many indices, value `ids`, into keys, the next value: index above position.

    Those that are not in `[0, count)` come last, under the greatest index that there is.
    """
    keys, n = Argument("K* keys", ids + 1), Argument("const I n", number=size)
    tiles = (-(-size // TILE), 1)
    indices = Argument(f"const {STORED[dtype]}* ids", ids)
    given = (indices, keys, n, Argument("const I count", number=count))
    launches = [
        Launch(_first(dtype), f"order_{dtype}", tiles, (_THREADS, 1), given, "unsigned int")
    ]
    end = _last()
    stage = 2 * TILE
    while stage < 2 * size:
        step = stage // 2
        while step >= TILE:
            numbers = (
                Argument("const I step", number=step),
                Argument("const I turned", number=int(2 * step == stage)),
            )
            grid = (-(-(_power(size) // 2) // _THREADS), 1)
            text = _STEP.format(threads=_THREADS, name="order_step")
            launches.append(
                Launch(text, "order_step", grid, (_THREADS, 1), (keys, n, *numbers), "unsigned int")
            )
            step //= 2
        again = (Argument("const K* from", ids + 1), keys, n)
        launches.append(Launch(end, "order_end", tiles, (_THREADS, 1), again, "unsigned int"))
        stage *= 2
    return Calls(tuple(launches), {ids + 1: Value("uint64", (size,))}, (ids + 1,))


def _power(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _first(dtype: str) -> str:
    return _TILES.format(
        threads=_THREADS, name=f"order_{dtype}", source=f"const {STORED[dtype]}* __restrict__ ids",
        number=", const I count", tile=TILE, half=TILE // 2, load=_KEYS, first=2,
        turned="2 * step == stage",
    )  # fmt: skip


def _last() -> str:
    """The end of a stage that is longer than a tile."""
    return _TILES.format(
        threads=_THREADS, name="order_end", source="const K* from", number="", tile=TILE,
        half=TILE // 2, load="    own[i] = from[begin + i];", first=TILE, turned="false",
    ).replace("K* __restrict__ keys", "K* keys")  # fmt: skip
