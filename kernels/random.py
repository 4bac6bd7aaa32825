"""Kernels of random ops; what they draw is TensorFlow's on a CPU, byte for byte.

A stateful op keeps its generator in the session, by node name; a stateless one is told where to
begin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.shape_tensor import sizes_of
from tfsession.kernels.random_draws import BLOCKS_PER_ELEMENT, Draws
from tfsession.resources.philox import Philox, scrambled

_PHILOX, _AUTOMATIC = 1, 3
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("int32", "int64")
# On a host a part of the work fits into the cache; elsewhere a part fills the machine.
_ON_HOST = Draws(1 << 13, of_c_library=True)
_ANYWHERE = Draws(1 << 22, of_c_library=False)


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _generator(ctx: Any, seed: int, seed2: int) -> Philox:
    """The generator of the node, made at its first run in the session."""
    found: Philox | None = ctx.state.get("philox")
    return found or ctx.state.setdefault("philox", Philox(seed, seed2))


def _begin(seed: Any) -> tuple[int, int]:
    """Key and counter for the seed of a stateless op."""
    if seed.shape != (2,):
        raise _refuse(f"seed must have shape [2], not {debug_string(seed.shape)}")
    return scrambled(*seed.tolist())


def _resume(key: Any, counter: Any, alg: Any) -> tuple[int, int]:
    """Key and counter as the second generation of stateless ops is given them."""
    if alg.shape != ():
        text = debug_string(alg.shape)
        raise _refuse(f"input 3 (0-based) must have shape [], not {text}")
    if alg not in (_PHILOX, _AUTOMATIC):
        raise _refuse(f"Unsupported algorithm id: {int(alg)}")
    if key.shape != (1,):
        text = debug_string(key.shape)
        raise _refuse(
            f"key must have shape [1], not {text}. (Note that batched keys are not supported yet.)"
        )
    if counter.ndim != 1 or counter.size < 2:
        raise _refuse(
            "counter must be a vector with length at least 2; got shape: "
            f"{debug_string(counter.shape)}. (Note that batched counters are not supported yet.)"
        )
    return int(key[0]), int(counter[1]) << 64 | int(counter[0])


def _bounds(minval: Any, maxval: Any, count: int) -> tuple[int, int]:
    for name, bound in (("minval", minval), ("maxval", maxval)):
        if bound.shape != ():
            raise _refuse(f"{name} must be 0-D, got shape {debug_string(bound.shape)}")
    if count and minval >= maxval:
        raise _refuse(f"Need minval < maxval, got {int(minval)} >= {int(maxval)}")
    return int(minval), int(maxval)


def _check_categories(logits: Any, num_samples: Any) -> int:
    if logits.ndim != 2:
        raise _refuse(f"logits should be a matrix, got shape {debug_string(logits.shape)}")
    if num_samples.shape != ():
        text = debug_string(num_samples.shape)
        raise _refuse(f"num_samples should be a scalar, got shape {text}")
    if num_samples < 0:
        raise _refuse(f"num_samples should be non-negative, got {int(num_samples)}")
    if logits.shape[1] == 0:
        raise _refuse("num_classes should be positive, got 0")
    return int(num_samples)


def _register_numbers(
    draws: Draws, device: str | None, names: tuple[str, str], draw: Callable[..., Any]
) -> None:
    """One distribution of floating point numbers: its stateful op, its stateless ones."""

    @kernel(names[0], stateful=True, host=["shape"], device=device)
    def numbers(ctx: Any, shape: Any, *, seed: int, seed2: int, dtype: DType) -> Any:
        sizes, count = sizes_of(shape)
        generator = _generator(ctx, seed, seed2)
        counter = generator.reserve(count * BLOCKS_PER_ELEMENT)
        drawn = draw(draws, ctx.xp, generator.key, counter, count, dtype.numpy)
        return drawn.reshape(sizes)

    @kernel(names[1], host=["shape", "seed"], device=device)
    def stateless_numbers(xp: Any, shape: Any, seed: Any, *, dtype: DType) -> Any:
        sizes, count = sizes_of(shape)
        return draw(draws, xp, *_begin(seed), count, dtype.numpy).reshape(sizes)

    @kernel(f"{names[1]}V2", host=["shape", "key", "counter", "alg"], device=device)
    def resumed_numbers(
        xp: Any, shape: Any, key: Any, counter: Any, alg: Any, *, dtype: DType
    ) -> Any:
        sizes, count = sizes_of(shape)
        return draw(draws, xp, *_resume(key, counter, alg), count, dtype.numpy).reshape(sizes)


def _full_integers(draws: Draws, xp: Any, key: int, counter: int, shape: Any, dtype: DType) -> Any:
    sizes, count = sizes_of(shape)
    draw = draws.words if dtype.size == 4 else draws.long_words
    return draw(xp, key, counter, count).view(dtype.numpy).reshape(sizes)


def _register_integers(draws: Draws, device: str | None) -> None:
    @kernel("RandomUniformInt", stateful=True, host=["shape", "minval", "maxval"], device=device)
    def integers(
        ctx: Any, shape: Any, minval: Any, maxval: Any, *, seed: int, seed2: int, Tout: DType
    ) -> Any:
        sizes, count = sizes_of(shape)
        bounds = _bounds(minval, maxval, count)
        generator = _generator(ctx, seed, seed2)
        counter = generator.reserve(count * BLOCKS_PER_ELEMENT)
        drawn = draws.integers(ctx.xp, generator.key, counter, count, *bounds, Tout.numpy)
        return drawn.reshape(sizes)

    @kernel("StatelessRandomUniformInt", host=["shape", "seed", "minval", "maxval"], device=device)
    def stateless_integers(
        xp: Any, shape: Any, seed: Any, minval: Any, maxval: Any, *, dtype: DType
    ) -> Any:
        sizes, count = sizes_of(shape)
        bounds = _bounds(minval, maxval, count)
        return draws.integers(xp, *_begin(seed), count, *bounds, dtype.numpy).reshape(sizes)

    @kernel(
        "StatelessRandomUniformIntV2",
        host=["shape", "key", "counter", "alg", "minval", "maxval"],
        types={"dtype": _INTEGERS},
        device=device,
    )
    def resumed_integers(
        xp: Any, shape: Any, key: Any, counter: Any, alg: Any, minval: Any, maxval: Any, *,
        dtype: DType,
    ) -> Any:  # fmt: skip
        sizes, count = sizes_of(shape)
        bounds = _bounds(minval, maxval, count)
        position = _resume(key, counter, alg)
        return draws.integers(xp, *position, count, *bounds, dtype.numpy).reshape(sizes)

    @kernel("StatelessRandomUniformFullInt", host=["shape", "seed"], device=device)
    def stateless_full_integers(xp: Any, shape: Any, seed: Any, *, dtype: DType) -> Any:
        if seed.dtype.kind == "u":
            raise _refuse(f"Invalid seed type: {seed.dtype.name}")
        return _full_integers(draws, xp, *_begin(seed), shape, dtype)

    @kernel(
        "StatelessRandomUniformFullIntV2",
        host=["shape", "key", "counter", "alg"],
        device=device,
    )
    def resumed_full_integers(
        xp: Any, shape: Any, key: Any, counter: Any, alg: Any, *, dtype: DType
    ) -> Any:
        return _full_integers(draws, xp, *_resume(key, counter, alg), shape, dtype)


def _register_categories(draws: Draws, device: str | None) -> None:
    @kernel("Multinomial", stateful=True, host=["num_samples"], types={"T": _FLOATS}, device=device)
    def categories(
        ctx: Any, logits: Any, num_samples: Any, *, seed: int, seed2: int, output_dtype: DType
    ) -> Any:
        count = _check_categories(logits, num_samples)
        generator = _generator(ctx, seed, seed2)
        # More than is used; the rows draw from one stream.
        blocks = logits.shape[0] * -(-count // 4) * 4 * 2 * BLOCKS_PER_ELEMENT
        counter = generator.reserve(blocks)
        return draws.categories(ctx.xp, generator.key, counter, logits, count, output_dtype.numpy)

    @kernel(
        "StatelessMultinomial", host=["num_samples", "seed"], types={"T": _FLOATS}, device=device
    )
    def stateless_categories(
        xp: Any, logits: Any, num_samples: Any, seed: Any, *, output_dtype: DType
    ) -> Any:
        count = _check_categories(logits, num_samples)
        return draws.categories(xp, *_begin(seed), logits, count, output_dtype.numpy)


for _draws, _device in ((_ON_HOST, "CPU"), (_ANYWHERE, None)):
    _register_integers(_draws, _device)
    _register_categories(_draws, _device)
    for _names, _draw in (
        (("RandomUniform", "StatelessRandomUniform"), Draws.uniform),
        (("RandomStandardNormal", "StatelessRandomNormal"), Draws.normal),
        (("TruncatedNormal", "StatelessTruncatedNormal"), Draws.truncated_normal),
    ):
        _register_numbers(_draws, _device, _names, _draw)


@kernel("RandomShuffle", stateful=True)
def random_shuffle(ctx: Any, value: Any, *, seed: int, seed2: int) -> Any:
    """The rows in another order."""
    count = value.shape[0] if value.ndim else 1
    if count <= 1:
        return value.copy()
    generator = _generator(ctx, seed, seed2)
    counter = generator.reserve(-(-(count - 1) // 4))
    order = _ON_HOST.permutation(generator.key, counter, count)
    return ctx.xp.take(value, ctx.xp.asarray(order), axis=0)


@kernel("StatelessShuffle", host=["key", "counter", "alg"])
def stateless_shuffle(xp: Any, value: Any, key: Any, counter: Any, alg: Any) -> Any:
    """The rows in another order."""
    position = _resume(key, counter, alg)
    count = value.shape[0] if value.ndim else 1
    if count <= 1:
        return value.copy()
    return xp.take(value, xp.asarray(_ON_HOST.permutation(*position, count)), axis=0)


@kernel("StatelessRandomGetKeyCounter", host=["seed"], host_outputs=["key", "counter"])
def get_key_counter(xp: Any, seed: Any) -> tuple[Any, Any]:
    """Where the stream of a seed begins."""
    key, counter = _begin(seed)
    return np.array([key], np.uint64), np.array([counter & (1 << 64) - 1, counter >> 64], np.uint64)


@kernel("StatelessRandomGetAlg", stateful=True, host_outputs=["alg"])
def get_alg(ctx: Any) -> Any:
    """The number of the algorithm: Philox."""
    return np.int32(_PHILOX)


@kernel("StatelessRandomGetKeyCounterAlg", host=["seed"], host_outputs=["key", "counter", "alg"])
def get_key_counter_alg(xp: Any, seed: Any) -> tuple[Any, Any, Any]:
    """Where the stream of a seed begins, and the number of the algorithm."""
    return *get_key_counter(xp, seed), np.int32(_PHILOX)
