"""What a simulated device records of choices and loops, and what it refuses within them."""

import numpy as np
import pytest
from test_simulated import content, make

from tfsession.devices.capture import NotRecordable
from tfsession.devices.slab import Lifetime, lay_out

FLOATS = np.arange(4, dtype=np.float32)


@pytest.fixture
def gpu():
    """A device whose stream is the current one, as it is for kernels."""
    device = make()
    with device.activate():
        yield device


def plan(*sizes):
    """A slab for allocations of these sizes, none of which shares memory with another."""
    return lay_out([Lifetime(size, moment, 1 << 30) for moment, size in enumerate(sizes)])


def recorded(gpu, work, sizes, state=()):
    layout = plan(*sizes)
    slab = gpu.slab(layout.nbytes)
    with gpu.recording(slab, layout, 0, state) as made:
        result = work(made)
    return made, result


def test_a_replay_makes_the_calls_of_one_way(gpu):
    x, truth = gpu.upload(FLOATS), gpu.upload(np.array(True))

    def work(made):
        out = gpu.xp.empty(4, np.float32)

        def put(function):
            out[...] = function(x)

        made.choose(truth, lambda: put(lambda v: v + 1), lambda: put(lambda v: v * 2))
        return out

    made, out = recorded(gpu, work, [16, 16, 16])
    before = gpu.counters()
    for holds in (True, False, True):
        content(truth)[...] = holds
        made.replay()
        np.testing.assert_array_equal(content(out), FLOATS + 1 if holds else FLOATS * 2)
    counted = gpu.counters().since(before)
    assert (counted.replays, counted.launches, counted.reads) == (3, 0, 0)


def test_a_replay_takes_as_many_turns_as_the_device_says(gpu):
    first, least = gpu.upload(FLOATS), gpu.upload(np.float32(20))

    def work(made):
        xp = gpu.xp
        state, truth = xp.empty(4, np.float32), xp.empty((), bool)
        state[...] = first
        truth[...] = state.sum() < least

        def turn():
            state[...] = state + 1
            truth[...] = state.sum() < least

        made.repeat(truth, turn, [])
        return state

    made, state = recorded(gpu, work, [16, 1, 4, 1, 16, 4, 1])
    for bound, turns in ((20, 4), (6, 0), (7, 1)):
        content(least)[...] = bound
        made.replay()
        np.testing.assert_array_equal(content(state), FLOATS + turns)


def test_a_loop_ends_when_somebody_closes(gpu):
    truth, closing = gpu.upload(np.array(True)), []

    def work(made):
        count = gpu.xp.empty((), np.int32)
        count[...] = 0

        def turn():
            count[...] += 1
            made._calls.append(lambda: content(count) > 9 and closing.append(True))

        made.repeat(truth, turn, closing)
        return count

    made, count = recorded(gpu, work, [4])
    made.replay()
    assert content(count) == 10


BODIES = {
    "from the host": lambda xp, x: xp.asarray(FLOATS),
    "to the host": lambda xp, x: x.get(),
    "a look": lambda xp, x: bool(x[0] > 0),
    "a wait": lambda xp, x: xp.sort(x),
    "a count": lambda xp, x: xp.nonzero(x),
    "elsewhere": lambda xp, x: x.fill(1),
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("way", ["chosen", "not chosen", "repeated", "rehearsed"])
def test_what_cannot_be_recorded_cannot_be_within_either(gpu, what, way):
    x, truth = gpu.upload(FLOATS), gpu.upload(np.array(True))

    def body():
        BODIES[what](gpu.xp, x)

    def work(made):
        if way == "repeated":
            made.repeat(truth, body, [])
        elif way == "chosen":
            made.choose(truth, body, lambda: None)
        else:
            made.choose(truth, lambda: None, body)

    if way == "rehearsed":
        before = gpu.counters()
        if what == "elsewhere":  # only a recording knows what is a variable
            with gpu.rehearsing():
                work(gpu.watch.recording)
        else:
            with pytest.raises(NotRecordable), gpu.rehearsing():
                work(gpu.watch.recording)
        assert gpu.counters().since(before).reads == 0
    else:
        with pytest.raises(NotRecordable):
            recorded(gpu, work, [1, 1])
    np.testing.assert_array_equal(content(x), FLOATS)
    assert gpu.watch.recording is None


def test_a_rehearsal_allocates_and_writes_to_nothing_else(gpu):
    x = gpu.upload(FLOATS)
    with gpu.watch.tracing() as trace, gpu.rehearsing():
        y = x + 1
        x[...] = y
        kept = gpu.xp.zeros(8, np.float32)
    assert [lifetime.nbytes for lifetime in trace.lifetimes()] == [16, 32]
    np.testing.assert_array_equal(content(x), FLOATS)
    kept[...] = 1.0  # it is ordinary memory
    assert gpu.ledger.stats().in_use >= 64


def test_small_tables_are_brought_over_aside(gpu):
    with gpu.rehearsing():
        table = gpu.xp.constants.get(gpu.xp, FLOATS)
    np.testing.assert_array_equal(content(table), FLOATS)
    assert gpu.xp.constants.get(gpu.xp, FLOATS) is table
