"""Pending: completed once, told once, whichever threads come at the same time."""

import sys
import threading

import pytest

from tfsession.core.pending import Pending


def test_a_result_is_told_once_whatever_comes_first():
    for early in (True, False):
        told = []
        pending = Pending(lambda pending: None)
        if early:
            pending.when_done(told.append)
        assert not pending.is_done
        assert pending.succeed(3)
        assert not pending.succeed(4)
        assert not pending.fail(ValueError())
        if not early:
            pending.when_done(told.append)
        assert told == [pending]
        assert (pending.is_done, pending.result, pending.error) == (True, 3, None)


def test_cancelling_asks_once_and_not_when_it_is_done():
    asked = []
    pending = Pending(asked.append)
    pending.cancel()
    pending.cancel()
    assert asked == [pending]
    error = ValueError()
    assert pending.fail(error)
    assert pending.error is error
    done = Pending(asked.append)
    done.succeed(None)
    done.cancel()
    assert asked == [pending]


def test_an_interrupted_request_can_be_made_again():
    asked = []

    def cancel(pending):
        asked.append(pending)
        if len(asked) == 1:
            raise KeyboardInterrupt

    pending = Pending(cancel)
    with pytest.raises(KeyboardInterrupt):
        pending.cancel()
    pending.cancel()
    pending.cancel()
    assert len(asked) == 2


def test_an_error_of_the_callback_is_its_own():
    pending = Pending(lambda pending: None)
    pending.when_done(lambda pending: [].pop())
    with pytest.raises(IndexError):
        pending.succeed(1)
    assert pending.is_done


def test_of_many_threads_one_completes_and_one_tells():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(60):
            told, won = [], []
            pending = Pending(lambda pending: None)
            works = [
                lambda n=n, p=pending, w=won: w.append(n) if p.succeed(n) else 0 for n in (1, 2)
            ]
            works.append(lambda p=pending, t=told: p.when_done(lambda done: t.append(done.result)))
            threads = [threading.Thread(target=work) for work in works]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1
            assert told == won
    finally:
        sys.setswitchinterval(before)
