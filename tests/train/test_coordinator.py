"""Threads that end together, with the first error of one of them."""

import sys
import threading
import time

import pytest

import tfsession as tf


def started(target, *args):
    thread = threading.Thread(target=target, args=args, name="t")
    thread.start()
    return thread


def test_threads_end_when_one_of_them_asks():
    coord = tf.train.Coordinator()
    threads = [started(coord.wait_for_stop) for _ in range(3)]
    assert not coord.should_stop()
    threads.append(started(coord.request_stop))
    coord.join(threads)
    assert coord.should_stop()
    assert coord.joined
    assert not any(thread.is_alive() for thread in threads)


def test_the_first_error_is_raised_by_join_and_only_that():
    coord = tf.train.Coordinator()
    first, second = ValueError("first"), KeyError("second")
    coord.request_stop(first)
    coord.request_stop(second)
    for again in (coord.join, coord.raise_requested_exception):
        with pytest.raises(ValueError, match="first"):
            again()
    with pytest.raises(KeyError, match="second"):
        coord.request_stop(second)
    coord.clear_stop()
    assert not coord.should_stop()
    assert not coord.joined
    coord.request_stop()
    coord.join()


def test_the_end_of_data_is_no_error():
    end = tf.errors.OutOfRangeError(None, None, "over")
    coord = tf.train.Coordinator()
    with coord.stop_on_exception():
        raise end
    assert coord.should_stop()
    coord.join()
    strict = tf.train.Coordinator(clean_stop_exception_types=())
    strict.request_stop(end)
    with pytest.raises(tf.errors.OutOfRangeError, match="over"):
        strict.join()


def test_what_sys_exc_info_gives_will_do():
    coord = tf.train.Coordinator()
    try:
        raise ValueError("it")
    except ValueError:
        coord.request_stop(sys.exc_info())
    with pytest.raises(ValueError, match="it"):
        coord.join()
    with pytest.raises(TypeError, match="ex must be an exception"):
        coord.request_stop("text")


def test_stragglers_are_named():
    coord, release = tf.train.Coordinator(), threading.Event()
    thread = started(release.wait)
    coord.register_thread(thread)
    coord.request_stop()
    with pytest.raises(RuntimeError, match="threads still running: t"):
        coord.join(stop_grace_period_secs=0.01)
    coord.join([thread], stop_grace_period_secs=0.01, ignore_live_threads=True)
    release.set()
    thread.join()


def test_join_returns_when_all_have_ended_without_a_stop():
    coord = tf.train.Coordinator()
    coord.join([started(time.sleep, 0.01)])
    assert not coord.should_stop()
    assert not coord.wait_for_stop(0.01)


@pytest.mark.parametrize("interval", [None, 0.001])
def test_a_looper_loops_until_the_stop(interval):
    coord, seen = tf.train.Coordinator(), []

    def count(value, step=1):
        seen.append(value)
        if len(seen) == 3:
            coord.request_stop()

    looper = tf.train.LooperThread.loop(coord, interval, count, [5], {"step": 2})
    coord.join()
    assert seen == [5, 5, 5]
    assert not looper.is_alive()


def test_a_looper_tells_its_error():
    coord = tf.train.Coordinator()

    class Looper(tf.train.LooperThread):
        def run_loop(self):
            raise ValueError("in the loop")

    Looper(coord, None).start()
    with pytest.raises(ValueError, match="in the loop"):
        coord.join()


def test_a_looper_checks_its_arguments():
    with pytest.raises(ValueError, match="'coord' argument must be a Coordinator"):
        tf.train.LooperThread(None, 1)
    with pytest.raises(ValueError, match="require that you also pass 'target'"):
        tf.train.LooperThread(tf.train.Coordinator(), 1, args=[1])
