"""Locks that a forked child finds free, and objects that hear of the fork."""

import gc
import os
import threading
import time
import warnings

import pytest

from tfsession.core import forking

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def _child(work):
    """The exit status of a child that does `work`: 0 when it gives True."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pid = os.fork()
    if not pid:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def holding():
    """A function that lets another thread hold a lock until the test is over."""
    release, threads = threading.Event(), []

    def hold(lock):
        held = threading.Event()

        def run():
            with lock:
                held.set()
                release.wait(30)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        assert held.wait(10)

    yield hold
    release.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("make", [forking.lock, forking.rlock])
def test_what_another_thread_holds_is_free_in_the_child(make, holding, monkeypatch):
    monkeypatch.setattr(forking, "_PATIENCE", 0.02)
    lock, other = make(), make()
    holding(lock)
    assert _child(lambda: lock.acquire(timeout=5) and other.acquire(timeout=5)) == 0
    assert not lock.acquire(blocking=False)  # the parent's is as it was
    with other:
        pass


def test_a_fork_waits_for_who_writes(monkeypatch):
    """Under its lock another thread is half-way for a moment: the child never sees that."""
    monkeypatch.setattr(forking, "_PATIENCE", 10)
    lock, pair, done = forking.lock(), [0, 0], threading.Event()

    def write():
        while not done.is_set():
            with lock:
                pair[0] += 1
                time.sleep(0.002)
                pair[1] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert [_child(lambda: pair[0] == pair[1]) for _ in range(5)] == [0] * 5
    finally:
        done.set()
        thread.join()


def test_what_the_forking_thread_holds_it_holds_in_both():
    lock = forking.rlock()
    with lock:

        def still_held():
            held = lock._is_owned()
            lock.release()
            return held and not lock._is_owned() and lock.acquire(timeout=5)

        assert _child(still_held) == 0
        assert lock._is_owned()
    assert not lock._is_owned()


def test_owners_hear_of_it_in_the_child():
    class Owner:
        heard = 0

        def after_fork(self):
            self.heard += 1

    owner = Owner()
    forking.notice(owner)
    assert _child(lambda: owner.heard == 1) == 0
    assert owner.heard == 0


def test_nothing_is_kept_alive():
    gc.collect()
    locks, owners = len(forking._locks), len(forking._owners)
    made = [make() for make in (forking.lock, forking.rlock) for _ in range(100)]
    assert len(forking._locks) == locks + len(made)
    del made
    assert len(forking._locks) == locks
    assert len(forking._owners) == owners


def test_who_waits_until_a_lock_is_free_does_not_own_it_meanwhile():
    lock, waits = forking.lock(), threading.Event()
    lock.acquire()

    def wait():
        waits.set()
        assert forking.once_free(lock) is lock

    thread = threading.Thread(target=wait)
    thread.start()
    assert waits.wait(10)
    thread.join(0.01)
    assert thread.is_alive()
    for _ in range(3):  # who holds it gives and takes it as if nobody waited
        lock.release()
        assert lock.acquire(blocking=False)
    lock.release()
    thread.join(10)
    assert not thread.is_alive()
