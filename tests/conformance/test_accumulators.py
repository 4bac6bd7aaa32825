"""Accumulators and staging areas: programs under real TensorFlow and tfsession, compared."""

import pytest

# Real TensorFlow's queue runners fail when a monitored session is closed that they wait in.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

# No wait is longer than the timeout: real TensorFlow would wait for ever.
PRELUDE = """
import threading

C, S = tf.ConditionalAccumulator, tf.SparseConditionalAccumulator
try:
    A = tf.contrib.staging.StagingArea
except AttributeError:
    from tensorflow.python.ops.data_flow_ops import StagingArea as A
f32 = tf.float32
s = tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=4000))
run = s.run
SOON = tf.RunOptions(timeout_in_ms=100)


def err(f):
    '''What a call gives, or its error: the class, and the line of the message that says why.'''
    try:
        return "ok", f()
    except BaseException as e:
        message = getattr(e, "message", None) or str(e)
        lines = [line.strip() for line in message.split("\\n")]
        return type(e).__name__, [line for line in lines if "ismatch" in line or "must be" in line
                                  or "hould be" in line or "cannot be" in line or "xpected" in line
                                  or "Timed out" in line or "cancelled" in line]


def after(q, *steps):
    '''What becomes of applied gradients, and of takes of so many.'''
    return [err(lambda: run(q.take_grad(x) if isinstance(x, int) else q.apply_grad(*x)))
            for x in steps]


class Later:
    '''A run in a thread of its own; it is waiting, or over, when this is made.'''

    def __init__(self, op):
        self.out = None
        self.thread = threading.Thread(target=self.run, args=(op,), daemon=True)
        self.thread.start()
        self.thread.join(0.1)

    def run(self, op):
        self.out = err(lambda: s.run(op))

    def result(self):
        self.thread.join(5)
        return self.out
"""

# Programs that leave what is compared in `out`.
PROGRAMS = {
    "training": {
        "replicas: graph": """
step = tf.train.get_or_create_global_step()
with tf.device("/job:localhost"), tf.name_scope("outer"):
    w, u = tf.get_variable("w", [3, 1]), tf.get_variable("u", [5, 1])
    e = tf.get_variable("e", [5, 1], use_resource=True)
    o = tf.train.SyncReplicasOptimizer(
        tf.train.MomentumOptimizer(.1, .9), 2, 3, name="named", variables_to_average=[w],
        variable_averages=tf.train.ExponentialMovingAverage(.9, step))
    rows = tf.IndexedSlices(tf.constant([[1.]]), tf.constant([0]), tf.constant([5, 1]))
    grads = [(tf.ones([3, 1]), w), (None, u), (rows, e)]
    train = o.apply_gradients(grads, step)
    for hook in (o.make_session_run_hook(True), o.make_session_run_hook(False, 2)):
        hook.begin()
out = [(n.name, n.op, list(n.input), n.device, list(n.attr["_class"].list.s))
       for n in tf.get_default_graph().as_graph_def().node if "MovingAvg" not in n.name]
out += [train.name, o.chief_init_op.name, o.local_step_init_op.name, o.get_slot_names(),
        o.ready_for_local_init_op.name, o.get_slot(w, "momentum").name,
        [v.name for v in o.variables()]]
out += [[getattr(x, "name", x) for x in tf.get_collection(c)] for c in (
    tf.GraphKeys.LOCAL_VARIABLES, tf.GraphKeys.GLOBAL_VARIABLES, tf.GraphKeys.TRAIN_OP)]
""",
        "replicas: two threads": """
rng = np.random.RandomState(0)
step = tf.train.get_or_create_global_step()
x, ids = tf.placeholder(f32, [None, 3]), tf.placeholder(tf.int64, [None])
w = tf.get_variable("w", [3, 1], initializer=tf.ones_initializer())
e = tf.get_variable("e", [5, 1], initializer=tf.ones_initializer())
loss = tf.reduce_mean(tf.square(tf.matmul(x, w) + tf.gather(e, ids) - 2))
o = tf.train.SyncReplicasOptimizer(tf.train.AdamOptimizer(.05), 2)
train = o.minimize(loss, global_step=step)
coord, out = tf.train.Coordinator(), []
run([tf.global_variables_initializer()])
run(o.chief_init_op)
threads = o.get_chief_queue_runner().create_threads(s, coord=coord, daemon=True, start=True)
for _ in range(6):
    feeds = [{x: rng.randn(4, 3), ids: rng.randint(0, 5, 4)} for _ in range(2)]
    replicas = [threading.Thread(target=s.run, args=(train, feed)) for feed in feeds]
    for thread in replicas:
        thread.start()
    for thread in replicas:
        thread.join(10)
    values = run([w, e, step, tf.local_variables()[0]])
    out.append([np.round(v, 4) for v in values])
coord.request_stop()
s.close()
coord.join(threads, stop_grace_period_secs=10)
""",
        "replicas: one, with its hook": """
step = tf.train.get_or_create_global_step()
w = tf.get_variable("w", [2], initializer=tf.ones_initializer())
o = tf.train.SyncReplicasOptimizer(tf.train.GradientDescentOptimizer(.25), 1)
train = o.minimize(tf.reduce_sum(w * w), global_step=step)
hooks, out = [o.make_session_run_hook(True, num_tokens=0), tf.train.StopAtStepHook(4)], []
with tf.train.MonitoredTrainingSession(hooks=hooks, stop_grace_period_secs=.1) as m:
    while not m.should_stop():
        m.run(train)
        read = lambda step_context: step_context.session.run([w, step])
        out.append(m.run_step_fn(read))
""",
        "replicas: refused": """
step, v = tf.train.get_or_create_global_step(), tf.get_variable("v", [])
S = tf.train.SyncReplicasOptimizer


def made(**kw):
    o = S(tf.train.AdamOptimizer(), 3, **kw)
    o.apply_gradients([(tf.constant(1.), v)], step)
    return o


def said(f):
    try:
        return f()
    except Exception as e:
        return type(e).__name__, str(e)


o = S(tf.train.AdamOptimizer(), 3, 1)
out = [said(f) for f in (
    o.get_chief_queue_runner, o.get_init_tokens_op, o.make_session_run_hook(True).begin,
    lambda: o.apply_gradients([], step), lambda: o.apply_gradients([(tf.constant(1.), v)]),
    lambda: made(total_num_replicas=1).get_init_tokens_op(1),
    lambda: made(total_num_replicas=3).get_init_tokens_op(0).type)]
""",
    },
    "accumulators": {
        "graph": """
with tf.name_scope("sc"), tf.container("c"):
    q = C(f32, [2], name="q", shared_name="shared")
    r = S(f32, [4, 2], name="q", reduction_type="SUM")
    for x in (q, r):
        x.num_accumulated(), x.num_accumulated(name="mine"), x.set_global_step(3)
        x.set_global_step(tf.constant(3, tf.int64), name="mine")
    q.apply_grad([1., 2.]), q.apply_grad([1., 2.], tf.constant(3), name="mine"), q.take_grad(2)
    r.apply_grad([1], [[2.]]), r.apply_grad(tf.constant([1]), [[2.]], [2], name="mine")
    r.apply_indexed_slices_grad(tf.IndexedSlices([[1.]], [0], [2]), local_step=1)
    made = [r.take_grad(2), r.take_indexed_slices_grad(2, name="mine")]
out = [(n.name, n.op, list(n.input), sorted((k, str(v)) for k, v in n.attr.items() if k[0] != "_"))
       for n in tf.get_default_graph().as_graph_def().node]
out += [str(x) for x in made] + [(x.name, x.dtype, str(x.accumulator_ref)) for x in (q, r)]
out += [C(f32, shape).take_grad(1).shape for shape in (None, [], [2], [None, 2])]
""",
        "wrong arguments": """
q, r = C(f32, [2]), S(f32, [4, 2])
out = [err(f) for f in (
    lambda: C(f32, reduction_type="MAX"), lambda: C(tf.string), lambda: q.take_grad(1.0),
    lambda: q.apply_grad([1, 2, 3]), lambda: q.apply_grad(tf.constant([1, 2])),
    lambda: run(q.take_grad(0)), lambda: run(r.take_grad(-1)))]
for f in (lambda: q.take_grad([1]), lambda: q.apply_grad([1., 2.], [1]),
          lambda: q.set_global_step([1])):
    out.append(err(f)[0])
""",
        "means and sums": """
rng = np.random.RandomState(0)
out = []
for dtype in ("float16", "float32", "float64"):
    for kind in ("MEAN", "SUM"):
        q = C(getattr(tf, dtype), [3, 2], reduction_type=kind)
        r = S(getattr(tf, dtype), [9, 2], reduction_type=kind)
        for _ in range(7):
            values = tf.constant(rng.randn(3, 2).astype(dtype))
            rows = tf.constant(np.sort(rng.choice(9, 3, replace=False)))
            run([q.apply_grad(values), r.apply_grad(rows, values)])
        out += [run(q.take_grad(7)), tuple(run(r.take_grad(3)))]
""",
        "steps": """
out = []
for q, grad in ((C(f32, [1]), ([1.],)), (S(f32), ([0], [[1.]], None))):
    add = lambda step: run(q.apply_grad(*grad, local_step=step))
    count = q.num_accumulated()
    for step in (0, 1, -1, 5):
        add(step)
        out.append(run(count))
    out.append(np.asarray(run(q.take_grad(2))[-1]))
    for step in (0, 1):
        add(step)
        out.append(run(count))
    run(q.set_global_step(4))
    out.append(run(count))
    for step in (3, 4):
        add(step)
        out.append(run(count))
    run(q.set_global_step(2))
    add(2)
    out.append(run(count))
    run(q.take_grad(1))
    add(2)
    add(3)
    out.append(run(count))
""",
        "staging areas: graph": """
with tf.name_scope("sc"), tf.device("/cpu:0"):
    q = A([f32, tf.int32], [[2], []], capacity=3, memory_limit=100)
    element = [tf.constant([1., 2.]), tf.constant(3)]
    for kw in ({}, {"name": "mine"}):
        made = [q.put(element, **kw).name, q.get(**kw), q.peek(1, **kw), q.size(**kw),
                q.clear(**kw).name]
other = A([f32], names=["n"], shared_name="shared")
with tf.device("/cpu:1"):
    made += [q.get(), q.put(element).device, other.put({"n": tf.constant(1.)}).name, other.get()]
out = [(n.name, n.op, list(n.input), n.device, sorted(
            (k, str(v)) for k, v in n.attr.items() if k[0] != "_" and k != "value"))
       for n in tf.get_default_graph().as_graph_def().node]
out += [str(made)]
out += [(x.name, x.dtypes, x.shapes, x.names, x.capacity, x.memory_limit) for x in (q, other)]
""",
        "staging areas: elements": """
p, c = tf.placeholder(f32), tf.constant
a, b = A([f32]), A([f32, tf.int32], [[], []], names=["x", "y"])
out = [a.name, b.name]
for value in ([1., 2.], [[3.]], 4.):
    s.run(a.put([p]), {p: value})
out += [run(a.size()), run(a.peek(1)), run(a.get()), run(a.get()), run(a.size()), run(a.clear()),
        run(a.size())]
run(b.put({"y": c(1), "x": c(2.)}))
out.append(run(b.get()))
run(b.put({"x": c(2.)}))
out += [err(lambda: run(b.get()))[0], run(b.size())]
small = A([f32], memory_limit=4)
out.append([err(lambda: s.run(small.put([p]), {p: v}))[0] for v in ([1, 2], [1])])
out.append(run(small.size()))
""",
        "staging areas: wrong arguments": """
c, a, b = tf.constant, A([f32, tf.int32], [[2], []]), A([f32, tf.int32], names=["x", "y"])


def said(f):
    try:
        return f()
    except Exception as e:
        return type(e).__name__, str(e)


out = [said(f) for f in (
    lambda: A([f32], [[], []]), lambda: A([f32], names=["a", "b"]), lambda: A([f32], shared_name=3),
    lambda: a.put([c([1., 2.]), c(3.)]), lambda: a.put([c([1., 2., 3.]), c(3)]),
    lambda: a.put([c([1., 2.]), c(3), c(3)]), lambda: a.put({"x": c(1.)}),
    lambda: b.put([c(1.), c(2)]), lambda: b.put({"x": c(1.), "z": c(2)}))]
""",
        "takes wait in turn": """
q = C(f32, [])
x, step = tf.placeholder_with_default(3., [], "x"), tf.placeholder_with_default(0, [], "t")
add = q.apply_grad(x, step)
two, one = Later(q.take_grad(2)), Later(q.take_grad(1))
run(add)
out = [two.out, one.out, run(q.num_accumulated())]
run(add, {"x:0": 5.})
out += [two.result(), one.out]
run(add)
out.append(one.out)
run(add, {"x:0": 7., "t:0": 1})
out.append(one.result())
""",
        "timeouts and close": """
q = C(f32, [])
out = [err(lambda: s.run(q.take_grad(2), options=SOON))]
run(q.apply_grad(3.))
out.append(run(q.take_grad(1)))
blocked = Later(q.take_grad(1))
s.close()
out.append(blocked.result())
""",
        "dense shapes": """
p = tf.placeholder(f32)
out = []
for shape, fed in ((None, ([[1, 2], [3, 4]], [1], [[1, 2], [3, 5]])), ([2], ([1], [1, 2], 1)),
                   ([None, 2], ([1, 2], [[1, 2]], [[1, 2], [3, 4]], [[1, 2, 3]]))):
    q = C(f32, shape)
    out += [err(lambda: s.run(q.apply_grad(p), {p: value})) for value in fed]
    out += [err(lambda: s.run(q.apply_grad(p, -1), {p: [[[1]]]})), run(q.take_grad(1))]
    out.append(err(lambda: s.run(q.apply_grad(p, 1), {p: fed[-1]})))
""",
        "slices": """
a, b, c = [[1., 1], [2, 2]], [[5., 5]], [[1., 2, 3]]
out = [after(S(f32, shape, reduction_type=kind), *steps) for kind in ("MEAN", "SUM")
       for shape, steps in (
    ([4, 2], (([1, 3], a, [4, 2]), ([1], b, [4, 2]), 2)),
    ([4, 2], (([0, 2], a), ([1, 3], a), ([2], b), 2, ([1], b, None, 0), ([1], b, None, 1), 1)),
    (None, (([1, 3], a, [4, 2]), ([1], b), ([1], b, [5, 2]), 2)),
    ([None, 2], (([1], b, [4, 2]), 1, ([2], b, [5, 2], 1), 1)),
    ([], (([1], b, [4, 2]), 1, ([2], b, [5, 2], 1), 1)),
    (None, (([0], [[[1., 1]]]), ([0], [[[2., 2]]], [3, 1, 2]), 2)),
    ([4], (([0, 2], [1., 2]), ([1, 2], [3., 4], [4]), 1)),
    (None, (([3, 1], a), ([3, 1], a), 2)),
    (None, (([3, 1], a), ([1, 2, 3], [[1.], [2], [3]]), ([1, 2, 3], [[1., 1], [2, 2], [3, 3]]), 2)),
    (None, (([1, 1], a), ([1, 1], a), ([1], b), 1)),
    (None, (([5, 2, 2, 7], a + a), ([2, 5, 5, 7, 1], a + a + b), ([2, 7], a), 1)),
    (None, (([], tf.zeros([0, 2])), ([1], b), ([], tf.zeros([0, 2])), 2)),
)]
""",
        "slices that do not fit": """
b, c = [[5., 5]], [[1., 2, 3]]
out = [after(S(f32, shape), *steps) for shape, steps in (
    ([4, 2], (([1], c), ([7], b), ([1, 9, 8], b + b + b), ([-1], b), ([1], [5.]), 1)),
    ([4, 2], (([1], b, [5, 2]), ([1], b, [4, 3]), ([1], b, [4]), ([1], b, [[4, 2]]), 1)),
    ([4, 2], (([[1]], b), (1, b), ([1, 2], b), ([1], 5.), ([1], [5.]), ([1], b, [4, 2, 7]), 1)),
    ([4, 2], (([7], c, [5, 2]), ([7], c), ([7], [5.]), ([1], b), ([1], [5.]), ([1], [b, b]), 1)),
    (None, (([1], [5.], [-1]), ([1], b, [-1, 2]), ([1], c), 1, ([1], [5.]), ([1], b, None, 1), 1)),
    (None, (([1], [b]), ([1], [c]), ([1], b), 1)),
    (None, (([1], b), ([1, 2], c, [3], -1), 1)),
)]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, outcomes):
    real, ours = outcomes(PRELUDE, program)
    assert real[0] != "raised", real  # it would compare no more than that
    assert ours == real
