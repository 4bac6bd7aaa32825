"""How often a step waits for a device: never for what devices tell each other, else once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import fresh_graph, make_simulated_session

X = np.float32([1.0, -2.0, 3.0])


def on(device, function, *inputs):
    with tf.device(device):
        return function(*inputs)


def to_each_other(x):
    a = on("/gpu:0", tf.square, x)
    b = on("/gpu:1", tf.negative, a)
    return on("/gpu:0", tf.add, a, b).op


def one_value(x):
    return on("/gpu:0", tf.square, x)


def ten_values(x):
    return [on("/gpu:0", tf.add, x, float(n)) for n in range(10)]


def two_devices(x):
    return [on("/gpu:0", tf.square, x), on("/gpu:1", tf.square, x)]


def host_readers(x):
    """Both values are there when the first is waited for."""
    a, b = on("/gpu:0", tf.square, x), on("/gpu:0", tf.negative, x)
    with tf.control_dependencies([on("/cpu:0", tf.abs, a)]):
        c = on("/gpu:1", tf.square, x)
    return on("/cpu:0", tf.add, on("/cpu:0", tf.add, b, a), c)


def read_and_fetched(x):
    a, b = on("/gpu:0", tf.square, x), on("/gpu:0", tf.negative, x)
    return [on("/cpu:0", tf.abs, a), a, b]


def there_and_back(x):
    """The second value needs what the host made of the first."""
    a = on("/cpu:0", tf.abs, on("/gpu:0", tf.square, x))
    return on("/cpu:0", tf.abs, on("/gpu:0", tf.negative, a))


def unread(x):
    return [on("/gpu:0", tf.square, x).op, on("/gpu:1", tf.square, x).op]


def from_the_host(x):
    return on("/cpu:0", tf.square, x)


def in_a_loop(x):
    """The counter lies on the host, the value on the device: read at the end only."""
    with tf.device("/gpu:0"):
        found = tf.while_loop(lambda n, v: n < 3, lambda n, v: (n + 1, v * 2.0), [0, x])
    return found[1]


def predicate_on_the_device(x):
    """The device finds out how often; the host waits for the value alone."""
    with tf.device("/gpu:0"):
        return tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: v * 2.0, [x])


# (graph, how often the host waits for GPU:0 and for GPU:1)
WAITS = [
    (to_each_other, (0, 0)),
    (unread, (0, 0)),
    (from_the_host, (0, 0)),
    (one_value, (1, 0)),
    (ten_values, (1, 0)),
    (two_devices, (1, 1)),
    (host_readers, (1, 1)),
    (read_and_fetched, (1, 0)),
    (there_and_back, (2, 0)),
    (in_a_loop, (1, 0)),
    (predicate_on_the_device, (1, 0)),
]


@pytest.mark.parametrize(("build", "waits"), WAITS, ids=[row[0].__name__ for row in WAITS])
def test_waits(simulated_session, build, waits):
    x = tf.placeholder(tf.float32, [3])
    fetches = build(x)
    session = simulated_session(gpus=2)
    session.run(fetches, {x: X})  # constants are brought once for all steps
    with session.counting() as counted:
        session.run(fetches, {x: X})
    found = tuple(counted[f"/gpu:{n}"] for n in (0, 1))
    assert tuple(c.synchronizations for c in found) == waits
    assert all(c.reads == c.uploads == 0 for c in found)


def test_each_value_comes_to_the_host_once(simulated_session):
    x = tf.placeholder(tf.float32, [3])
    fetches = read_and_fetched(x)
    session = simulated_session()
    with session.counting() as counted:
        session.run(fetches, {x: X})
    assert counted.total.device_to_host == 2


def test_a_value_that_an_assignment_may_change_is_copied_when_it_is_read(simulated_session):
    """`read` gives the variable's own memory: copied along with `b`, it would be too old."""
    x = tf.placeholder(tf.float32, [3])
    with tf.device("/gpu:0"):
        v = tf.Variable(tf.zeros([3]), use_resource=False)
        b = tf.square(x)
        read = tf.identity(v)
    with tf.control_dependencies([on("/cpu:0", tf.abs, b), read]):
        change = on("/gpu:0", tf.assign_add, v, x)
    with tf.control_dependencies([change]):
        late = on("/cpu:0", tf.negative, read)
    session = simulated_session()
    session.run(v.initializer)
    for times in (1, 2, 3):
        found = session.run([late, b], {x: X})
        np.testing.assert_array_equal(found, [-times * X, X * X])


def test_all_devices_work_before_the_host_waits_for_one(simulated_session):
    """A tower's loss is looked at on the host, in the program's text before the next tower."""
    x = tf.placeholder(tf.float32, [3])
    seen = []
    for n in range(3):
        part = on("/cpu:0", tf.add, x, float(n))
        loss = on(f"/gpu:{n}", tf.reduce_sum, on(f"/gpu:{n}", tf.square, part))
        seen.append(on("/cpu:0", tf.identity, loss))
        with tf.control_dependencies([seen[-1]]):
            on(f"/gpu:{n}", tf.square, part)
    session = simulated_session(gpus=3)
    session.run(seen, {x: X})
    (plan,) = session._engine._plans.values()
    waiting = [any(t.destination is None for t in s.transfers) for s in plan.segments]
    launching = [s.place is not None for s in plan.segments]
    assert waiting.index(True) > max(n for n, launches in enumerate(launching) if launches)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_wait_is_for_something_that_was_not_there_before(data):
    """A random graph over all devices: no wait could have been shared with an earlier one."""
    places = st.sampled_from(["/cpu:0", "/gpu:0", "/gpu:1"])
    numbers = st.integers(0, 100)
    steps = data.draw(st.lists(st.tuples(numbers, numbers, places), min_size=2, max_size=14))
    with fresh_graph():
        x = tf.placeholder(tf.float32, [3])
        tensors = [x]
        for i, j, place in steps:
            pair = tensors[i % len(tensors)], tensors[j % len(tensors)]
            tensors.append(on(place, tf.subtract, *pair))
        wanted = data.draw(st.lists(st.sampled_from(tensors[1:]), min_size=1, unique_by=id))
        session = make_simulated_session(gpus=2)
        with session, session.counting() as counted:
            session.run(wanted, {x: X})
            (plan,) = session._engine._plans.values()
        made = {
            t: n for n, s in enumerate(plan.segments) for node in s.nodes for t in node.op.outputs
        }
        last, waits = {}, 0
        parts = [*((s.transfers) for s in plan.segments), plan.fetched.transfers]
        for number, transfers in enumerate(parts):
            for source in {t.source for t in transfers if t.destination is None}:
                new = [t for t in transfers if t.source is source and t.destination is None]
                assert any(made[t.tensor] >= last.get(source, -1) for t in new)
                last[source] = number
                waits += 1
        assert counted.total.synchronizations == waits
