"""Kernels over windows: beside the products of convolutions, for depthwise ones, and for pools.

The geometry is a part of the text, so that indices are taken apart without divisions; how many
images there are is an argument. Axes are three: those of images have one of size 1 before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType

from tfsession.core.windows import Axis
from tfsession.devices.program import Value
from tfsession.kernels.cuda.body import Argument, Launch
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.expressions import STORED, VARIABLES

__all__ = [
    "Geometry",
    "depthwise",
    "depthwise_filter_gradient",
    "depthwise_input_gradient",
    "gathered",
    "greatest",
    "mean",
    "of_greatest",
    "of_mean",
    "unfolded",
]

# As for attention: with fewer blocks that stay at once, more numbers stay in registers.
_THREADS, _RESIDENT, _MOST_BLOCKS = 256, 2, 1 << 20
_LARGEST_INT32 = (1 << 31) - 1
_ONE = Axis(1, 1, 1, 1, 0, 0, 1)


@dataclass(frozen=True)
class Geometry:
    """Windows over images of one size.

    `x` are the strides of the images, in elements: of a batch, its axes and its channels; `rows`
    those of the matrix of windows, over a batch, the windows' axes, the elements along each axis
    of a window, and its channels. `lanes` elements are moved at once.
    """

    dtype: str
    axes: tuple[Axis, ...]
    channels: int
    x: tuple[int, ...]
    channels_first: bool
    lanes: int = field(default=1)

    @property
    def patch(self) -> int:
        """The elements of a window."""
        return prod(axis.extent for axis in self.axes) * self.channels

    @property
    def places(self) -> int:
        """The windows of an image."""
        return prod(axis.steps for axis in self.axes)


def _constants(name: str, values: Sequence[int]) -> list[str]:
    return [f"constexpr int {name}{number} = {value};" for number, value in enumerate(values)]


def _told(geometry: Geometry) -> list[str]:
    """What a kernel knows of its windows, as constants."""
    axes = [_ONE] * (3 - len(geometry.axes)) + list(geometry.axes)
    batch, *steps, channel = geometry.x
    steps = [0] * (3 - len(geometry.axes)) + steps
    return [
        f"typedef {STORED[geometry.dtype]} T;",
        f"typedef {VARIABLES[geometry.dtype]} V;",
        f"constexpr int C = {geometry.channels}, N = {geometry.lanes}, PATCH = {geometry.patch};",
        f"constexpr I X_BATCH = {batch}, X_CHANNEL = {channel};",
        *_constants("SIZE", [axis.size for axis in axes]),
        *_constants("EXTENT", [axis.extent for axis in axes]),
        *_constants("STRIDE", [axis.stride for axis in axes]),
        *_constants("GAP", [axis.dilation for axis in axes]),
        *_constants("BEFORE", [axis.before for axis in axes]),
        *_constants("STEPS", [axis.steps for axis in axes]),
        *[f"constexpr I X{number} = {step};" for number, step in enumerate(steps)],
        "constexpr int PLACES = STEPS0 * STEPS1 * STEPS2;",
        "constexpr int ROOM = SIZE0 * SIZE1 * SIZE2;",
    ]


def _launch(
    name: str,
    geometry: Geometry,
    work: int,
    reach: int,
    body: str,
    parameters: Sequence[str],
    numbers: Mapping[str, int] = MappingProxyType({}),
) -> Launch:
    """The call of a kernel that does so much work; `reach` is the largest place in an array."""
    index = "long long" if max(work, reach) * 2 > _LARGEST_INT32 else "unsigned int"
    arguments = [Argument(text, place) for place, text in enumerate(parameters)]
    told = {"count": work, **numbers}
    arguments += [Argument(f"const I {name}", number=number) for name, number in told.items()]
    source = "\n".join(
        [
            f"typedef {index} I;",
            *_told(geometry),
            f'extern "C" __global__ void __launch_bounds__({_THREADS}, {_RESIDENT}) {name}(',
            f"    {', '.join(argument.declaration for argument in arguments)}) {{",
            f"  for (I e = (I)blockIdx.x * {_THREADS} + threadIdx.x; e < count;",
            f"       e += (I)gridDim.x * {_THREADS}) {{",
            body.strip("\n"),
            "  }",
            "}",
            "",
        ]
    )
    blocks = min(-(-work // _THREADS), _MOST_BLOCKS)
    return Launch(source, name, (blocks, 1), (_THREADS, 1), tuple(arguments), index)


# Where an element of the matrix stands in its window, and the window in its image.
_WINDOW = r"""
    const int i2 = o2 * STRIDE2 + k2 * GAP2 - BEFORE2;
    const int i1 = o1 * STRIDE1 + k1 * GAP1 - BEFORE1;
    const int i0 = o0 * STRIDE0 + k0 * GAP0 - BEFORE0;
    const bool is_inside = (unsigned)i0 < SIZE0 && (unsigned)i1 < SIZE1 && (unsigned)i2 < SIZE2;
"""
_OF_WINDOWS = r"""
    const int o2 = (int)(rest % STEPS2); rest /= STEPS2;
    const int o1 = (int)(rest % STEPS1); rest /= STEPS1;
    const int o0 = (int)(rest % STEPS0); rest /= STEPS0;
"""
_OF_ELEMENTS = r"""
    const int k2 = (int)(rest % EXTENT2); rest /= EXTENT2;
    const int k1 = (int)(rest % EXTENT1); rest /= EXTENT1;
    const int k0 = (int)(rest % EXTENT0); rest /= EXTENT0;
"""
_UNFOLDED = r"""
    pack<T, N> found = {};
    if (is_inside)
      found = *(const pack<T, N>*)(x + n * X_BATCH + i0 * X0 + i1 * X1 + i2 * X2 + c * X_CHANNEL);
    *(pack<T, N>*)(rows + e * N) = found;
"""
_LAST = "    I rest = e;\n    const I c = rest % (C / N) * N; rest /= C / N;"


def unfolded(geometry: Geometry, images: int) -> Calls:
    """The windows of images, one a row `[images, places, patch]`; zeros where there is padding.

    Where channels come first one window is a column, `[patch, images, places]`.
    """
    size = images * geometry.places * geometry.patch
    if geometry.channels_first:
        # Channels stand behind the places in a window here too: as filters have them.
        middle = "    const I images = count / ((I)PLACES * PATCH), n = rest % images;\n"
        middle += "    rest /= images;\n    const I c = rest % C; rest /= C;"
        body = "    I rest = e;" + _OF_WINDOWS + middle + _OF_ELEMENTS
        shape = geometry.patch, images, geometry.places
    else:
        body = _LAST + _OF_ELEMENTS + _OF_WINDOWS + "    const I n = rest;"
        shape = images, geometry.places, geometry.patch
    reach = max(size, images * geometry.x[0])
    launch = _launch(
        f"unfolded_{geometry.dtype}", geometry, size // geometry.lanes, reach,
        body + _WINDOW + _UNFOLDED, ["const T* __restrict__ x", "T* __restrict__ rows"],
    )  # fmt: skip
    return Calls((launch,), {1: Value(geometry.dtype, shape)}, (1,))


# All windows that have this place, in the order of their elements.
_SHARES = r"""
    V sum[N] = {};
#pragma unroll 1
    for (int k0 = 0; k0 < EXTENT0; ++k0) {
      const int s0 = i0 + BEFORE0 - k0 * GAP0;
      if (s0 < 0 || s0 % STRIDE0 || s0 / STRIDE0 >= STEPS0) continue;
#pragma unroll 1
      for (int k1 = 0; k1 < EXTENT1; ++k1) {
        const int s1 = i1 + BEFORE1 - k1 * GAP1;
        if (s1 < 0 || s1 % STRIDE1 || s1 / STRIDE1 >= STEPS1) continue;
#pragma unroll 1
        for (int k2 = 0; k2 < EXTENT2; ++k2) {
          const int s2 = i2 + BEFORE2 - k2 * GAP2;
          if (s2 < 0 || s2 % STRIDE2 || s2 / STRIDE2 >= STEPS2) continue;
          const I place = ((I)(s0 / STRIDE0) * STEPS1 + s1 / STRIDE1) * STEPS2 + s2 / STRIDE2;
          const int tap = (k0 * EXTENT1 + k1) * EXTENT2 + k2;
@
        }
      }
    }
"""
_OF_ROOM = r"""
    const int i2 = (int)(rest % SIZE2); rest /= SIZE2;
    const int i1 = (int)(rest % SIZE1); rest /= SIZE1;
    const int i0 = (int)(rest % SIZE0); rest /= SIZE0;
"""
_ADD_SHARE = r"""
          const pack<T, N> share = *(const pack<T, N>*)(rows + WHERE);
#pragma unroll
          for (int l = 0; l < N; ++l) sum[l] += loaded(share.at[l]);
"""
_STORE = r"""
    pack<T, N> result;
#pragma unroll
    for (int l = 0; l < N; ++l) store(result.at[l], sum[l]);
    *(pack<T, N>*)(x + n * X_BATCH + i0 * X0 + i1 * X1 + i2 * X2 + c * X_CHANNEL) = result;
"""


def gathered(geometry: Geometry, images: int) -> Calls:
    """The sums of what windows, as `unfolded` lays them out, have for each place of the images."""
    size = images * geometry.places * geometry.patch
    room = prod(axis.size for axis in geometry.axes)
    if geometry.channels_first:
        begin = "    I rest = e;" + _OF_ROOM + "    const I c = rest % C, n = rest / C;"
        where = "((I)tap * C + c) * (count / ((I)ROOM * C)) * PLACES + n * PLACES + place"
        shape = (images, geometry.channels, *[axis.size for axis in geometry.axes])
    else:
        begin = _LAST + _OF_ROOM + "    const I n = rest;"
        where = "(n * PLACES + place) * PATCH + (I)tap * C + c"
        shape = (images, *[axis.size for axis in geometry.axes], geometry.channels)
    work = images * room * geometry.channels // geometry.lanes
    launch = _launch(
        f"gathered_{geometry.dtype}", geometry, work, max(size, images * geometry.x[0]),
        begin + _SHARES.replace("@", _ADD_SHARE.replace("WHERE", where).strip("\n")) + _STORE,
        ["const T* __restrict__ rows", "T* __restrict__ x"],
    )  # fmt: skip
    return Calls((launch,), {1: Value(geometry.dtype, shape)}, (1,))


# --- each channel alone ---------------------------------------------------------------------------

_ALONE = r"""
    const int c = (int)(q / M);
    V sum = 0;
    for (int k0 = 0; k0 < EXTENT0; ++k0)
      for (int k1 = 0; k1 < EXTENT1; ++k1)
        for (int k2 = 0; k2 < EXTENT2; ++k2) {
@
          const int tap = (k0 * EXTENT1 + k1) * EXTENT2 + k2;
          if (is_inside)
            sum += loaded(x[n * X_BATCH + i0 * X0 + i1 * X1 + i2 * X2 + c * X_CHANNEL]) *
                   loaded(w[(I)tap * (C * M) + q]);
        }
    store(y[e], sum);
"""
_ALONE_SHARE = r"""
          for (int m = 0; m < M; ++m)
            sum[0] += loaded(y[WHERE]) * loaded(w[((I)tap * C + c) * M + m]);
"""
_ALONE_FILTER = r"""
    const I split = e / ((I)EXTENT0 * EXTENT1 * EXTENT2 * C * M);
    I rest = e % ((I)EXTENT0 * EXTENT1 * EXTENT2 * C * M);
    const I q = rest % (C * M), c = q / M; rest /= C * M;
@
    const I end = (split + 1) * length < windows ? (split + 1) * length : windows;
    V sum = 0;
    for (I window = split * length; window < end; ++window) {
      I rest = window;
@@
      const I n = rest;
@@@
      if (is_inside)
        sum += loaded(y[WHERE]) *
               loaded(x[n * X_BATCH + i0 * X0 + i1 * X1 + i2 * X2 + c * X_CHANNEL]);
    }
    sums[e] = sum;
"""


def _result(geometry: Geometry, images: int, sizes: Sequence[int], channels: int) -> Value:
    """An array of images in the order of their layout."""
    inner = (channels, *sizes) if geometry.channels_first else (*sizes, channels)
    return Value(geometry.dtype, (images, *inner))


def _of_result(geometry: Geometry) -> str:
    """Where the result has a channel of a window."""
    if geometry.channels_first:
        return "(n * (C * M) + (I)c * M + m) * PLACES + place"
    return "(n * PLACES + place) * (C * M) + (I)c * M + m"


def _with_times(launch: Launch, times: int) -> Launch:
    constant = f"constexpr int M = {times};"
    told = launch.source.replace("constexpr int C", f"{constant}\nconstexpr int C", 1)
    return replace(launch, source=told)


def depthwise(geometry: Geometry, times: int, images: int) -> Calls:
    """For images and filters `[*extents, channels, times]`, the sums over windows."""
    found = _result(geometry, images, [a.steps for a in geometry.axes], geometry.channels * times)
    if geometry.channels_first:
        begin = _OF_WINDOWS + "    const I q = rest % (C * M), n = rest / (C * M);"
    else:
        begin = "    const I q = rest % (C * M); rest /= C * M;" + _OF_WINDOWS
        begin += "    const I n = rest;"
    launch = _launch(
        f"depthwise_{geometry.dtype}", geometry, prod(found.shape), images * geometry.x[0],
        "    I rest = e;" + begin + _ALONE.replace("@", _WINDOW.strip("\n")),
        ["const T* __restrict__ x", "const T* __restrict__ w", "T* __restrict__ y"],
    )  # fmt: skip
    return Calls((_with_times(launch, times),), {2: found}, (2,))


def depthwise_input_gradient(geometry: Geometry, times: int, images: int) -> Calls:
    """For the gradient of the sums, and filters, the gradient for the images."""
    found = _result(geometry, images, [a.size for a in geometry.axes], geometry.channels)
    if geometry.channels_first:
        begin = "    I rest = e;" + _OF_ROOM + "    const I c = rest % C, n = rest / C;"
    else:
        begin = _LAST + _OF_ROOM + "    const I n = rest;"
    share = _ALONE_SHARE.replace("WHERE", _of_result(geometry)).strip("\n")
    reach = images * geometry.places * geometry.channels * times
    launch = _launch(
        f"depthwise_input_gradient_{geometry.dtype}", geometry, prod(found.shape), reach,
        begin + _SHARES.replace("@", share) + _STORE,
        ["const T* __restrict__ y", "const T* __restrict__ w", "T* __restrict__ x"],
    )  # fmt: skip
    return Calls((_with_times(launch, times),), {2: found}, (2,))


def depthwise_filter_gradient(geometry: Geometry, times: int, images: int, parts: int) -> Calls:
    """For images and the gradient of the sums, that of the filters: parts that are to be added."""
    kind = "float64" if geometry.dtype == "float64" else "float32"
    extents = [axis.extent for axis in geometry.axes]
    found = Value(kind, (parts, *extents, geometry.channels, times))
    windows = images * geometry.places
    body = _ALONE_FILTER.replace("@@@", _WINDOW.strip("\n")).replace("@@", _OF_WINDOWS.strip("\n"))
    at = _of_result(geometry).replace("(I)c * M + m", "q")
    if geometry.channels_first:
        at = at.replace("place", "window - n * PLACES")
    else:
        at = at.replace("(n * PLACES + place)", "window")
    body = body.replace("@", _OF_ELEMENTS.strip("\n")).replace("WHERE", at)
    reach = windows * geometry.channels * times
    launch = _launch(
        f"depthwise_filter_gradient_{geometry.dtype}", geometry, prod(found.shape),
        max(reach, images * geometry.x[0]), body,
        ["const T* __restrict__ x", "const T* __restrict__ y", "V* __restrict__ sums"],
        {"windows": windows, "length": -(-windows // parts)},
    )  # fmt: skip
    return Calls((_with_times(launch, times),), {2: found}, (2,))


# --- pools, channels last -------------------------------------------------------------------------

_POOLED = r"""
    V found[N];
    int inside = 0;
#pragma unroll
    for (int l = 0; l < N; ++l) found[l] = START;
#pragma unroll 1
    for (int k0 = 0; k0 < EXTENT0; ++k0)
#pragma unroll 1
      for (int k1 = 0; k1 < EXTENT1; ++k1)
#pragma unroll 1
        for (int k2 = 0; k2 < EXTENT2; ++k2) {
@
          if (!is_inside) continue;
          ++inside;
          const pack<T, N> own = *(const pack<T, N>*)(x + n * X_BATCH + i0 * X0 + i1 * X1 +
                                                      i2 * X2 + c * X_CHANNEL);
#pragma unroll
          for (int l = 0; l < N; ++l) JOIN
        }
    pack<T, N> result;
#pragma unroll
    for (int l = 0; l < N; ++l) store(result.at[l], END);
    *(pack<T, N>*)(y + e * N) = result;
"""
_MEAN_SHARE = r"""
          const V count = (V)inside(s0 - BEFORE0, EXTENT0, SIZE0) *
                          (V)inside(s1 - BEFORE1, EXTENT1, SIZE1) *
                          (V)inside(s2 - BEFORE2, EXTENT2, SIZE2);
          const pack<T, N> share = *(const pack<T, N>*)(y + (n * PLACES + place) * C + c);
#pragma unroll
          for (int l = 0; l < N; ++l) sum[l] += loaded(share.at[l]) / count;
"""
_INSIDE = r"""
__device__ __forceinline__ int inside(const int from, const int extent, const int size) {
  const int end = from + extent < size ? from + extent : size;
  return end - (from > 0 ? from : 0);
}
"""
# The first of the greatest wins; what is not greater than all before it does not.
_WINNER_SHARE = r"""
          V best[N];
          bool is_own[N];
          bool is_first = true;
#pragma unroll 1
          for (int j0 = s0 - BEFORE0; j0 < s0 - BEFORE0 + EXTENT0; ++j0)
#pragma unroll 1
            for (int j1 = s1 - BEFORE1; j1 < s1 - BEFORE1 + EXTENT1; ++j1)
#pragma unroll 1
              for (int j2 = s2 - BEFORE2; j2 < s2 - BEFORE2 + EXTENT2; ++j2) {
                if ((unsigned)j0 >= SIZE0 || (unsigned)j1 >= SIZE1 || (unsigned)j2 >= SIZE2)
                  continue;
                const bool is_here = j0 == i0 && j1 == i1 && j2 == i2;
                const pack<T, N> own = *(const pack<T, N>*)(given + n * X_BATCH + j0 * X0 +
                                                            j1 * X1 + j2 * X2 + c * X_CHANNEL);
#pragma unroll
                for (int l = 0; l < N; ++l) {
                  const V value = loaded(own.at[l]);
                  if (is_first || best[l] < value) is_own[l] = is_here;
                  if (is_first || !(best[l] >= value) && value == value) best[l] = value;
                }
                is_first = false;
              }
          const pack<T, N> share = *(const pack<T, N>*)(y + (n * PLACES + place) * C + c);
#pragma unroll
          for (int l = 0; l < N; ++l)
            if (is_own[l]) sum[l] += loaded(share.at[l]);
"""


def _pooled(name: str, geometry: Geometry, images: int, start: str, join: str, end: str) -> Calls:
    found = _result(geometry, images, [axis.steps for axis in geometry.axes], geometry.channels)
    body = _POOLED.replace("@", _WINDOW.strip("\n")).replace("START", start)
    launch = _launch(
        f"{name}_{geometry.dtype}", geometry, prod(found.shape) // geometry.lanes,
        max(prod(found.shape), images * geometry.x[0]),
        _LAST + _OF_WINDOWS + "    const I n = rest;"
        + body.replace("JOIN", join).replace("END", end),
        ["const T* __restrict__ x", "T* __restrict__ y"],
    )  # fmt: skip
    return Calls((launch,), {1: found}, (1,))


def greatest(geometry: Geometry, images: int) -> Calls:
    """The greatest number of each window; NaN goes on."""
    join = "found[l] = greater_of<V>(loaded(own.at[l]), found[l]);"
    return _pooled("greatest", geometry, images, "-INFINITY", join, "found[l]")


def mean(geometry: Geometry, images: int) -> Calls:
    """The mean of each window, padding not counted."""
    join = "found[l] += loaded(own.at[l]);"
    return _pooled("mean", geometry, images, "0", join, "found[l] / (V)inside")


def _pool_gradient(
    name: str, geometry: Geometry, images: int, share: str, parameters: Sequence[str]
) -> Calls:
    sizes = [axis.size for axis in geometry.axes]
    found = _result(geometry, images, sizes, geometry.channels)
    reach = max(images * geometry.x[0], images * geometry.places * geometry.channels)
    launch = _launch(
        f"{name}_{geometry.dtype}", geometry, prod(found.shape) // geometry.lanes, reach,
        _LAST + _OF_ROOM + "    const I n = rest;"
        + _SHARES.replace("@", share.strip("\n")) + _STORE,
        parameters,
    )  # fmt: skip
    given = len(parameters) - 1
    return Calls((launch,), {given: found}, (given,))


def of_mean(geometry: Geometry, images: int) -> Calls:
    """The gradient of means, shared among the elements of each window."""
    parameters = ["const T* __restrict__ y", "T* __restrict__ x"]
    found = _pool_gradient("of_mean", geometry, images, _MEAN_SHARE, parameters)
    (launch,) = found.launches
    source = launch.source.replace('extern "C"', _INSIDE.strip("\n") + '\nextern "C"', 1)
    return replace(found, launches=(replace(launch, source=source),))


def of_greatest(geometry: Geometry, images: int) -> Calls:
    """The gradient of the greatest numbers, each given to the first of them in its window."""
    parameters = ["const T* __restrict__ given", "const T* __restrict__ y", "T* __restrict__ x"]
    return _pool_gradient("of_greatest", geometry, images, _WINNER_SHARE, parameters)
