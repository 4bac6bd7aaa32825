"""The generator by its published answers; the draws and elementary functions made of it."""

import math
import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession  # noqa: F401  (kernels import through it)
from tfsession.kernels import random_math
from tfsession.kernels.random_draws import Draws, Start
from tfsession.resources.philox import Philox, block, scrambled, words

DRAWS = Draws(16, of_c_library=True)


def number(*parts):
    """Words as one integer, the first the lowest."""
    return sum(part << 32 * at for at, part in enumerate(parts))


# Known answers that the authors of the generator publish: counter, key, block.
KNOWN = [
    (number(0, 0, 0, 0), number(0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (2**128 - 1, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (number(0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), number(0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    assert block(key, counter) == expected
    assert tuple(DRAWS.words(np, Start.of(key, counter), 4)) == expected


COUNTERS = st.one_of(
    st.integers(0, 2**128 - 1),
    st.builds(lambda power, back: 2**power - back, st.sampled_from([32, 64]), st.integers(0, 40)),
)


@given(st.integers(0, 2**64 - 1), COUNTERS, st.integers(0, 200))
def test_many_blocks_are_single_blocks_in_a_row(key, counter, count):
    stream = words(key, counter)
    expected = [next(stream) for _ in range(count)]
    assert DRAWS.words(np, Start.of(key, counter), count).tolist() == expected


def test_a_counter_comes_round():
    stream = words(7, 2**128 - 1)
    assert [next(stream) for _ in range(8)][4:] == list(block(7, 0))


def test_reservations():
    generator = Philox(-1, 5)
    assert generator.key == 2**64 - 1
    assert generator.reserve(3) == 5 << 64
    assert generator.reserve(2**128) == (5 << 64) + 3
    assert generator.reserve(0) == (5 << 64) + 3


def test_reservations_of_threads_do_not_overlap():
    generator = Philox(1, 2)
    taken = []

    def take():
        taken.extend([generator.reserve(2) for _ in range(500)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [(2 << 64) + 2 * i for i in range(2000)]


def test_zero_seeds_are_seeds_of_the_system():
    assert Philox(0, 0).key != Philox(0, 0).key
    assert Philox(0, 1).key == 0


def test_a_scrambled_seed_sets_the_upper_half_of_the_counter():
    key, counter = scrambled(1, 2)
    assert (key, counter) == (10413732777507651514, 17830669156045600267 << 64)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 63, 64, 65, 1000])
@pytest.mark.parametrize("draw", ["uniform", "normal", "truncated_normal"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parts_of_any_size_draw_the_same(draw, dtype, count):
    dtype = np.dtype(dtype)
    parts = getattr(Draws(8, True), draw)(np, Start.of(9, 2**32 - 5), count, dtype)
    whole = getattr(Draws(1 << 20, True), draw)(np, Start.of(9, 2**32 - 5), count, dtype)
    assert parts.dtype == dtype
    assert parts.tobytes() == whole.tobytes()


def test_moments():
    draws = Draws(1 << 12, of_c_library=True)
    for draw, variance in (("normal", 1.0), ("truncated_normal", 0.7737413)):
        drawn = getattr(draws, draw)(np, Start.of(1, 1 << 64), 200_000, np.dtype("float64"))
        assert abs(drawn.mean()) < 0.01
        assert abs(drawn.var() - variance) < 0.01
    assert abs(drawn).max() < 2
    uniform = draws.uniform(np, Start.of(1, 1 << 64), 200_000, np.dtype("float32"))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("counter", [0, (1 << 64) - 2000, (1 << 128) - 1])
def test_numbers_that_fit_are_found_without_a_look_at_them(dtype, counter):
    for count in (0, 1, 7, 40_001):
        start, wanted = Start.of(7, counter), np.dtype(dtype)
        looked, unseen = (
            Draws(1 << 12, of_c_library=False, is_recorded=is_recorded).truncated_normal(
                np, start, count, wanted
            )
            for is_recorded in (False, True)
        )
        assert looked.tobytes() == unseen.tobytes()


@given(st.integers(0, 300), st.integers(0, 2**64 - 1))
def test_a_permutation_is_one(count, key):
    assert sorted(DRAWS.permutation(Start.of(key, 0), count)) == list(range(count))


# --- elementary functions: of all 2**23 arguments that a uniform float32 number can be ------------

STEP = 1 << 18
# Checksums of what glibc 2.28 and later give.
LOGARITHMS, SINES, COSINES = 1923853873, 2128633686, 2977041708


def test_every_logarithm_sine_and_cosine():
    sums = [0, 0, 0]
    for first in range(0, 1 << 23, STEP):
        whole = random_math._whole(np.arange(first, first + STEP, dtype=np.uint64))
        angles = (whole * random_math._TWO_PI_STEP).astype(np.float32).astype(np.float64)
        logarithms = random_math._log(np, np.maximum(whole, random_math._SMALLEST))
        found = (logarithms, *random_math._sin_cos(angles))
        sums = [zlib.crc32(part.tobytes(), total) for part, total in zip(found, sums, strict=True)]
    assert sums == [LOGARITHMS, SINES, COSINES]


def test_float64_functions_are_the_c_librarys():
    points = np.linspace(1e-7, 2 * math.pi, 50_001)
    for name in ("log", "sin", "cos"):
        function = random_math._of_c_library(name)
        assert function(points).tolist() == [getattr(math, name)(x) for x in points.tolist()]
