"""Stretches of files: whatever their sizes and order, each target gets its bytes and its sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.checkpoint import stretches
from tfsession.checkpoint.stretches import EndOfFile, Stretch, read_stretches
from tfsession.core.crc32c import crc32c
from tfsession.core.progress import Progress, watched


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of random bytes, and their content."""
    directory = tmp_path_factory.mktemp("stretches")
    found = {}
    for name, size in (("a", 3000), ("b", 1000)):
        found[str(directory / name)] = np.random.default_rng(size).bytes(size)
        (directory / name).write_bytes(found[str(directory / name)])
    return found


@pytest.fixture
def small(monkeypatch):
    """Small pieces and jobs, so that small files are cut, and read by threads."""
    for name, value in (("_PIECE", 16), ("_JOB", 100), ("_LONGEST_JOB", 200), ("_MOST_TARGETS", 3)):
        monkeypatch.setattr(stretches, name, value)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1000), st.integers(0, 700))))
def test_all_arrive(files, asked):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("_PIECE", 16),
            ("_JOB", 100),
            ("_LONGEST_JOB", 200),
            ("_MOST_TARGETS", 3),
        ):
            patch.setattr(stretches, name, value)
        names = sorted(files)
        wanted = [(names[n], start, min(size, 1000 - start)) for n, start, size in asked]
        asked = [Stretch(*one) for one in wanted]
        targets = [np.zeros(size, np.uint8) for _, _, size in wanted]
        told = []
        with watched(names[0][:-1], lambda *now: told.append(now)):
            progress = Progress(names[0], sum(size for _, _, size in wanted))
            sums = read_stretches(asked, targets.__getitem__, progress)
    for (name, start, size), target, value in zip(wanted, targets, sums, strict=True):
        expected = files[name][start : start + size]
        assert target.tobytes() == expected
        assert value == crc32c(expected)
    assert told[-1] == (sum(size for _, _, size in wanted),) * 2


@pytest.mark.parametrize("size", [50, 200, 900])
def test_a_file_ends_too_early(files, small, size):
    name = max(files)
    sizes = 990, size
    asked = [Stretch(name, 0, 990), Stretch(name, 990, size)]
    with pytest.raises(EndOfFile) as caught:
        read_stretches(asked, lambda n: np.zeros(sizes[n], np.uint8), Progress("", 0))
    assert caught.value.number == 1


def test_a_file_is_not_there(files, small):
    with pytest.raises(FileNotFoundError):
        read_stretches(
            [Stretch(max(files) + "x", 0, 1)], lambda _: np.zeros(1, np.uint8), Progress("", 0)
        )
