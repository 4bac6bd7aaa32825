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
from tfsession.kernels.random_draws import BLOCKS_PER_ELEMENT, Draws, Start, words_of
from tfsession.resources.philox import Philox, scrambled

_PHILOX, _AUTOMATIC = 1, 3
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = ("int32", "int64")
# On a host a part of the work fits into the cache; elsewhere a part fills the machine.
_ON_HOST = Draws(1 << 13, of_c_library=True)
_ANYWHERE = Draws(1 << 22, of_c_library=False, is_recorded=True)


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _generator(ctx: Any, seed: int, seed2: int) -> Philox:
    """The generator of the node, made at its first run in the session."""
    found: Philox | None = ctx.state.get("philox")
    return found or ctx.state.setdefault("philox", Philox(seed, seed2))


def _reserved(ctx: Any, draws: Draws, seed: int, seed2: int, blocks: int) -> Start:
    """Where the next so many blocks of the node begin; others are next each time it runs."""
    generator = _generator(ctx, seed, seed2)
    words, is_held = ctx.each_step(
        lambda: np.array(words_of(generator.key, generator.reserve(blocks)), np.uint64)
    )
    return Start(words if is_held else words.tolist(), draws.is_recorded)


def _begin(seed: Any) -> tuple[int, int]:
    """Key and counter for the seed of a stateless op."""
    if seed.shape != (2,):
        raise _refuse(f"seed must have shape [2], not {debug_string(seed.shape)}")
    return scrambled(*seed.tolist())


def _resume(key: Any, counter: Any, alg: Any) -> Start:
    """The start as the second generation of stateless ops is given it."""
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
    return Start.of(int(key[0]), int(counter[1]) << 64 | int(counter[0]))


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

    @kernel(names[0], stateful=True, records=True, host=["shape"], device=device)
    def numbers(ctx: Any, shape: Any, *, seed: int, seed2: int, dtype: DType) -> Any:
        sizes, count = sizes_of(shape)
        start = _reserved(ctx, draws, seed, seed2, count * BLOCKS_PER_ELEMENT)
        return draw(draws, ctx.xp, start, count, dtype.numpy).reshape(sizes)

    @kernel(names[1], host=["shape", "seed"], device=device)
    def stateless_numbers(xp: Any, shape: Any, seed: Any, *, dtype: DType) -> Any:
        sizes, count = sizes_of(shape)
        return draw(draws, xp, Start.of(*_begin(seed)), count, dtype.numpy).reshape(sizes)

    @kernel(f"{names[1]}V2", host=["shape", "key", "counter", "alg"], device=device)
    def resumed_numbers(
        xp: Any, shape: Any, key: Any, counter: Any, alg: Any, *, dtype: DType
    ) -> Any:
        sizes, count = sizes_of(shape)
        return draw(draws, xp, _resume(key, counter, alg), count, dtype.numpy).reshape(sizes)


def _full_integers(draws: Draws, xp: Any, start: Start, shape: Any, dtype: DType) -> Any:
    sizes, count = sizes_of(shape)
    draw = draws.words if dtype.size == 4 else draws.long_words
    return draw(xp, start, count).view(dtype.numpy).reshape(sizes)


def _register_integers(draws: Draws, device: str | None) -> None:
    @kernel(
        "RandomUniformInt",
        stateful=True,
        records=True,
        host=["shape", "minval", "maxval"],
        device=device,
    )
    def integers(
        ctx: Any, shape: Any, minval: Any, maxval: Any, *, seed: int, seed2: int, Tout: DType
    ) -> Any:
        sizes, count = sizes_of(shape)
        bounds = _bounds(minval, maxval, count)
        start = _reserved(ctx, draws, seed, seed2, count * BLOCKS_PER_ELEMENT)
        return draws.integers(ctx.xp, start, count, *bounds, Tout.numpy).reshape(sizes)

    @kernel("StatelessRandomUniformInt", host=["shape", "seed", "minval", "maxval"], device=device)
    def stateless_integers(
        xp: Any, shape: Any, seed: Any, minval: Any, maxval: Any, *, dtype: DType
    ) -> Any:
        sizes, count = sizes_of(shape)
        bounds = _bounds(minval, maxval, count)
        start = Start.of(*_begin(seed))
        return draws.integers(xp, start, count, *bounds, dtype.numpy).reshape(sizes)

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
        start = _resume(key, counter, alg)
        return draws.integers(xp, start, count, *bounds, dtype.numpy).reshape(sizes)

    @kernel("StatelessRandomUniformFullInt", host=["shape", "seed"], device=device)
    def stateless_full_integers(xp: Any, shape: Any, seed: Any, *, dtype: DType) -> Any:
        if seed.dtype.kind == "u":
            raise _refuse(f"Invalid seed type: {seed.dtype.name}")
        return _full_integers(draws, xp, Start.of(*_begin(seed)), shape, dtype)

    @kernel(
        "StatelessRandomUniformFullIntV2",
        host=["shape", "key", "counter", "alg"],
        device=device,
    )
    def resumed_full_integers(
        xp: Any, shape: Any, key: Any, counter: Any, alg: Any, *, dtype: DType
    ) -> Any:
        return _full_integers(draws, xp, _resume(key, counter, alg), shape, dtype)


def _register_categories(draws: Draws, device: str | None) -> None:
    @kernel(
        "Multinomial",
        stateful=True,
        records=True,
        host=["num_samples"],
        types={"T": _FLOATS},
        device=device,
    )
    def categories(
        ctx: Any, logits: Any, num_samples: Any, *, seed: int, seed2: int, output_dtype: DType
    ) -> Any:
        count = _check_categories(logits, num_samples)
        # More than is used; the rows draw from one stream.
        blocks = logits.shape[0] * -(-count // 4) * 4 * 2 * BLOCKS_PER_ELEMENT
        start = _reserved(ctx, draws, seed, seed2, blocks)
        return draws.categories(ctx.xp, start, logits, count, output_dtype.numpy)

    @kernel(
        "StatelessMultinomial", host=["num_samples", "seed"], types={"T": _FLOATS}, device=device
    )
    def stateless_categories(
        xp: Any, logits: Any, num_samples: Any, seed: Any, *, output_dtype: DType
    ) -> Any:
        count = _check_categories(logits, num_samples)
        return draws.categories(xp, Start.of(*_begin(seed)), logits, count, output_dtype.numpy)


for _draws, _device in ((_ON_HOST, "CPU"), (_ANYWHERE, None)):
    _register_integers(_draws, _device)
    _register_categories(_draws, _device)
    for _names, _draw in (
        (("RandomUniform", "StatelessRandomUniform"), Draws.uniform),
        (("RandomStandardNormal", "StatelessRandomNormal"), Draws.normal),
        (("TruncatedNormal", "StatelessTruncatedNormal"), Draws.truncated_normal),
    ):
        _register_numbers(_draws, _device, _names, _draw)


@kernel("RandomShuffle", stateful=True, records=True)
def random_shuffle(ctx: Any, value: Any, *, seed: int, seed2: int) -> Any:
    """The rows in another order."""
    count = value.shape[0] if value.ndim else 1
    if count <= 1:
        return value.copy()
    generator = _generator(ctx, seed, seed2)

    def order() -> Any:
        start = Start.of(generator.key, generator.reserve(-(-(count - 1) // 4)))
        return _ON_HOST.permutation(start, count)

    return ctx.xp.take(value, ctx.array_of_each_step(order), axis=0)


@kernel("StatelessShuffle", host=["key", "counter", "alg"])
def stateless_shuffle(xp: Any, value: Any, key: Any, counter: Any, alg: Any) -> Any:
    """The rows in another order."""
    start = _resume(key, counter, alg)
    count = value.shape[0] if value.ndim else 1
    if count <= 1:
        return value.copy()
    return xp.take(value, xp.asarray(_ON_HOST.permutation(start, count)), axis=0)


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
