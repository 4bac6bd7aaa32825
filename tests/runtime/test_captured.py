"""Recorded segments: the answers of unrecorded ones, by one replay a step.

What is recorded runs the first time as it is, is recorded the second time, and replayed from then.
"""

import gc
import threading
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import recordings, refusals

import tfsession as tf

X = np.linspace(-1, 1, 32 * 4, dtype=np.float32).reshape(32, 4)
Y = np.arange(32, dtype=np.int32) % 3
WITHOUT = tf.ConfigProto(allow_soft_placement=True)
WITHOUT.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0


@pytest.fixture(autouse=True)
def _graph(fresh_graph):
    yield
    gc.collect()


def classifier(optimizer, use_resource):
    """The training step of a small network on a GPU; gives feeds, step and loss."""
    with tf.device("/gpu:0"):
        x, y = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.int32, [None])
        with tf.variable_scope("layers", use_resource=use_resource):
            hidden = tf.layers.dense(
                x, 16, tf.nn.relu, kernel_initializer=tf.glorot_uniform_initializer(1)
            )
            logits = tf.layers.dense(hidden, 3, kernel_initializer=tf.glorot_uniform_initializer(2))
        loss = tf.losses.sparse_softmax_cross_entropy(y, logits)
        step = optimizer.minimize(loss)
    return {x: X, y: Y}, step, loss


OPTIMIZERS = {
    "descent": lambda: tf.train.GradientDescentOptimizer(0.1),
    "momentum": lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "adam": lambda: tf.train.AdamOptimizer(0.05),
    "rmsprop": lambda: tf.train.RMSPropOptimizer(0.05, centered=True),
    "adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "ftrl": lambda: tf.train.FtrlOptimizer(0.1),
}


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_gives_the_bits_of_unrecorded_steps(name, use_resource):
    feeds, step, loss = classifier(OPTIMIZERS[name](), use_resource)
    found = []
    for config in (None, WITHOUT):
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            losses = [session.run([loss, step], feeds)[0] for _ in range(3)]
            with session.counting() as counted:
                losses += [session.run([loss, step], feeds)[0] for _ in range(4)]
            values = session.run(tf.global_variables())
            assert refusals(session) == []
        found.append([*losses, *(value.tobytes() for value in values)])
        assert bool(counted["/gpu:0"].replays) == (config is None)
        if config is None:
            assert counted["/gpu:0"].launches == 0
            assert counted["/gpu:0"].uploads == counted["/gpu:0"].reads == 0
    assert found[0] == found[1]


def test_numbers_that_follow_from_shapes_do_not_part_a_step():
    """A mean's count, a cast of the global step's constants: made on the host, used on the GPU."""
    with tf.device("/gpu:0"):
        x, y = tf.placeholder(tf.float32, [None, 4]), tf.placeholder(tf.float32, [None])
        w = tf.get_variable("w", [4, 1], initializer=tf.ones_initializer())
        error = tf.squeeze(tf.matmul(x, w), 1) - y
        count = tf.size(error)
        loss = tf.reduce_mean(tf.square(error)) + tf.reduce_sum(error) / tf.cast(count, tf.float32)
        step = tf.train.get_or_create_global_step()
        rate = tf.train.exponential_decay(0.1, step, 3, 0.5)
        train = tf.train.GradientDescentOptimizer(rate).minimize(loss, global_step=step)
    target = np.linspace(-2, 2, 32).astype(np.float32)
    found = []
    for config in (None, WITHOUT):
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            steps = []
            for rows in (32, 32, 7, 7, 32, 7, 1, 32):
                feeds = {x: X[:rows], y: target[:rows]}
                with session.counting() as counted:
                    steps.append(session.run([loss, rate, count, train], feeds)[:3])
            assert counted["/gpu:0"].replays == (config is None)
            if config is None:
                assert counted["/gpu:0"].launches == 0
                assert counted["/gpu:0"].host_to_device == 1
            found.append([*np.ravel(steps).tolist(), *session.run(w).ravel().tolist()])
            assert refusals(session) == []
    assert found[0] == found[1]


def test_small_inputs_go_over_in_one_copy():
    feeds, step, loss = classifier(OPTIMIZERS["adam"](), use_resource=False)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(3):
            session.run([step, loss], feeds)
        with session.counting() as counted:
            session.run([step, loss], feeds)
        with session.counting() as unfetched:
            session.run(step, feeds)
            session.run(step, feeds)
    # What a loss is divided by, which shapes decide, is a part of the recording.
    assert counted["/gpu:0"].host_to_device == counted["/gpu:0"].replays == 1
    assert counted["/gpu:0"].synchronizations == 1
    assert unfetched["/gpu:0"].synchronizations == 0


def test_each_shape_has_a_recording_of_its_own():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None, 4])
        y = tf.reduce_sum(tf.square(x) + 1.0, 1)
    with tf.Session() as session:
        for _ in range(3):
            for rows in (1, 5, 32, 7):
                np.testing.assert_array_equal(
                    session.run(y, {x: X[:rows]}), (np.square(X[:rows]) + 1).sum(1)
                )
        (found,) = recordings(session)
        assert len(found._known) == 4
        # Shapes that never come again leave nothing behind that grows.
        for rows in range(100, 300):
            session.run(y, {x: np.ones((rows, 4), np.float32)})
        assert sum(map(len, found._known.values())) <= 8
        assert len(found._seen) <= 64


def test_a_count_of_the_batch_is_a_part_of_the_recording():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None, 4])
        weights = tf.Variable(np.ones(4, np.float32))
        loss = tf.reduce_mean(tf.square(x * weights)) + tf.reduce_mean(x)
        count = tf.cast(tf.shape(x)[0], tf.float32)
        fetches = [loss, tf.gradients(loss, weights)[0], count * 2.0, tf.shape(x)]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for turn in range(4):
            for rows in (1, 5, 32):
                part = X[:rows]
                with session.counting() as counted:
                    found = session.run(fetches, {x: part})
                wanted = np.square(part).mean() + part.mean(), np.square(part).sum(0) / (2 * rows)
                np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
                np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5)
                assert (found[2], found[3].tolist()) == (2 * rows, [rows, 4])
                counts = counted["/gpu:0"]
                if turn > 1:
                    assert (counts.replays, counts.launches, counts.uploads) == (1, 0, 0)
        assert refusals(session) == []


def test_a_shape_of_a_variable_that_changes_is_looked_at_again():
    with tf.device("/gpu:0"):
        variable = tf.get_variable(
            "v", initializer=np.ones((3, 2), np.float32), use_resource=True, validate_shape=False
        )
        ids = tf.placeholder(tf.int64, [None])
        rows = tf.gather(variable, ids)
        (grad,) = tf.gradients(tf.reduce_sum(rows * rows), variable)
        dense = tf.convert_to_tensor(grad) * 1.0
        wider = tf.raw_ops.AssignVariableOp(
            resource=variable.handle, value=np.ones((5, 4), np.float32), validate_shape=False
        )
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for shape in ((3, 2), (5, 4)):
            for _ in range(4):
                found = session.run(dense, {ids: [1, 1]})
                assert found.shape == shape
                assert found.tolist()[1] == [4.0] * shape[1]
            session.run(wider)


def test_what_was_read_before_an_update_stays_as_it_was():
    with tf.device("/gpu:0"):
        v = tf.get_variable("v", initializer=np.zeros(8, np.float32), use_resource=True)
        before = v.read_value()
        with tf.control_dependencies([before]):
            update = v.assign_add(tf.ones(8))
        with tf.control_dependencies([update]):
            after = v.read_value() * 1.0
    with tf.Session() as session:
        session.run(v.initializer)
        for number in range(6):
            old, new = session.run([before, after])
            assert old.tolist() == [number] * 8
            assert new.tolist() == [number + 1] * 8
        assert refusals(session) == []


def test_what_another_segment_has_read_stays_as_it_was():
    """The value is fetched and read on the host before the recorded update of the same step."""
    with tf.device("/gpu:0"):
        v = tf.get_variable("v", initializer=np.zeros(8, np.float32), use_resource=True)
        before = v.read_value()
        total = tf.reduce_sum(before) * 1.0
    with tf.device("/cpu:0"):
        one = tf.minimum(total, 0.0) + 1.0
    with tf.device("/gpu:0"):
        update = v.assign_add(tf.fill([8], one))
        with tf.control_dependencies([update]):
            after = v.read_value() * 1.0
    with tf.Session() as session:
        session.run(v.initializer)
        for number in range(6):
            old, new, sum_ = session.run([before, after, total])
            assert old.tolist() == [number] * 8
            assert new.tolist() == [number + 1] * 8
            assert sum_ == 8 * number
        assert refusals(session) == []


def test_an_array_that_somebody_holds_is_not_written_to():
    """What a step has read of a variable is a snapshot, whatever another replays meanwhile."""
    with tf.device("/gpu:0"):
        v = tf.get_variable("v", initializer=np.zeros(8, np.float32), use_resource=True)
        update = v.assign_add(tf.ones(8) * 1.0).op
    with tf.Session() as session:
        session.run(v.initializer)
        for _ in range(3):
            session.run(update)
        (storage,) = recordings(session)[-1]._last.needs.written
        held = []
        for _ in range(3):
            held.append(storage.array)
            for _ in range(2):
                session.run(update)
        with session._engine.devices.devices[1].activate():
            assert [array.get().tolist() for array in held] == [[3] * 8, [5] * 8, [7] * 8]
        assert session.run(v).tolist() == [9] * 8
        # A variable that was read for a moment only is back where it is written to by one replay.
        session.run(update)
        held = [storage.array]
        session.run(update)
        held.clear()
        with session.counting() as counted:
            session.run(update)
        assert counted["/gpu:0"].replays == 1
        assert counted["/gpu:0"].launches <= 1  # the value is brought back
        assert session.run(v).tolist() == [12] * 8
        assert refusals(session) == []


def test_a_reference_variable_shows_its_update_to_who_reads_it_later():
    with tf.device("/gpu:0"):
        v = tf.Variable(np.zeros(8, np.float32), use_resource=False)
        with tf.control_dependencies([tf.assign_add(v, tf.ones(8))]):
            total = tf.reduce_sum(v) * 1.0
        with tf.control_dependencies([total]):
            last = tf.assign(v, v * 2.0)
    with tf.Session() as session:
        session.run(v.initializer)
        expected = 0.0
        for _ in range(6):
            found, _ = session.run([total, last])
            assert found == (expected + 1) * 8
            expected = (expected + 1) * 2
        assert session.run(v).tolist() == [expected] * 8


def test_a_variable_that_lies_elsewhere_by_now_is_found_again():
    """Another step replaces its array: what was recorded for the former one is not used."""
    with tf.device("/gpu:0"):
        v = tf.get_variable("v", initializer=np.ones(8, np.float32), use_resource=True)
        double = tf.reduce_sum(v.read_value() * 2.0)
        value = tf.placeholder(tf.float32, [8])
        load = v.assign(value)
        held = v.read_value()
    with tf.Session() as session:
        session.run(v.initializer)
        run = session.make_callable(held, device_fetches=True)
        kept = []
        for number in range(8):
            for _ in range(3):
                assert session.run(double) == 16 * (number or 1)
            kept.append(run())
            session.run(load, {value: np.full(8, number + 1, np.float32)})
        assert refusals(session) == []


def test_fetched_arrays_of_a_device_are_the_programs_own():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [4])
        y = tf.negative(x) * 3.0
    with tf.Session() as session:
        run = session.make_callable(y, [x], device_fetches=True)
        fetched = [run(np.full(4, number, np.float32)) for number in range(6)]
        assert [array.get().tolist() for array in fetched] == [[-3.0 * n] * 4 for n in range(6)]


def test_a_loop_reads_what_its_last_turn_has_made():
    with tf.device("/gpu:0"):
        n = tf.placeholder(tf.int32, [])
        start = tf.placeholder(tf.float32, [3])

        def body(i, x, total):
            x = tf.sin(x) + tf.cos(x * 0.5)
            return i + 1, x, total + x

        _, last, total = tf.while_loop(lambda i, *_: i < n, body, (0, start, start * 0.0))
    with tf.Session() as session, tf.Session(config=WITHOUT) as plain:
        for turns in (1, 7, 20, 3):
            feeds = {n: turns, start: np.arange(3, dtype=np.float32)}
            for one, other in zip(
                session.run([last, total], feeds), plain.run([last, total], feeds), strict=True
            ):
                np.testing.assert_array_equal(one, other)


def test_an_error_leaves_the_session_and_its_variables_whole():
    with tf.device("/gpu:0"):
        v = tf.Variable(np.zeros(4, np.float32), use_resource=False)
        x, y = tf.placeholder(tf.float32, [None]), tf.placeholder(tf.float32, [None])
        step = tf.assign_add(v, tf.ones(4) * 1.0)
        with tf.control_dependencies([step]):
            sums = tf.negative(x) + y
    with tf.Session() as session:
        session.run(v.initializer)
        for number in range(5):
            session.run(sums, {x: np.ones(3), y: np.ones(3)})
            with pytest.raises(tf.errors.InvalidArgumentError, match="Incompatible shapes"):
                session.run(sums, {x: np.ones(3), y: np.ones(2 + 2 * (number % 2))})
        assert session.run(v).tolist() == [10.0] * 4
        assert refusals(session) == []


def test_what_reads_on_the_host_is_not_recorded_and_still_right():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None])
        kept = tf.boolean_mask(x * 2.0, x > 0.0)
        total = tf.reduce_sum(kept * 3.0)
    with tf.Session() as session:
        for seed in range(5):
            values = np.random.default_rng(seed).normal(size=20).astype(np.float32)
            expected = np.sum((values * 2)[values > 0] * 3)
            with session.counting() as counted:
                assert session.run(total, {x: values}) == pytest.approx(expected, rel=1e-5)
    # What stands before it is: the step was cut there once it was refused.
    assert counted["/gpu:0"].replays == 1


def test_traced_steps_are_not_recorded():
    feeds, step, loss = classifier(OPTIMIZERS["descent"](), use_resource=False)
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        metadata = tf.RunMetadata()
        for _ in range(3):
            session.run([step, loss], feeds)
        with session.counting() as counted:
            session.run([step, loss], feeds, options, metadata)
    assert counted["/gpu:0"].replays == 0
    names = {s.node_name for d in metadata.step_stats.dev_stats for s in d.node_stats}
    assert any("MatMul" in name for name in names)


@pytest.mark.parametrize("off", ["level", "environment"])
def test_it_can_be_switched_off(off, monkeypatch):
    if off == "environment":
        monkeypatch.setenv("TFSESSION_GPU_GRAPHS", "0")
    feeds, step, _ = classifier(OPTIMIZERS["descent"](), use_resource=False)
    with tf.Session(config=WITHOUT if off == "level" else None) as session:
        session.run(tf.global_variables_initializer())
        with session.counting() as counted:
            for _ in range(4):
                session.run(step, feeds)
    assert counted["/gpu:0"].replays == 0


def test_recordings_give_way_when_memory_is_short(simulated_session):
    session = simulated_session(gpus=1, memory="1MiB")
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None])
        y = tf.reduce_sum(tf.cumsum(tf.cumsum(x)) * 2.0)
        large = tf.reduce_sum(tf.cumsum(tf.cumsum(tf.fill([110_000], 1.0)))) * 0.0 + 110_000.0
    small = np.zeros(40_000, np.float32)
    for _ in range(3):
        assert session.run(y, {x: small}) == 0
    assert sum(len(found._known) for found in recordings(session)) == 1
    assert session.run(large) == 110_000
    assert sum(len(found._known) for found in recordings(session)) == 0
    assert session.run(y, {x: small}) == 0


def test_a_closed_session_gives_all_memory_back():
    feeds, step, _ = classifier(OPTIMIZERS["adam"](), use_resource=True)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    for _ in range(4):
        session.run(step, feeds)
    ledger = session._engine.devices.devices[1].ledger
    assert ledger.in_use() > 0
    session.close()
    gc.collect()
    assert ledger.in_use() == 0


def test_threads_share_a_recorded_step():
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [16])
        count = tf.Variable(np.zeros(16, np.float32), use_resource=False)
        update = tf.assign_add(count, tf.sign(tf.abs(x) + 1.0))
        y = tf.reduce_sum(tf.negative(tf.negative(x)) * 2.0)
    failures = []
    with tf.Session() as session:
        session.run(count.initializer)

        def work(number):
            with suppress(Exception):
                for turn in range(60):
                    value = number * 1000 + turn
                    found = session.run([y, update.op], {x: np.full(16, value, np.float32)})[0]
                    if found != 32.0 * value:
                        failures.append((value, found))
                return
            failures.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert session.run(count).tolist() == [360.0] * 16


UNARY = [tf.negative, tf.abs, tf.square, tf.tanh, tf.nn.relu, tf.transpose, tf.nn.softmax]
BINARY = [tf.add, tf.subtract, tf.multiply, tf.maximum, tf.matmul]


@given(
    st.lists(
        st.tuples(st.integers(0, len(UNARY + BINARY) - 1), st.integers(0, 99), st.integers(0, 99)),
        min_size=2,
        max_size=12,
    ),
    st.booleans(),
)
@settings(max_examples=25)
def test_random_steps_give_the_bits_of_unrecorded_ones(rows, updates):
    with tf.Graph().as_default():
        with tf.device("/gpu:0"):
            x = tf.placeholder(tf.float32, [3, 3])
            v = tf.Variable(np.eye(3, dtype=np.float32), use_resource=updates)
            values = [x, v.read_value() if updates else v]
            for op, one, other in rows:
                a, b = values[one % len(values)], values[other % len(values)]
                made = UNARY[op](a) if op < len(UNARY) else BINARY[op - len(UNARY)](a, b)
                values.append(tf.clip_by_value(made, -2.0, 2.0))
                if one % 5 == 0:
                    with tf.control_dependencies([values[-1]]):
                        values.append(tf.identity(v.assign(values[-1] * 0.5)))
        found = []
        for recorded in ("1", "0"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("TFSESSION_GPU_GRAPHS", recorded)
                session = tf.Session()
            with session:
                session.run(tf.global_variables_initializer())
                answers = [
                    session.run(values[2:], {x: X[step : step + 3, :3]}) for step in range(4)
                ]
                found.append([array.tobytes() for step in answers for array in step])
                found[-1].append(session.run(v).tobytes())
        assert found[0] == found[1]


RANDOM = {
    "dropout": lambda x: tf.nn.dropout(x, rate=0.5, seed=3),
    "uniform": lambda x: x + tf.random.uniform(tf.shape(x), seed=4),
    "doubles": lambda x: x + tf.cast(tf.random.uniform([3], dtype=tf.float64, seed=4), tf.float32),
    "normal": lambda x: x + tf.random.normal(tf.shape(x), seed=5),
    "truncated": lambda x: x + tf.random.truncated_normal(tf.shape(x), seed=5),
    "integers": lambda x: x + tf.cast(tf.random.uniform([3], 0, 9, tf.int64, seed=6), tf.float32),
    "classes": lambda x: tf.cast(tf.random.categorical(x, 4, seed=7), tf.float32),
    "shuffle": lambda x: tf.random.shuffle(x, seed=8) * 1.5,
    "stateless": lambda x: x * tf.random.stateless_uniform([3], [1, 2]) + 1.0,
}


@pytest.mark.parametrize("name", RANDOM)
def test_recorded_steps_draw_on(name):
    """The numbers of each step are the next ones, whether it is recorded or not."""
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None, 3])
        y = tf.negative(tf.negative(RANDOM[name](x)))
    found = []
    for config in (None, WITHOUT):
        with tf.Session(config=config) as session, session.counting() as counted:
            steps = [session.run(y, {x: X[:5, :3]}) for _ in range(6)]
            steps.append(session.run(y, {x: X[:4, :3]}))
            steps += [session.run(y, {x: X[:5, :3]}) for _ in range(2)]
            found.append([step.tolist() for step in steps])
            # Tables that a kernel brings to a device once are not there yet the first time.
            assert len(refusals(session)) <= (name in ("normal", "truncated"))
        assert bool(counted["/gpu:0"].replays) == (config is None)
    assert found[0] == found[1]
    if name != "stateless":
        assert found[0][3] != found[0][4] != found[0][5]


def test_what_is_read_of_a_variable_elsewhere_shows_what_is_assigned_here():
    """A reference variable's value comes from another segment, as the array itself."""
    with tf.device("/gpu:0"):
        step = tf.Variable(0.0, use_resource=False)
        value = tf.identity(step)
    with tf.device("/cpu:0"), tf.control_dependencies([value]):
        between = tf.negative(value)
    with tf.device("/gpu:0"):
        with tf.control_dependencies([between]):
            update = tf.assign_add(step, 1.0)
        with tf.control_dependencies([update]):
            filled = tf.fill([2], value) * 1.0
    found = []
    for config in (None, WITHOUT):
        with tf.Session(config=config) as session:
            session.run(step.initializer)
            found.append([session.run(filled).tolist() for _ in range(6)])
            assert refusals(session) == []
    assert found[0] == found[1]


def test_what_the_host_keeps_is_not_recorded():
    """Queues, accumulators and tables are asked each time."""
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [2])
        queue = tf.FIFOQueue(100, tf.float32, [[2]])
        gradients = tf.ConditionalAccumulator(tf.float32, [2])
        doubled = tf.negative(tf.negative(x)) * 2.0
        put = queue.enqueue(doubled + 1.0)
        apply = gradients.apply_grad(doubled * 0.5)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        for number in range(6):
            session.run([put, apply], {x: [number, number]})
        assert session.run(queue.size()) == 6
        assert session.run(gradients.num_accumulated()) == 6
        taken = [session.run(queue.dequeue())[0] for _ in range(6)]
        assert taken == [2.0 * number + 1 for number in range(6)]
        assert session.run(gradients.take_grad(6)).tolist() == [2.5, 2.5]


@pytest.mark.parametrize("use_resource", [False, True])
def test_a_part_of_a_variable_is_read_as_it_is_in_that_step(use_resource):
    with tf.device("/gpu:0"):
        values = np.arange(12, dtype=np.float32).reshape(6, 2)
        table = tf.get_variable("table", initializer=values, use_resource=use_resource)
        added = tf.placeholder(tf.float32, [6, 2])
        before = tf.identity(table)[1:5:2]
        with tf.control_dependencies([before]):
            now = tf.assign_add(table, added) * 1.0
        with tf.control_dependencies([now]):
            after = tf.reshape(table[2:], [-1])
    fetches = [before, after] if use_resource else [after]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in range(5):
            with session.counting() as counted:
                *old, new = session.run(fetches, {added: values})
            assert new.tolist() == ((step + 2) * values[2:]).ravel().tolist()
            if old:
                assert old[0].tolist() == ((step + 1) * values[1:5:2]).tolist()
        assert refusals(session) == []
    assert counted["/gpu:0"].replays
