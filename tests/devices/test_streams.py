"""The order of work on several devices: simulated streams find what nothing orders.

The same protocol runs on CUDA (devices/accelerator.py); bugs are planted in it, and must be seen.
"""

import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.errors import InternalError
from tfsession.devices.manager import DeviceManager
from tfsession.devices.simulated import SimulatedDevice
from tfsession.devices.simulated_stream import Accesses, SimulatedStream, SimulatedTimer
from tfsession.devices.transfer import copy

FLOATS = np.arange(6, dtype=np.float32)
RACE = "nothing orders the two"


# --- streams and events alone -------------------------------------------------------------------


@pytest.fixture
def streams():
    return [SimulatedStream(name) for name in "abc"]


def test_work_of_one_stream_is_in_order(streams):
    memory = Accesses(streams[0])
    for _ in range(3):
        memory.write(streams[0])
        memory.read(streams[0])


@pytest.mark.parametrize("waits", ["before", "never", "for another", "for one that waited"])
def test_a_time_is_not_known_before_the_host_has_waited(streams, waits):
    a, b, _ = streams
    timer = SimulatedTimer(a)
    timer.mark()
    a.synchronize()
    assert timer.nanoseconds() == [0]
    timer.mark()
    if waits == "for one that waited":
        b.wait_event(a.record())
    if waits.startswith("for"):
        b.synchronize()
    if waits == "for one that waited":
        assert timer.nanoseconds()[1] > 0
    else:
        with pytest.raises(InternalError, match="a may not have come to mark 1 yet"):
            timer.nanoseconds()


# (what happens between a's writing and b's reading, whether that orders them)
ORDERS = {
    "nothing": (lambda a, b, c: None, False),
    "a wait for an event": (lambda a, b, c: b.wait_event(a.record()), True),
    "an event too old": (lambda a, b, c: b.wait_event(OLD), False),
    "an event of another stream": (lambda a, b, c: b.wait_event(c.record()), False),
    "the wrong one waits": (lambda a, b, c: a.wait_event(b.record()), False),
    "by way of a third": (
        lambda a, b, c: (c.wait_event(a.record()), b.wait_event(c.record())),
        True,
    ),
    "a third that waits too late": (
        lambda a, b, c: (b.wait_event(c.record()), c.wait_event(a.record())),
        False,
    ),
    "the host waits for a": (lambda a, b, c: a.synchronize(), True),
    "the host waits for b": (lambda a, b, c: b.synchronize(), False),
    "the host waits for who waits for a": (
        lambda a, b, c: (c.wait_event(a.record()), c.synchronize()),
        True,
    ),
}
OLD = {}


@pytest.mark.parametrize(("between", "ordered"), ORDERS.values(), ids=ORDERS.keys())
def test_what_orders_two_streams(streams, between, ordered):
    a, b, c = streams
    OLD.clear()
    OLD.update(a.record())
    memory = Accesses(a)
    between(a, b, c)
    if ordered:
        memory.read(b)
        memory.write(b)
    else:
        with pytest.raises(InternalError, match=f"b reads memory while a still writes it: {RACE}"):
            memory.read(b)
        with pytest.raises(InternalError, match=f"b writes memory while a still uses it: {RACE}"):
            memory.write(b)


def test_what_was_read_is_not_written_too_early(streams):
    a, b, _ = streams
    memory = Accesses(a)
    b.wait_event(a.record())
    memory.read(b)
    with pytest.raises(InternalError, match="a writes memory while b still uses it"):
        memory.write(a)
    a.wait_event(b.record())
    memory.write(a)
    with pytest.raises(InternalError, match="b reads memory while a still writes it"):
        memory.read(b)


# --- the protocol between devices, right and with planted bugs ------------------------------------


@pytest.fixture
def pair():
    manager = DeviceManager(environ={"TFSESSION_SIMULATED_GPUS": "2:1KiB"})
    yield manager.devices[1:]
    manager.close()


def to_the_peer_and_on(first, second):
    """A copy to a peer, after work and before more work on its source; then all is read."""
    with first.activate():
        array = first.to_device(FLOATS) * 2
    copied = copy(array, first, second)
    with first.activate():
        array += 1  # after the copy has read it
    with second.activate():
        doubled = copied * 2
    return [copy(each, where, None) for each, where in ((array, first), (doubled, second))]


def dropped(first, second):
    """A part that is made contiguous for the copy only, and then its memory is used again."""
    array = first.to_device(FLOATS)
    copied = copy(array[::2], first, second)
    del array
    with first.activate():
        first.xp.zeros(3)
    return [copy(copied, second, None)]


def test_a_copy_to_a_peer_comes_after_its_source_and_before_its_reuse(pair):
    for _ in range(3):
        here, there = to_the_peer_and_on(*pair)
        np.testing.assert_array_equal(here, FLOATS * 2 + 1)
        np.testing.assert_array_equal(there, FLOATS * 4)
        (part,) = dropped(*pair)
        np.testing.assert_array_equal(part, FLOATS[::2])
    # The host has waited for what it has read, and for nothing else.
    assert [gpu.counters().synchronizations for gpu in pair] == [3, 6]


def test_both_ways_and_from_many_threads(pair):
    wrong = []

    def work(first, second):
        for _ in range(30):
            found = to_the_peer_and_on(first, second)
            if any(map(np.any, found - np.stack([FLOATS * 2 + 1, FLOATS * 4]))):
                wrong.append(found)

    def run(*devices):
        try:
            work(*devices)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=pair[::way]) for way in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_another_thread_does_meanwhile_is_no_race(pair):
    """It updates a variable just when this one copies it: the program has not ordered them."""
    first, second = pair
    array = first.to_device(FLOATS)
    wrong = []

    def update():
        try:
            with first.activate():
                array[...] = array + 1
        except BaseException as error:
            wrong.append(error)

    class Busy(SimulatedStream):
        __slots__ = ()

        def record(self):
            thread = threading.Thread(target=update)
            thread.start()
            thread.join()
            return super().record()

    for stream in (first, second):
        before, stream._stream.__class__ = stream._stream.__class__, Busy
        copied = copy(copy(array, first, second), second, None)
        stream._stream.__class__ = before
    assert wrong == []
    assert copied[0] == 1
    with first.activate():
        array += 1  # and this thread is in order with itself again


class NoWait(SimulatedStream):
    """A stream that forgets to wait."""

    __slots__ = ()

    def wait_event(self, event):
        pass


class OldEvents(SimulatedStream):
    """A stream whose events are recorded before its work."""

    __slots__ = ()

    def record(self):
        return {self: 0}


PLANTED = [
    ("the copy does not wait", 1, NoWait, to_the_peer_and_on, "GPU:1 reads memory while .*GPU:0"),
    ("nothing recorded", 0, OldEvents, to_the_peer_and_on, "GPU:1 reads memory while .*GPU:0"),
    ("the source writes", 0, NoWait, to_the_peer_and_on, "GPU:0 writes memory while .*GPU:1"),
    ("nothing recorded after", 1, OldEvents, to_the_peer_and_on, "GPU:0 writes memory while"),
    ("the memory is used again", 0, NoWait, dropped, "GPU:0 gives out memory again while .*GPU:1"),
    ("no event of the copy", 1, OldEvents, dropped, "GPU:0 gives out memory again while .*GPU:1"),
]


@pytest.mark.parametrize(
    ("number", "stream", "program", "complaint"),
    [row[1:] for row in PLANTED],
    ids=[row[0] for row in PLANTED],
)
def test_a_missing_order_is_noticed(pair, number, stream, program, complaint):
    pair[number]._stream = stream(pair[number].name)
    with pytest.raises(InternalError, match=f"{complaint}.*{RACE}"):
        program(*pair)
    pair[number]._stream.__class__ = SimulatedStream
    assert copy(pair[1].to_device(FLOATS), pair[1], None).sum() == 15  # and the device works on


# --- arrays that a program shares with a session --------------------------------------------------


def share(session, x, y):
    """A program takes arrays, works with them, feeds and drops them."""
    step = session.make_callable(y, [x], device_fetches=True)
    array = step(FLOATS)
    for _ in range(3):
        array += 1.0
        given, array = array, step(array)
        given *= 0.0  # after the step has read it
        del given
    return array.get()


def session_with_a_gpu():
    x = tf.placeholder(tf.float32, [6])
    with tf.device("/gpu:0"):
        y = x * 2.0
    config = tf.ConfigProto(device_options={"simulated_gpus": "1:1MiB"})
    return tf.Session(config=config), x, y


def test_what_is_shared_is_in_order_without_waiting(fresh_graph):
    session, x, y = session_with_a_gpu()
    with session, session.counting() as counted:
        np.testing.assert_array_equal(share(session, x, y), FLOATS * 16 + 14)
    assert counted.total.synchronizations == 1  # the program's own, for `get()`


@pytest.mark.parametrize("forgotten", ["hand_out", "_await_program"])
def test_a_missing_order_with_the_program_is_noticed(fresh_graph, monkeypatch, forgotten):
    session, x, y = session_with_a_gpu()
    monkeypatch.setattr(SimulatedDevice, forgotten, lambda self: None)
    with session, pytest.raises(InternalError, match=RACE):
        share(session, x, y)


def test_a_fed_array_that_is_cast_and_fetched_again_is_in_order(fresh_graph):
    session, x, y = session_with_a_gpu()
    doubles = tf.placeholder(tf.float64, [6])
    with session:
        array = session.make_callable(y, [x], device_fetches=True)(FLOATS)
        assert session.run(doubles, {doubles: array}).get().dtype == np.float64
