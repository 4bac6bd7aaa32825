"""Memory that threads keep for what blocks make on their way, and how blocks are cut."""

import threading
import types
from itertools import pairwise

import numpy as np
import pytest

from tfsession.devices import workspace
from tfsession.devices.threads import even_rows
from tfsession.devices.workspace import Workspace


def spans(*arrays):
    return sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays)


def test_arrays_lie_apart_and_aligned():
    with Workspace(np) as take:
        arrays = [take((3, 5), "float32"), take((7,), bool), take((2, 2), np.int64), take((), "i2")]
        with Workspace(np) as more:
            arrays.append(more((100,), "float64"))
        assert [(a.shape, a.dtype.name) for a in arrays[:2]] == [
            ((3, 5), "float32"),
            ((7,), "bool"),
        ]
        ends = spans(*arrays)
        assert all(a[1] <= b[0] for a, b in pairwise(ends))
        assert all(start % 64 == 0 for start, _ in ends)


def test_what_has_ended_is_taken_again_even_after_an_error():
    with Workspace(np) as take:
        first = take((10,), "float32").ctypes.data
    with pytest.raises(ValueError, match="stop"), Workspace(np) as take:
        assert take((10,), "float32").ctypes.data == first
        raise ValueError("stop")
    with Workspace(np) as outer:
        held = outer((10,), "float32")
        for _ in range(2):
            with Workspace(np) as inner:
                assert inner((10,), "float32").ctypes.data == first + 64
        assert held.ctypes.data == first


def test_what_is_too_large_has_its_own_memory():
    with Workspace(np) as take:
        small, large = take((8,), "uint8"), take((workspace._BYTES,), "uint8")
        after = take((8,), "uint8")
        large[...] = 1
        assert large.base is None
        assert after.ctypes.data == small.ctypes.data + 64


def test_each_thread_has_its_own():
    places = []

    def work():
        with Workspace(np) as take:
            places.append(take((64,), "uint8"))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work()
    ends = spans(*places)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))


def test_elsewhere_memory_is_fresh():
    xp = types.SimpleNamespace(empty=lambda shape, dtype: (shape, dtype))
    with Workspace(xp) as take:
        assert take((2,), "float32") == ((2,), "float32")


@pytest.mark.parametrize(
    ("rows", "row_bytes", "expected"),
    [(0, 1, 1), (1, 1, 1), (100, 1, 100), (101, 1, 26), (700, 1, 88), (5, 1000, 1), (3, 0, 3)],
)
def test_blocks_are_even(rows, row_bytes, expected):
    assert even_rows(rows, row_bytes, 100) == expected
