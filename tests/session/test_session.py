"""Sessions: construction, stacks, running, callables, growth of the graph, errors, closing."""

import gc
import logging
import sys
import threading
import types
import weakref

import numpy as np
import pytest

import tfsession as tf
from tfsession import session as session_lib
from tfsession.core import protos
from tfsession.core.op_def import define_op, ops
from tfsession.core.rules import kernel
from tfsession.runtime.default_session import default_sessions

EMPTY = "The Session graph is empty. Add operations to the graph before calling run()."
CLOSED = "Attempted to use a closed Session."

if "TestFail" not in ops:
    define_op("TestFail", ["x: float"], ["y: float"])

    @kernel("TestFail")
    def fail(xp, x):
        """Fails while it holds an array of its own."""
        held = Held((1000,), xp.float32)
        FAILED.append(weakref.ref(held))
        raise tf.errors.InvalidArgumentError(None, None, "it failed")


FAILED = []


class Held(np.ndarray):
    """An array that can be watched."""


@pytest.fixture(autouse=True)
def graph(fresh_graph):
    yield fresh_graph
    # A violated nesting leaves sessions there.
    default_sessions.stack.clear()


@pytest.fixture
def product():
    a, b = (tf.placeholder(tf.float32, [], name=name) for name in "ab")
    return a, b, tf.multiply(a, b, name="c")


class TestConstruction:
    @pytest.mark.filterwarnings("error")  # a failed constructor's destructor says nothing
    @pytest.mark.parametrize(
        ("arguments", "error", "text"),
        [
            ({"target": 3}, TypeError, 'Argument `target` must be a string, but got "int"'),
            (
                {"target": protos.ConfigProto()},
                TypeError,
                'Did you do "Session(config)" instead of "Session(config=config)"?',
            ),
            ({"target": "x"}, tf.errors.NotFoundError, 'session options: {target: "x" config: '),
            ({"target": "grpc://h:1"}, tf.errors.UnimplementedError, "other processes"),
            ({"graph": 3}, TypeError, 'Argument `graph` must be a tf.Graph, but got "int"'),
            ({"config": {}}, TypeError, '`config` must be a tf.ConfigProto, but got "dict"'),
            ({"config": 0}, TypeError, 'must be a tf.ConfigProto, but got "int"'),
            ({"config": protos.RunOptions()}, TypeError, 'but got "RunOptions"'),
            ({"graph": 3, "target": 3, "config": 3}, TypeError, "Argument `graph`"),
            ({"target": 3, "config": 3}, TypeError, "Argument `target`"),
            (
                {"config": protos.ConfigProto(device_count={"CPU": 0})},
                tf.errors.NotFoundError,
                "No CPU devices are available in this process",
            ),
        ],
    )
    def test_arguments(self, arguments, error, text):
        with pytest.raises(error) as raised:
            tf.Session(**arguments)
        assert text in str(raised.value)
        gc.collect()

    @pytest.mark.parametrize(
        ("path", "value", "error"),
        [
            ("graph_options.rewrite_options.auto_parallel.enable", True, "UnimplementedError"),
            ("graph_options.rewrite_options.auto_mixed_precision", 1, "UnimplementedError"),
        ],
    )
    def test_configurations_that_would_give_wrong_results(self, path, value, error):
        config = message = tf.ConfigProto()
        *parents, field = path.split(".")
        for parent in parents:
            message = getattr(message, parent)
        setattr(message, field, value)
        with pytest.raises(getattr(tf.errors, error)):
            tf.Session(config=config)

    def test_clusters_and_optimizers_of_others(self):
        config = tf.ConfigProto()
        config.cluster_def.job.add(name="worker").tasks[0] = "host:1"
        with pytest.raises(tf.errors.UnimplementedError):
            tf.Session(config=config)
        config = tf.ConfigProto()
        config.graph_options.rewrite_options.custom_optimizers.add(name="mine")
        with pytest.raises(tf.errors.NotFoundError, match="mine"):
            tf.Session(config=config)

    @pytest.mark.parametrize("kind", [tf.Session, tf.InteractiveSession])
    def test_a_failed_constructor_is_quiet(self, kind, monkeypatch, capfd):
        told = []
        monkeypatch.setattr(sys, "unraisablehook", told.append)
        for arguments in ((3,), ("", 3), ("", None, 3), ("bogus",), ("grpc://host:1",)):
            with pytest.raises((TypeError, tf.errors.OpError, AttributeError)):
                kind(*arguments)
        no_cpu = tf.ConfigProto(device_count={"CPU": 0})
        with pytest.raises(tf.errors.NotFoundError):
            kind(config=no_cpu)
        gc.collect()
        assert told == []
        assert capfd.readouterr() == ("", "")
        assert tf.get_default_session() is None

    def test_target_is_given_back_as_bytes(self):
        assert tf.Session().sess_str == b""
        assert tf.Session(b"").sess_str == b""
        assert tf.Session(None).sess_str is None

    def test_the_graph_is_fixed(self, graph):
        session = tf.Session()
        assert session.graph is graph
        with pytest.raises(AttributeError, match="no setter"):
            session.graph = tf.Graph()
        other = tf.Graph()
        assert tf.Session(graph=other).graph is other

    def test_the_configuration_is_copied(self, product):
        config = tf.ConfigProto(device_count={"CPU": 2})
        before = config.SerializeToString()
        session = tf.Session(config=config)
        config.device_count["CPU"] = 5
        devices = [d for d in session.list_devices() if d.device_type == "CPU"]
        assert len(devices) == 2
        config.device_count["CPU"] = 2
        assert config.SerializeToString() == before

    def test_classes(self):
        names = [cls.__name__ for cls in tf.Session.__mro__]
        assert names == ["Session", "BaseSession", "SessionInterface", "object"]
        assert not hasattr(tf.InteractiveSession, "__enter__")

    def test_devices(self):
        config = tf.ConfigProto(device_count={"CPU": 2, "GPU": 0, "FOO": 7})
        first, second = tf.Session(config=config).list_devices()
        assert second.name == "/job:localhost/replica:0/task:0/device:CPU:1"
        assert (first.device_type, first.memory_limit_bytes) == ("CPU", 268435456)
        assert first.incarnation != second.incarnation
        assert (
            repr(first) == f"_DeviceAttributes({first.name}, CPU, 268435456, {first.incarnation})"
        )

    def test_graph_def(self, product):
        plain = tf.Session().graph_def
        assert [node.name for node in plain.node] == ["a", "b", "c"]
        assert "_output_shapes" not in plain.node[0].attr
        config = tf.ConfigProto(graph_options=tf.GraphOptions(infer_shapes=True))
        assert "_output_shapes" in tf.Session(config=config).graph_def.node[0].attr


class TestDefaults:
    def test_as_default(self, product):
        session = tf.Session()
        assert tf.get_default_session() is None
        with session.as_default() as entered:
            assert entered is session
            assert tf.get_default_session() is session
            with session.as_default():
                assert tf.get_default_session() is session
        assert tf.get_default_session() is None
        assert session.run(tf.constant(1)) == 1

    def test_with(self):
        graph = tf.Graph()
        session = tf.Session(graph=graph)
        with session as entered:
            assert entered is session
            assert tf.get_default_session() is session
            assert tf.get_default_graph() is graph
            with pytest.raises(RuntimeError, match="Session context managers are not re-entrant"):
                session.__enter__()
        with session, pytest.raises(RuntimeError, match=CLOSED):
            session.run([])

    def test_nesting_is_checked(self):
        outer, inner = tf.Session().as_default(), tf.Session().as_default()
        outer.__enter__()
        session = inner.__enter__()
        with pytest.raises(AssertionError, match="Nesting violated for default stack of <class"):
            outer.__exit__(None, None, None)
        assert tf.get_default_session() is session
        inner.__exit__(None, None, None)

    def test_an_error_in_the_block_closes_in_a_thread(self):
        session, closed_in = tf.Session(), []
        close = session.close
        session.close = lambda: (closed_in.append(threading.current_thread()), close())
        with pytest.raises(KeyError), session:
            raise KeyError
        assert [(t.name, t.daemon) for t in closed_in] == [("SessionCloseThread", True)]
        assert tf.get_default_session() is None

    def test_other_threads_have_their_own(self, product):
        found = []

        def look():
            found.append((tf.get_default_session(), tf.get_default_graph().version))
            with pytest.raises(RuntimeError) as raised:
                tf.Session().run([])
            found.append(str(raised.value))

        with tf.Session():
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        assert found == [(None, 0), EMPTY]

    def test_eval_and_run(self, product):
        a, b, c = product
        with pytest.raises(ValueError, match="`eval\\(\\)`: No default session is registered"):
            c.eval()
        with pytest.raises(ValueError, match="`run\\(\\)`: No default session is registered"):
            c.op.run()
        foreign = tf.Session(graph=tf.Graph())
        with pytest.raises(ValueError, match="Cannot use the given session to evaluate tensor"):
            c.eval(session=foreign)
        with foreign.as_default():
            with pytest.raises(ValueError, match="Cannot use the default session to evaluate"):
                c.eval()
            with pytest.raises(ValueError, match="to execute operation: the operation's graph is"):
                c.op.run()
        with tf.Session().as_default() as session:
            assert c.eval({a: 2.0, b: 3.0}) == 6.0
            assert c.op.run({a: 2.0, b: 3.0}) is None
        assert c.eval({a: 2.0, b: 3.0}, session) == 6.0


class TestInteractive:
    def test_life(self, product, graph):
        a, b, c = product
        session = tf.InteractiveSession()
        assert tf.get_default_session() is session
        assert c.eval({a: 2.0, b: 3.0}) == 6.0
        session.close()
        session.close()
        assert tf.get_default_session() is None
        with pytest.raises(RuntimeError, match=CLOSED):
            session.run(c)

    def test_configuration(self):
        config = tf.ConfigProto()
        tf.InteractiveSession(config=config).close()
        assert config.graph_options.place_pruned_graph
        with pytest.raises(AttributeError, match="graph_options"):
            tf.InteractiveSession(config=3)

    def test_a_graph_becomes_the_default(self, graph):
        other = tf.Graph()
        session = tf.InteractiveSession(graph=other)
        assert tf.get_default_graph() is other
        session.close()
        assert tf.get_default_graph() is graph

    def test_order_of_closing(self, caplog):
        first = tf.InteractiveSession()
        with caplog.at_level(logging.ERROR, "tfsession"):
            second = tf.InteractiveSession()
        assert "An interactive session is already active" in caplog.text
        with pytest.raises(AssertionError, match="Nesting violated for default stack"):
            first.close()
        second.close()
        first.close()
        assert tf.get_default_session() is first
        with caplog.at_level(logging.ERROR, "tfsession"):
            caplog.clear()
            tf.InteractiveSession().close()
        assert caplog.text == ""


class TestRun:
    def test_order_of_checks(self, product):
        empty = tf.Session(graph=tf.Graph())
        for fetches in ([], None, "x"):
            with pytest.raises(RuntimeError, match="The Session graph is empty"):
                empty.run(fetches, {3: 4})
        session = tf.Session()
        with pytest.raises(AttributeError, match="SerializeToString"):
            session.run(None, {3: 4}, options={"x": 1})
        with pytest.raises(TypeError, match="Cannot interpret feed_dict key"):
            session.run(None, {3: 4})
        assert session.run([]) == []

    def test_options_and_metadata(self, product):
        *_, c = product
        k, session = tf.constant(1.0), tf.Session()
        metadata = tf.RunMetadata()
        metadata.partition_graphs.add()
        assert session.run(k, options=tf.RunOptions(), run_metadata=metadata) == 1.0
        assert len(metadata.partition_graphs) == 0
        metadata.partition_graphs.add()
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(c, run_metadata=metadata)
        assert len(metadata.partition_graphs) == 1
        assert session.run(k, options={}, run_metadata=0) == 1.0
        with pytest.raises(AttributeError, match="ParseFromString"):
            session.run(k, run_metadata=3)

    def test_same_call_again_makes_no_new_plan(self, product):
        a, b, c = product
        session = tf.Session()
        session.run([c, c.op], {a: 2.0, b: 3.0})
        plans = dict(session._engine._plans)
        session.run([c.op, c], {b: 2.0, a: 3.0})
        session.run({"x": (c, "c")}, {"a:0": 1.0, b: 2.0})
        assert session._engine._plans == plans

    def test_the_graph_may_grow(self, product):
        a, b, c = product
        variable, session = tf.Variable(1.0), tf.Session()
        session.run(variable.initializer)
        call = session.make_callable(c, [a, b])
        for i in range(3):
            assert session.run(variable.assign_add(1.0)) == 2.0 + i
            assert session.run(c, {a: i, b: 3.0}) == i * 3.0
            assert call(i, 2.0) == i * 2.0
            assert session.run(c + float(i), {a: 1.0, b: 1.0}) == 1.0 + i

    @pytest.mark.parametrize("pruned", [False, True])
    def test_an_operation_that_cannot_be_placed(self, product, pruned):
        a, b, c = product
        options = tf.GraphOptions(place_pruned_graph=pruned)
        session = tf.Session(config=tf.ConfigProto(graph_options=options))
        call, ready = session.make_callable(c, [a, b]), session.make_callable(tf.constant(1.0))
        ask = {a: 1.0, b: 2.0}
        assert session.run(c, ask) == session.run({"c": c}, ask)["c"] == call(1.0, 2.0) == 2.0
        assert ready() == 1.0
        with tf.device("/job:elsewhere/cpu:0"):
            bad = tf.constant(1.0, name="bad")
        for again in (
            lambda: session.run(c, ask),
            lambda: session.run({"c": c}, ask),
            lambda: session.run(b, {a: 1.0, b: 2.0}) if pruned else session.run(c, ask),
            lambda: call(1.0, 2.0),
            lambda: session.make_callable(tf.identity(c)),
        ):
            if pruned:
                again()
            else:
                with pytest.raises(tf.errors.InvalidArgumentError, match="Cannot assign a device"):
                    again()
        assert ready() == 1.0  # it asks for no more of the graph than it did
        with pytest.raises(tf.errors.InvalidArgumentError, match="Cannot assign a device"):
            session.run(bad)

    def test_a_finalized_graph_runs(self, product, graph):
        a, b, c = product
        graph.finalize()
        assert tf.Session().run(c, {a: 2.0, b: 3.0}) == 6.0
        with pytest.raises(RuntimeError, match="Graph is finalized and cannot be modified"):
            tf.constant(1.0)

    def test_changing_what_a_session_has_seen_warns(self, caplog):
        k, session = tf.constant(1.0, name="k"), tf.Session()
        k.op._set_device("/cpu:0")
        assert caplog.text == ""
        session.run(k)
        k.op._set_device("/job:nowhere")
        assert "Operation 'k' was changed by setting device after it was run by a session" in (
            caplog.text
        )
        assert session.run(k) == 1.0
        with pytest.raises(tf.errors.InvalidArgumentError):
            tf.Session().run(k)

    def test_sessions_share_nothing(self):
        variable = tf.Variable(1.0)
        one, other = tf.Session(), tf.Session()
        for session in (one, other):
            session.run(variable.initializer)
        one.run(variable.assign(5.0))
        assert (one.run(variable), other.run(variable)) == (5.0, 1.0)

    def test_log_device_placement(self, caplog, capsys):
        config = tf.ConfigProto(log_device_placement=True, device_count={"GPU": 0})
        with caplog.at_level(logging.INFO, "tfsession"):
            session = tf.Session(config=config)
        assert "Device mapping: no known devices." in caplog.text
        session.run(tf.constant(1.0, name="k"))
        assert "k: (Const): /job:localhost/replica:0/task:0/device:CPU:0" in capsys.readouterr().out


class TestErrors:
    def failing(self):
        x = tf.placeholder(tf.float32, name="x")
        graph = tf.get_default_graph()
        return x, graph.create_op("TestFail", [x], name="bad").outputs[0]

    def test_text_and_attributes(self):
        x, bad = self.failing()
        session = tf.Session()
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            session.run(bad, {x: 1.0})
        error = raised.value
        assert error.message.startswith("Graph execution error:\n\nDetected at node 'bad' defined")
        assert __file__ in error.message
        assert error.message.endswith("Node: 'bad'\nit failed\n\t [[{{node bad}}]]")
        assert error.op is bad.op
        assert error.node_def.name == "bad"
        assert error.args == ()
        assert "Original stack trace for 'bad':" in str(error)

    def test_callables_without_feeds_say_it_plainly(self):
        x, bad = self.failing()
        session = tf.Session()
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            session.make_callable(x)()
        assert raised.value.message.startswith("You must feed a value")
        assert (raised.value.op, raised.value.node_def) == (None, None)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Graph execution error"):
            session.make_callable(bad, [x])(1.0)

    @pytest.mark.parametrize("way", ["run", "structure", "callable", "plain callable"])
    def test_errors_keep_no_arrays_alive(self, way):
        x, bad = self.failing()
        session = tf.Session()
        plain = tf.get_default_graph().create_op("TestFail", [tf.constant(1.0)]).outputs[0]
        call = session.make_callable(bad, [x])
        ways = {
            "run": lambda: session.run(bad, {x: 1.0}),
            "structure": lambda: session.run({"a": bad}, {x: 1.0}),
            "callable": lambda: call(1.0),
            "plain callable": session.make_callable(plain),
        }
        for _ in range(2):
            FAILED.clear()
            with pytest.raises(tf.errors.InvalidArgumentError) as raised:
                ways[way]()
            assert len(FAILED) == 1
            assert FAILED[0]() is None
            assert raised.value.__context__ is None
            assert raised.value.__cause__ is None


class TestClose:
    def test_what_a_closed_session_does(self, product):
        a, b, c = product
        k, session = tf.constant(1.0), tf.Session()
        plain, fed = session.make_callable(k), session.make_callable(c, [a, b])
        assert (plain(), fed(2.0, 3.0), session.run(k)) == (1.0, 6.0, 1.0)
        assert session.run({"k": k}) == {"k": 1.0}
        session.close()
        session.close()
        for ask in (lambda: session.run(k), lambda: session.run({"k": k}), lambda: fed(2.0, 3.0)):
            with pytest.raises(RuntimeError, match=CLOSED):
                ask()
        for ask in (plain, session.make_callable(k), session.list_devices):
            with pytest.raises(tf.errors.CancelledError, match="Session has been closed"):
                ask()
        with pytest.raises(RuntimeError, match=CLOSED):
            session.make_callable(c, [a, b])(1.0, 2.0)
        assert len(session.graph_def.node) == session.graph.version

    def test_reset_closes_all_sessions(self):
        k, sessions = tf.constant(1.0), [tf.Session(), tf.Session()]
        tf.Session.reset("")
        for session in sessions:
            with pytest.raises(tf.errors.CancelledError, match="Session has been closed"):
                session.run(k)
        assert tf.Session().run(k) == 1.0
        with pytest.raises(TypeError, match="Expected binary or unicode string, got 3"):
            tf.Session.reset(3)
        with pytest.raises(tf.errors.NotFoundError):
            tf.Session.reset("bogus")
        with pytest.raises(AttributeError, match="SerializeToString"):
            tf.Session.reset("", config=3)

    def test_a_dropped_session_is_freed(self):
        k = tf.constant(np.ones(1000, np.float32))
        session = tf.Session()
        session.run([k])
        session.make_callable(k)()
        engine = weakref.ref(session._engine)
        del session
        gc.collect()
        assert engine() is None
        assert len(k.graph._watchers) == 0


def test_many_threads_while_the_graph_grows(product):
    a, b, c = product
    variable = tf.Variable(0.0)
    add = variable.assign_add(1.0, use_locking=True).op
    session = tf.Session()
    session.run(variable.initializer)
    wrong, stop, runs, threads = [], threading.Event(), 200, 8
    graph = tf.get_default_graph()

    def work(number):
        call = session.make_callable(c, [a, b])
        try:
            for i in range(runs):
                found = session.run([c], {a: float(i), b: float(number)})
                nested = session.run({"c": (c,)}, {a: float(i), b: float(number)})
                if not found[0] == nested["c"][0] == call(float(i), float(number)) == i * number:
                    wrong.append((number, i, found))
                session.run(add)
        except Exception as error:
            wrong.append(error)

    def grow():
        with graph.as_default():
            while not stop.is_set():
                tf.constant(1.0)
                stop.wait(0.001)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    grower = threading.Thread(target=grow)
    for thread in [grower, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    grower.join()
    assert wrong == []
    assert session.run(variable) == runs * threads


def test_the_destructor_needs_no_name_of_its_module(fresh_graph):
    """At the end of the interpreter they are None."""
    session = tf.Session()
    names = dict.fromkeys(vars(session_lib).keys() - {"__builtins__"})
    types.FunctionType(session_lib.BaseSession.__del__.__code__, names)(session)
    with pytest.raises(RuntimeError, match="closed Session"):
        session.run([])
