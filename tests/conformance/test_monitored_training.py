"""Trainings with hooks under real TensorFlow and here: what is told when, what is written."""

import threading
from pathlib import Path

import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("training")]


def hook_of(tf, log, name="h", **methods):
    """A hook that logs what it is told, and calls a method of the same name, when given."""

    def method(what):
        def told(self, *args):
            log.append(f"{name}.{what}")
            return methods[what](*args) if what in methods else None

        return told

    names = ("begin", "after_create_session", "before_run", "after_run", "end")
    return type("Hook", (tf.train.SessionRunHook,), {n: method(n) for n in names})()


def counter(tf):
    return tf.assign_add(tf.train.get_or_create_global_step(), 1)


def orders(tf, log, directory):
    count = counter(tf)
    with tf.train.MonitoredSession(hooks=[hook_of(tf, log, n) for n in "ab"]) as session:
        log.append(int(session.run(count)))
        log.append(session.should_stop())
    log += [session.should_stop(), tf.get_default_graph().finalized]


def ends(tf, log, directory):
    queue = tf.FIFOQueue(1, tf.float32)
    close, dequeue = queue.close(), queue.dequeue()
    for kind in (tf.train.MonitoredSession, tf.train.SingularMonitoredSession):
        for error in (StopIteration, ValueError, tf.errors.OutOfRangeError, None):
            try:
                with kind(hooks=[hook_of(tf, log)]) as session:
                    session.run(close)
                    if error is None:
                        session.run(dequeue)
                    elif error is tf.errors.OutOfRangeError:
                        raise error(None, None, "m")
                    else:
                        raise error("m")
            except ValueError as raised:
                log.append(str(raised))


def recovers(tf, log, directory):
    count, failures = counter(tf), [3, 4]

    def fail(context, values):
        step = context.session.run(tf.train.get_global_step())
        if failures and step == failures[0]:
            failures.pop(0)
            raise tf.errors.AbortedError(None, None, "lost")

    hooks = [
        hook_of(tf, log, after_run=fail),
        tf.train.CheckpointSaverHook(directory, save_steps=1, saver=tf.train.Saver()),
        tf.train.StopAtStepHook(last_step=5),
    ]
    creator = tf.train.ChiefSessionCreator(checkpoint_dir=directory)
    with tf.train.MonitoredSession(creator, hooks) as session:
        while not session.should_stop():
            log.append(int(session.run(count)))


def asks(tf, log, directory):
    x, y = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
    total, double = x + y, x * 2

    def before(context):
        log.append(context.original_args.feed_dict == {x: 3.0})
        return tf.train.SessionRunArgs([total, {"d": double}], {y: 4.0})

    def after(context, values):
        log.append([float(values.results[0]), float(values.results[1]["d"])])
        context.request_stop()

    with tf.train.SingularMonitoredSession(
        [hook_of(tf, log, before_run=before, after_run=after)]
    ) as s:
        log.append(float(s.run(double, {x: 3.0})))
        log.append(s.should_stop())
        for feeds in ({x: 3.0}, {x: 3.0, y: 1.0}):
            try:
                s.run(double, feeds)
            except RuntimeError as error:
                log.append(str(error).split(" Conflict")[0])


def steps(tf, log, directory):
    count = counter(tf)

    def step_fn(step_context):
        log.append(int(step_context.session.run(count)))
        log.append(int(step_context.run_with_hooks(count)))
        if log[-1] > 3:
            step_context.request_stop()

    with tf.train.MonitoredSession(hooks=[hook_of(tf, log)]) as session:
        try:
            session.run_step_fn(lambda x: None)
        except ValueError as error:
            log.append(str(error).split(" Got")[0])
        while True:
            session.run_step_fn(step_fn)


def trains(tf, log, directory):
    x = tf.get_variable("x", [], initializer=tf.constant_initializer(1.0))
    tf.summary.scalar("seen", x)
    step = tf.train.get_or_create_global_step()
    train = tf.train.GradientDescentOptimizer(0.1).minimize(tf.square(x), step)
    for last in (5, 8):
        hooks = [tf.train.StopAtStepHook(last_step=last), hook_of(tf, log)]
        with tf.train.MonitoredTrainingSession(
            checkpoint_dir=directory, hooks=hooks, save_checkpoint_steps=3, save_summaries_steps=2,
            log_step_count_steps=3,
        ) as session:  # fmt: skip
            while not session.should_stop():
                session.run(train)
    tf.summary.FileWriterCache.clear()
    log.append(written(tf, directory))


def written(tf, directory):
    """The names of files, and what is in event files, but for times and their consequences."""
    names, events = [], []
    for path in sorted(Path(directory).iterdir()):
        if "tfevents" not in path.name:
            names.append(path.name)
            continue
        for event in tf.train.summary_iterator(str(path)):
            kind = event.WhichOneof("what")
            detail = [v.tag for v in event.summary.value]
            if kind == "session_log":
                detail = [event.session_log.status, Path(event.session_log.checkpoint_path).name]
            events.append((kind, event.step, detail))
    return names, events


def supervises(tf, log, directory):
    x = tf.get_variable("x", [], initializer=tf.constant_initializer(1.0))
    tf.summary.scalar("seen", x)
    count = counter(tf)
    sv = tf.train.Supervisor(logdir=directory, save_model_secs=0, save_summaries_secs=0)
    log += [sv.save_path[-10:], sv.is_chief, sv.saver is not None, sv.summary_op.op.type]
    with sv.managed_session() as session:
        log.append(int(session.run(count)))
        sv.summary_computed(session, session.run(sv.summary_op))
        sv.saver.save(session, sv.save_path, global_step=sv.global_step)
        raise tf.errors.OutOfRangeError(None, None, "no more")
    log += [sv.should_stop(), written(tf, directory)]


def scaffolds(tf, log, directory):
    tf.get_variable("v", [])
    nothing = tf.no_op()
    for make in (
        lambda: tf.train.Scaffold(copy_from_scaffold=3),
        lambda: tf.train.MonitoredSession(
            tf.train.ChiefSessionCreator(tf.train.Scaffold(init_op=nothing))
        ),
        lambda: tf.train.SessionManager().prepare_session(""),
        lambda: tf.train.SessionManager(ready_for_local_init_op=nothing),
    ):
        try:
            make()
        except (TypeError, RuntimeError, ValueError) as error:
            log.append((type(error).__name__, str(error).split("[")[0].split(" <")[0]))


def triggers(tf, log, directory):
    timer = tf.train.SecondOrStepTimer(every_steps=3)
    for step in (0, 1, 1, 3, 4, 9, 9, 12):
        log.append(timer.should_trigger_for_step(step))
        if log[-1]:
            seconds, passed = timer.update_last_triggered_step(step)
            log.append((seconds is None, passed))
    count = counter(tf)
    x = tf.constant(3.0, name="x")
    hooks = [
        tf.train.LoggingTensorHook(
            {"x": "x", "c": count}, every_n_iter=2, at_end=True,
            formatter=lambda values: log.append(sorted(values)) or "",
        ),
        tf.train.FinalOpsHook({"twice": x * 2}),
        tf.train.NanTensorHook(x),
        tf.train.StopAtStepHook(num_steps=4),
    ]  # fmt: skip
    with tf.train.MonitoredSession(hooks=hooks) as session:
        while not session.should_stop():
            session.run(count)
    log.append(float(hooks[1].final_ops_values["twice"]))
    bad = tf.placeholder_with_default(float("nan"), [])
    try:
        with tf.train.MonitoredSession(hooks=[tf.train.NanTensorHook(bad)]) as session:
            session.run(count)
    except tf.train.NanLossDuringTrainingError as error:
        log.append(str(error))


def places(tf, log, directory):
    cluster = tf.train.ClusterSpec({"ps": ["a:1", "b:2"], "worker": {0: "c:1", 3: "d:1"}})
    log += [repr(cluster), cluster.job_tasks("worker"), bool(cluster)]
    for keywords in (
        {"cluster": cluster},
        {"ps_tasks": 2, "merge_devices": False},
        {"ps_tasks": 1, "ps_device": "/cpu:0", "worker_device": "/gpu:0"},
    ):
        setter = tf.train.replica_device_setter(**keywords)
        with tf.Graph().as_default() as graph, tf.device(setter):
            a, b = tf.Variable(1.0), tf.Variable(1.0, use_resource=True)
            tf.add(a, b)
            for device in ("/gpu:1", "/job:other", "/job:ps", "/job:ps/task:7"):
                with tf.device(device):
                    tf.Variable(2.0)
            log.append([(op.type, op.device) for op in graph.get_operations()])


PROGRAMS = [
    orders, ends, recovers, asks, steps, trains, supervises, scaffolds, triggers, places,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_trainings(tf, tmp_path, program):
    logs = []
    for module in (tf, tfsession):
        log = []
        directory = tmp_path / module.__name__
        directory.mkdir()
        with module.Graph().as_default():
            program(module, log, str(directory))
        module.summary.FileWriterCache.clear()
        logs.append(log)
    assert logs[1] == logs[0]
    assert logs[1]
    assert not [t for t in threading.enumerate() if t.name == "EventLoggerThread" and t.is_alive()]


def test_profiles(tf):
    """Parameters and float operations, as TensorFlow's profiler counts them."""
    found = []
    for module in (tf, tfsession):
        with module.Graph().as_default() as graph:
            x = module.placeholder(module.float32, [4, 8, 8, 3])
            with module.variable_scope("net"):
                w, v = module.get_variable("w", [3, 3, 3, 5]), module.get_variable("v", [80, 10])
                b = module.get_variable("b", [5], use_resource=True)
                y = module.nn.relu(
                    module.nn.bias_add(module.nn.conv2d(x, w, [1, 1, 1, 1], "SAME"), b)
                )
                y = module.nn.max_pool(y, [1, 2, 2, 1], [1, 2, 2, 1], "VALID")
                y = module.nn.avg_pool(y, [1, 2, 1, 1], [1, 1, 1, 1], "SAME")
                z = module.nn.softmax(module.matmul(module.reshape(y, [4, 80]), v) + 1.0)
            module.get_variable("fixed", [7], trainable=False)
            module.reduce_mean(z)
            loss = module.squared_difference(module.log(z), z)
            module.gradients(loss, [w, v])
            builder = module.profiler.ProfileOptionBuilder
            parameters = builder(builder.trainable_variables_parameter()).with_empty_output()
            floats = builder(builder.float_operation()).with_empty_output()
            first = module.profiler.profile(graph, cmd="scope", options=parameters.build())
            second = module.profiler.profile(graph, cmd="op", options=floats.build())
        counts = {}
        while second.children:
            (second,) = second.children
            counts[second.name] = second.float_ops
        names = [(c.name, c.parameters) for c in first.children[0].children]
        found.append({("parameters", first.total_parameters), *names, *counts.items()})
    assert found[0] ^ found[1] == set()
