"""The collector held back: for as long as a block of any thread lasts, and no longer."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Iterator

import pytest

from tfsession.core.collections_off import no_collections


@pytest.mark.parametrize("was_enabled", [True, False])
def test_all_is_as_before_behind_the_last_block(was_enabled: bool) -> None:
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(KeyError), no_collections():
            with no_collections():
                assert not gc.isenabled()
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()


def test_a_block_of_one_thread_lasts_when_that_of_another_ends() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with no_collections():
            begun.set()
            may_end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    with no_collections():
        pass
    assert not gc.isenabled()
    may_end.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_does_not_wait_for_the_blocks_of_threads_that_it_lacks() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with no_collections():
            begun.set()
            may_end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    child = os.fork()
    if not child:
        os._exit(0 if gc.isenabled() else 1)
    may_end.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def _nothing_is_frozen() -> Iterator[None]:
    """Not even the tests themselves."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


class _Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("_nothing_is_frozen")
def test_what_was_made_in_a_long_block_is_old_and_garbage_of_it_is_found() -> None:
    gc.collect()
    with no_collections():
        rings = [_Ring() for _ in range(100_000)]
    assert len(gc.get_objects(0)) < 10_000
    assert not gc.get_freeze_count()
    last = weakref.ref(rings[-1])
    del rings
    gc.collect()
    assert last() is None


@pytest.mark.usefixtures("_nothing_is_frozen")
def test_what_a_program_has_frozen_stays_so() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with no_collections():
        rings = [_Ring() for _ in range(100_000)]
    assert gc.get_freeze_count() == frozen
    del rings
    gc.unfreeze()
