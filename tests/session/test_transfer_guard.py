"""The transfer guard: what is implicit, what each level does, which guard counts, what is left."""

import threading

import numpy as np
import pytest

import tfsession as tf

REFUSED = tf.errors.InvalidArgumentError


def session(guard="", **config):
    options = {"simulated_gpus": "2:16MiB", "transfer_guard": guard}
    return tf.Session(config=tf.ConfigProto(device_options=options, **config))


class Program:
    """`far` reads on GPU:1 what is made on GPU:0; `near` stays where it is."""

    def __init__(self):
        self.x = tf.placeholder(tf.float32, [None, 2], name="x")
        with tf.device("/gpu:0"):
            self.count = tf.get_variable("count", initializer=tf.constant(0.0))
            self.near = tf.tanh(self.x, name="near")
            self.step = tf.assign_add(self.count, 1.0)
        with tf.device("/gpu:1"), tf.control_dependencies([self.step]):
            self.far = tf.exp(self.near, name="far")
        self.init = tf.global_variables_initializer()
        self.feeds = {self.x: np.ones((3, 2), np.float32)}
        self.value = np.exp(np.tanh(np.ones((3, 2), np.float32)))


@pytest.fixture
def program(fresh_graph):
    return Program()


def logged(caplog):
    return [r.message for r in caplog.records if r.message.startswith("Implicit")]


TEXT = (
    "device-to-device transfer: 'near:0' (float32[?,2], 8 B x ?) goes from GPU:0 to GPU:1, made by "
    "{{node near}} (Tanh) and read by {{node far}} (Exp)"
)


def test_disallowed_steps_change_nothing_and_the_session_goes_on(program):
    with session() as s:
        s.run(program.init)
        with tf.transfer_guard("disallow"):
            with pytest.raises(REFUSED) as caught:
                s.run(program.far, program.feeds)
            assert f"Disallowed {TEXT}." in caught.value.message
            assert "`with tf.transfer_guard('allow'):`" in caught.value.message
            assert "Detected at node 'far' defined at" in caught.value.message
            assert caught.value.op is program.far.op
            s.run(program.near, program.feeds)
            assert s.run(program.count) == 0.0
        assert np.allclose(s.run(program.far, program.feeds), program.value)
        assert s.run(program.count) == 1.0


WAYS = {
    "run": lambda s, p: s.run(p.far, p.feeds),
    "run of an operation": lambda s, p: s.run(p.far.op, p.feeds),
    "run with options": lambda s, p: s.run(
        p.far, p.feeds, tf.RunOptions(trace_level=3), tf.RunMetadata()
    ),
    "run with a timeout": lambda s, p: s.run(p.far, p.feeds, tf.RunOptions(timeout_in_ms=60000)),
    "eval": lambda s, p: p.far.eval(p.feeds, s),
    "callable": lambda s, p: s.make_callable(p.far, [p.x])(p.feeds[p.x]),
    "callable that leaves values": lambda s, p: s.make_callable(p.far, [p.x], device_fetches=True)(
        p.feeds[p.x]
    ),
    "partial run": lambda s, p: s.partial_run_setup(p.far, p.x),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "config", [{}, {"inter_op_parallelism_threads": 1}, {"operation_timeout_in_ms": 60000}]
)
def test_every_way_to_run_is_guarded(program, way, config):
    with session("disallow", **config) as s:
        s.run(program.init)
        with pytest.raises(REFUSED, match="Disallowed device-to-device transfer: 'near:0'"):
            way(s, program)
        with tf.transfer_guard("allow"):
            way(s, program)
        with pytest.raises(REFUSED):
            way(s, program)
        assert s.run(program.count) == 1.0


def test_what_is_fed_and_fetched_is_explicit(fresh_graph):
    x = tf.placeholder(tf.float32, [2])
    with tf.device("/gpu:0"):
        y = tf.tanh(x)
        z = tf.exp(y)
    with session("disallow") as s:
        assert s.run([z, y], {x: [0.0, 0.0]})[0].tolist() == [1.0, 1.0]
        assert s.run(z, {y: [0.0, 0.0]}).tolist() == [1.0, 1.0]  # any tensor may be fed
        handle = s.partial_run_setup([y, z], [x])
        assert s.partial_run(handle, z, {x: [0.0, 0.0]}).tolist() == [1.0, 1.0]


def implicit(make):
    """A program of one implicit transfer: its fetch, and the tensor that moves."""
    return pytest.param(make, id=make.__name__)


def host_input():
    with tf.device("/gpu:0"):
        a = tf.cast(tf.ones([2]), tf.int64, name="a")
        return tf.reshape(tf.ones([1]), a - a + 1), "add:0"


def host_op():
    with tf.device("/gpu:0"):
        a = tf.tanh(tf.ones([2]), name="a")
    with tf.device("/cpu:0"):
        return tf.exp(a), "a:0"


def constant_of_the_host():
    with tf.device("/cpu:0"):
        a = tf.constant([1.0, 2.0], name="a")
    with tf.device("/gpu:0"):
        return tf.exp(a), "a:0"


def predicate():
    with tf.device("/gpu:0"):
        p = tf.less(tf.ones([]), 2.0, name="p")
        return tf.cond(p, lambda: tf.constant(1.0), lambda: tf.constant(2.0)), "p:0"


def way_not_taken():
    p = tf.constant(False, name="p")
    with tf.device("/gpu:0"):
        a = tf.ones([2], name="a")

    def yes():
        with tf.device("/gpu:1"):
            return tf.exp(a)

    return tf.cond(p, yes, lambda: tf.identity(a)), "cond/Exp/Switch:1"


def loop():
    with tf.device("/gpu:0"):
        return tf.while_loop(lambda i: i < 3.0, lambda i: i + 1.0, [tf.constant(0.0)]), (
            "while/Less:0"
        )


PROGRAMS = [
    implicit(p) for p in (host_input, host_op, constant_of_the_host, predicate, way_not_taken, loop)
]


@pytest.mark.parametrize("make", PROGRAMS)
def test_what_is_implicit(fresh_graph, make, caplog, monkeypatch):
    """On a device that cannot decide by itself how a step goes on."""
    monkeypatch.setenv("TFSESSION_GPU_CONDITIONALS", "0")
    fetch, tensor = make()
    with session() as s:
        with tf.transfer_guard("disallow"), pytest.raises(REFUSED, match="Disallowed"):
            s.run(fetch)
        with tf.transfer_guard("log"):
            s.run(fetch)
        assert any(f"'{tensor}'" in text for text in logged(caplog)), logged(caplog)
        report = s.explain_placement(fetch)
        moved = [row.tensor for row in report.transfers if row.kind == "implicit"]
        assert [text.split("'")[1] for text in logged(caplog)] == moved


@pytest.mark.parametrize("make", [predicate, loop])
def test_what_a_device_decides_is_no_transfer(fresh_graph, make):
    fetch, _ = make()
    with session() as s, tf.transfer_guard("disallow"):
        assert s.run(fetch) == (1.0 if make is predicate else 3.0)


def test_cpu_devices_share_memory(fresh_graph):
    with tf.device("/cpu:0"):
        a = tf.constant(1.0)
    with tf.device("/cpu:1"):
        b = tf.exp(a)
    config = tf.ConfigProto(
        device_count={"CPU": 2}, device_options=tf.DeviceOptions(transfer_guard="disallow")
    )
    with tf.Session(config=config) as s:
        assert s.run(b) == np.exp(np.float32(1.0))


def test_a_device_array_fed_where_it_is_not_read_is_moved(program):
    with session() as s:
        s.run(program.init)
        with tf.device("/gpu:1"):
            other = tf.sin(program.near)
        on_gpu_0 = s.make_callable(program.near, [program.x], device_fetches=True)
        array = on_gpu_0(program.feeds[program.x])
        with tf.transfer_guard("disallow"):
            with pytest.raises(REFUSED, match=r"'near:0' .* goes from GPU:0 to GPU:1"):
                s.run(other, {program.near: array})
            s.run(other, {program.near: np.ones((1, 2), np.float32)})


def test_log_tells_each_transfer_once_in_a_block(program, caplog):
    with session() as s:
        s.run(program.init)
        for _ in range(2):
            with tf.transfer_guard("log"):
                for _ in range(3):
                    assert np.allclose(s.run(program.far, program.feeds), program.value)
        assert logged(caplog) == [f"Implicit {TEXT}"] * 2
        assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_log_tells_each_transfer_once_in_a_session(program, caplog):
    for _ in range(2):
        with session("log") as s:
            s.run(program.init)
            for _ in range(3):
                s.run(program.far, program.feeds)
                s.run([program.far, program.near], program.feeds)
    assert logged(caplog) == [f"Implicit {TEXT}"] * 2


def test_the_innermost_guard_counts(program):
    def goes():
        try:
            s.run(program.far, program.feeds)
        except REFUSED:
            return False
        return True

    with session("disallow") as s:
        s.run(program.init)
        assert not goes()
        with tf.transfer_guard("allow"):
            assert goes()
            with tf.transfer_guard("disallow"):
                assert not goes()
                with tf.transfer_guard("log"):
                    assert goes()
                assert not goes()
            assert goes()
            with pytest.raises(KeyError), tf.transfer_guard("disallow"):
                raise KeyError
            assert goes()
        assert not goes()


def test_a_guard_is_its_threads(program):
    results = []

    def work():
        results.append(s.run(program.far, program.feeds))

    with session() as s:
        s.run(program.init)
        with tf.transfer_guard("disallow"):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert np.allclose(results[0], program.value)


def test_a_guard_decorates_functions(program):
    @tf.transfer_guard("disallow")
    def work():
        return s.run(program.far, program.feeds)

    with session() as s:
        s.run(program.init)
        for _ in range(2):
            with pytest.raises(REFUSED):
                work()
        s.run(program.far, program.feeds)


@pytest.mark.parametrize("level", ["", "Allow", "deny", None, 3])
def test_no_such_level(level):
    with pytest.raises(ValueError, match="`level` must be one of allow, log, disallow, but is"):
        tf.transfer_guard(level)


def test_no_such_level_of_a_session(fresh_graph):
    with pytest.raises(REFUSED, match="transfer_guard must be one of allow, log, disallow, but is"):
        session("deny")
    session("allow").close()


def test_several_transfers_are_counted(fresh_graph):
    with tf.device("/gpu:0"):
        a, b = tf.tanh(tf.ones([2])), tf.exp(tf.ones([2]))
    with tf.device("/gpu:1"):
        c = a + b
    with session("disallow") as s, pytest.raises(REFUSED, match="The step would make 1 more"):
        s.run(c)
