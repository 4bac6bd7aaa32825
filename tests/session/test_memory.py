"""Memory of devices: limits that hold, errors that tell who holds what, all of it given back."""

import gc
import re
import threading

import numpy as np
import pytest

import tfsession as tf

MIB = 1 << 20
LIMIT = 4 * MIB
LINE = re.compile(
    r"^  ([\d,]+) bytes (?:from (?:(\S+) \((\w+)\): (.*)|\d+ other operations)|in all)"
)


@pytest.fixture
def limited(device, fresh_graph):
    """Makes sessions in which the device has a limit of so many bytes, closed after the test."""
    made = []

    def session(limit=LIMIT, **config):
        options = {"memory_limits": {device: str(limit)}}
        made.append(tf.Session(config=tf.ConfigProto(device_options=options, **config)))
        return made[-1]

    with tf.device(device):
        yield session
    for one in made:
        one.close()


def exhausted(session, *args, **kwargs):
    """The error of a step that needs too much: its text, the operation, who holds how much."""
    with pytest.raises(tf.errors.ResourceExhaustedError) as error:
        session.run(*args, **kwargs)
    lines = [LINE.match(line) for line in error.value.message.splitlines()]
    *held, total = [line for line in lines if line]
    number = [int(line[1].replace(",", "")) for line in (*held, total)]
    assert sum(number[:-1]) == number[-1]
    holders = {line[2]: n for line, n in zip(held, number, strict=False) if line[2]}
    return error.value, holders, number[-1]


def full_name(session, device):
    return next(d.name for d in session.list_devices() if d.name.endswith(device.upper()[1:]))


def floats(*shape):
    return np.ones(shape, np.float32)


# What an operation that asks for too much looks like: known and unknown shapes, all kinds of size.
REQUESTS = {
    "fill": lambda n: tf.fill([n, 1024], 1.0),
    "fill of a known shape": lambda n: tf.fill([1 << 20, 1 << 12], 1.0),
    "random": lambda n: tf.random_uniform([n, 1024]),
    "tile": lambda n: tf.tile(tf.fill([1, 1024], 1.0), [n, 1]),
    "broadcast": lambda n: tf.fill([n, 1], 1.0) + tf.fill([1, n], 1.0),
    "one_hot": lambda n: tf.one_hot(tf.range(n), n),
    "matmul": lambda n: tf.matmul(tf.fill([n, 1], 1.0), tf.fill([1, n], 1.0)),
    "pad": lambda n: tf.pad(tf.fill([4, 4], 1.0), [[n, n], [n, n]]),
    "eye": lambda n: tf.eye(n),
}


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_a_request_that_cannot_be_met(limited, device, request_of):
    w = tf.get_variable("w", [256, 256], initializer=tf.ones_initializer())
    n = tf.placeholder(tf.int32, [])
    much = request_of(n)
    session = limited()
    session.run(w.initializer)
    session.run(w + 1)
    before = session.memory_stats(device)
    # So much that to make it first would be noticed.
    error, holders, total = exhausted(session, tf.reduce_sum(much), {n: 1 << 20})
    assert re.search(r"OOM when allocating tensor with shape\[[\d,]+\] and type \w+ on", str(error))
    assert f"on {full_name(session, device)} by allocator" in error.message
    assert error.op is not None
    assert f"[[{{{{node {error.op.name}}}}}]]" in error.message
    assert holders["w/Assign"] == 256 * 256 * 4
    assert total >= before.in_use
    after = session.memory_stats(device)
    assert after.in_use - before.in_use < 64 << 10  # constants of the step at most
    assert after.peak <= LIMIT
    # The next step that fits succeeds.
    np.testing.assert_array_equal(session.run(w * 3), 3 * floats(256, 256))


def test_who_holds_what(limited, device):
    held = {}
    for name, rows in (("a", 100), ("b", 300), ("c", 200)):
        tf.get_variable(name, [rows, 256], initializer=tf.zeros_initializer())
        held[f"{name}/Assign"] = rows * 1024
    scratch = tf.square(tf.fill([1000, 256], 2.0, name="filled"), name="squared")
    big = tf.concat([scratch] * 4, 0, name="big")
    session = limited()
    session.run(tf.global_variables_initializer())
    stats = session.memory_stats(device)
    assert {h.op: h.nbytes for h in stats.live if h.nbytes > 1024} == held
    assert [h.op for h in stats.live][:3] == ["b/Assign", "c/Assign", "a/Assign"]
    assert (stats.live[0].shape, stats.live[0].dtype) == ((300, 256), "float")
    assert sum(h.nbytes for h in stats.live) == stats.in_use
    error, holders, _ = exhausted(session, big)
    assert error.op.name == "big"
    assert error.message.index("b/Assign") < error.message.index("c/Assign")
    # What the step itself had made by then is told, too; on the CPU one takes the other's place.
    assert {"squared", "filled"} & holders.keys()
    assert session.memory_stats(device).in_use - stats.in_use <= 64  # constants of the step


def test_a_thousand_failures(limited, device):
    w = tf.get_variable("w", [512, 256], initializer=tf.zeros_initializer())
    n = tf.placeholder(tf.int32, [])
    y = tf.reduce_sum(tf.fill([n, 1024], 1.0)) + tf.reduce_sum(w)
    session = limited()
    session.run(w.initializer)

    def fail():
        with pytest.raises(tf.errors.ResourceExhaustedError):
            session.run(y, {n: 2000})

    fail()
    assert session.run(y, {n: 800}) == 800 * 1024
    before = session.memory_stats(device)
    gc.collect()
    objects = len(gc.get_objects())
    for _ in range(1000):
        fail()
    gc.collect()
    assert len(gc.get_objects()) - objects < 100
    after = session.memory_stats(device)
    assert after[:4] == before[:4]
    assert after.largest_free_block == before.largest_free_block
    assert session.run(y, {n: 800}) == 800 * 1024


def test_all_is_given_back(limited, device):
    w = tf.get_variable("w", [128, 128], initializer=tf.ones_initializer())
    v = tf.get_variable("v", [128], initializer=tf.ones_initializer(), use_resource=True)
    x = tf.placeholder(tf.float32, [None, 128])
    table = tf.constant(floats(128, 128) * 2)
    y = tf.matmul(x, w * table) + v
    total = tf.while_loop(lambda i, t: i < 5, lambda i, t: (i + 1, t + y), (0, tf.zeros_like(y)))[1]
    session = limited()
    session.run(tf.global_variables_initializer())
    step = session.make_callable(total, [x])
    for rows in (1, 7):
        np.testing.assert_allclose(step(floats(rows, 128)), np.full((rows, 128), 5 * 257.0))
    handle = session.run(tf.get_session_handle(y), {x: floats(3, 128)})
    stats = session.memory_stats(device)
    assert stats.in_use >= (128 * 128 + 128 + 3 * 128) * 4
    assert stats.peak > stats.in_use
    session.close()
    after = session.memory_stats(device)
    assert (after.in_use, after.reserved, after.largest_free_block) == (0, 0, LIMIT)
    assert after.live == ()
    assert handle is not None
    with pytest.raises((tf.errors.CancelledError, RuntimeError)):
        step(floats(1, 128))


def test_what_is_fed_and_fetched_is_the_programs(limited, device):
    x = tf.placeholder(tf.float32, [None, 256])
    session = limited()
    kept = [session.run(x * 2, {x: floats(900, 256)}) for _ in range(10)]  # 9 MB in all
    assert session.memory_stats(device).in_use <= 64
    views = [session.run(tf.reshape(x, [-1]), {x: floats(900, 256)}) for _ in range(10)]
    assert session.memory_stats(device).in_use <= 64
    assert all(value.size == 900 * 256 for value in kept + views)


def test_sessions_have_their_own_limits(limited, device):
    n = tf.placeholder(tf.int32, [])
    y = tf.reduce_sum(tf.fill([n, 1024], 1.0))
    small, large = limited(1 * MIB), limited(8 * MIB)
    assert [s.memory_stats(device).limit for s in (small, large)] == [1 * MIB, 8 * MIB]
    assert large.run(y, {n: 1000}) == 1000 * 1024
    exhausted(small, y, {n: 1000})
    assert small.run(y, {n: 200}) == 200 * 1024
    small.close()
    assert large.run(y, {n: 1000}) == 1000 * 1024


def test_a_loop_that_grows(limited, device):
    def body(i, value):
        return i + 1, tf.concat([value, value], 0)

    grown = tf.while_loop(
        lambda i, _: i < 30, body, (0, tf.fill([1024], 1.0)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )[1]  # fmt: skip
    session = limited()
    error, _, _ = exhausted(session, tf.reduce_sum(grown))
    assert "concat" in error.op.name
    assert session.memory_stats(device).in_use <= 8192


def test_a_replaced_variable_counts_once(limited, device):
    v = tf.Variable(tf.zeros([600, 1024]), validate_shape=False)
    n = tf.placeholder(tf.int32, [])
    assign = tf.assign(v, tf.fill([n, 1024], 1.0), validate_shape=False)
    session = limited(16 * MIB)
    session.run(v.initializer)
    for rows in (100, 700, 50):
        session.run(assign.op, {n: rows})
        held = {h.op: h.nbytes for h in session.memory_stats(device).live if h.nbytes > 8192}
        assert sum(held.values()) == rows * 4096


def test_threads_stay_under_the_limit(limited, device):
    n = tf.placeholder(tf.int32, [])
    y = tf.reduce_sum(tf.square(tf.fill([n, 1024], 1.0)))
    session = limited(2 * MIB)
    outcomes = []

    def work(seed):
        for rows in np.random.default_rng(seed).integers(1, 500, 20):
            try:
                outcomes.append(session.run(y, {n: rows}) == rows * 1024)
            except tf.errors.ResourceExhaustedError:
                outcomes.append(None)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 120
    assert False not in outcomes
    assert True in outcomes
    stats = session.memory_stats(device)
    assert stats.peak <= stats.limit
    recorded = sum(h.nbytes for h in stats.live if h.op_type == "recorded step")
    assert stats.in_use - recorded <= 64


def test_elements_of_queues_count(fresh_graph):
    config = tf.ConfigProto(device_options={"memory_limits": {"/cpu:0": "1MiB"}})
    with tf.device("/cpu:0"):
        queue = tf.FIFOQueue(100, tf.float32)
        x = tf.placeholder(tf.float32)
        put = queue.enqueue(x * 1.0)
    with tf.Session(config=config) as session:
        for size in range(1, 4):
            session.run(put, {x: floats(256, 256)})
            assert session.memory_stats("/cpu:0").in_use == pytest.approx(size << 18, abs=64)
        with pytest.raises(tf.errors.ResourceExhaustedError, match="enqueue"):
            for _ in range(4):
                session.run(put, {x: floats(256, 256)})
        assert session.run(queue.size()) == 3
        for size in range(2, -1, -1):
            session.run(queue.dequeue())
            assert session.memory_stats("/cpu:0").in_use == pytest.approx(size << 18, abs=64)


def test_stats_of_all_devices(fresh_graph):
    tf.constant(1.0)
    options = {"simulated_gpus": "2:1MiB"}
    with tf.Session(config=tf.ConfigProto(device_options=options)) as session:
        stats = session.memory_stats()
        names = [device.name for device in session.list_devices()]
        assert list(stats) == names
        assert [s if s is None else s.limit for s in stats.values()] == [None, MIB, MIB]
        assert session.memory_stats("/gpu:1") == stats[names[2]]
        for name in ("/gpu:2", "/gpu", "nothing"):
            with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
                session.memory_stats(name)


def test_fractions_and_virtual_devices_limit_a_session(fresh_graph):
    y = tf.reduce_sum(tf.fill([tf.placeholder_with_default(100, []), 1024], 1.0))
    half = tf.GPUOptions(per_process_gpu_memory_fraction=0.5)
    parts = tf.GPUOptions(experimental={"virtual_devices": [{"memory_limit_mb": [1, 0.25]}]})
    for options, limits in ((half, [MIB]), (parts, [MIB, MIB // 4])):
        config = tf.ConfigProto(gpu_options=options, device_options={"simulated_gpus": "1:2MiB"})
        with tf.Session(config=config) as session:
            gpus = [s for s in session.memory_stats().values() if s is not None]
            assert [s.limit for s in gpus] == limits
            assert session.run(y) == 100 * 1024
            exhausted(session, y, {y.op.inputs[0].op.inputs[0].op.inputs[0]: 300})


@pytest.mark.gpu
def test_a_real_gpu_gets_all_of_it_back(fresh_graph, monkeypatch):
    """What the process has on the card, by NVML, is the bare context's again after `close`."""
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)
    pynvml = pytest.importorskip("pynvml")
    pynvml.nvmlInit()
    with tf.device("/gpu:0"):
        n = tf.placeholder(tf.int32, [])
        y = tf.reduce_sum(tf.sqrt(tf.fill([n, 1 << 20], 4.0)))

    def used():
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        return pynvml.nvmlDeviceGetMemoryInfo(card).used

    with tf.Session() as session:
        assert session.run(y, {n: 1}) == 2 << 20
        bare = used()
    with tf.Session() as session:
        for rows in (1, 100, 300):
            assert session.run(y, {n: rows}) == pytest.approx(rows * (2 << 20), rel=1e-3)
        stats = session.memory_stats("/gpu:0")
        assert stats.in_use == sum(h.nbytes for h in stats.live)
        assert stats.peak >= 600 << 22
        assert used() - bare >= 500 * MIB
    after = session.memory_stats("/gpu:0")
    assert (after.in_use, after.reserved) == (0, 0)
    assert used() - bare <= 64 * MIB
