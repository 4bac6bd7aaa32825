"""Ends of steps, threads and pools: the same program under real TensorFlow and under tfsession."""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# No wait is longer than the timeout: real TensorFlow would wait for ever.
PRELUDE = """
import re, threading, time

# Nodes of their own: what the optimizer would fold or merge is none of this.
x = tf.placeholder_with_default(np.float32(2), [], name="x")
quick = tf.add(x, 1.0, name="quick")
q = tf.FIFOQueue(1, tf.float32, [[]], name="q")
waits = tf.add(q.dequeue(name="take"), x, name="waits")


def session(ms=8000, **config):
    return tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=ms, **config))


def limit(ms):
    return tf.RunOptions(timeout_in_ms=ms)


def last(result):
    '''Of an error the class and the text from its last node on.'''
    kind, text = result
    return (kind, text) if kind == "ok" else (kind, text[max(0, text.rfind("Node: ")):])


class Later:
    '''A call in a thread of its own; it is waiting, or over, when this is made.'''

    def __init__(self, call, wait=0.2):
        self.out = None
        self.thread = threading.Thread(target=self.run, args=(call,), daemon=True)
        self.thread.start()
        self.thread.join(wait)

    def run(self, call):
        self.out = last(err(call))

    def result(self):
        self.thread.join(6)
        return self.out


def bad(name, device):
    with tf.device(device):
        two = tf.placeholder_with_default([1.0, 2.0], [None])
        three = tf.placeholder_with_default([1.0, 2.0, 3.0], [None])
        return tf.add(two, three, name=name).op


def roots(targets):
    '''How a step of several devices ends, once both have failed before they heard of the other.'''
    for _ in range(30):
        kind, text = err(lambda: s.run(targets))
        found = sorted(set(re.findall(r"^  \\(\\d\\) (.*\\n.*)", text, re.M)))
        if len(found) > 1:
            break
    lines = [line for line in text.split("\\n") if "root error" in line or "operations." in line]
    return kind, found, lines + text.split("\\n")[-1:]
"""

PROGRAMS = {
    "1.4": {
        "from another thread, while steps wait": """
s = session()
calls = [s.make_callable(waits), s.make_callable(waits, [x])]
later = [Later(lambda: s.run(waits)), Later(lambda: s.run({"w": [waits]}, {x: 1.0})),
         Later(calls[0]), Later(lambda: calls[1](1.0)),
         Later(lambda: s.run(waits, options=limit(9000)))]
out = [x.out for x in later], s.close(), [x.result() for x in later], err(lambda: s.run(quick))
""",
        "while a partial run waits": """
s = session()
f = tf.placeholder(tf.float32, [], name="f")
h = s.partial_run_setup([waits], [f])
later = Later(lambda: s.partial_run(h, waits))
s.close()
out = later.result()[0], err(lambda: s.partial_run(h, waits))
""",
        "one of two sessions": """
s, other = session(), session()
later = [Later(lambda: s.run(waits)), Later(lambda: other.run(waits))]
s.close()
out = [later[0].result(), later[1].out, other.run(q.enqueue(5.0)), later[1].result()]
""",
        "at the end of a block": """
with session() as s:
    later = Later(lambda: s.run(waits))
out = later.result(), err(lambda: s.run(quick))
""",
        "again, and after an error": """
s = session()
out = [err(lambda: s.run(bad("b", "/cpu:0")))[0], s.run(quick), s.close(), s.close(),
       err(s.list_devices), err(s.make_callable(quick)), err(lambda: s.make_callable(quick, [])())]
""",
    },
    "7.7": {
        "whose deadline counts": """
s = session(100)
late = lambda *a: Later(lambda: s.run(waits, options=tf.RunOptions(timeout_in_ms=a[0]) if a
                                      else None), 0.5)
out = [late().out, late(0).out, late(-1).out, late(50).out, late(3000).out]
s.run(q.enqueue(1.0))
s = session(0)
out += [late(50).out, late(50).out]
out.append(err(lambda: s.make_callable(waits, accept_options=True)(limit(50))))
""",
        "an error of a deadline has no node": """
try:
    session(50).run(waits)
except tf.errors.DeadlineExceededError as e:
    out = e.op, e.node_def, e.error_code, e.message
""",
        "state after a deadline": """
s = session(100)
v = tf.Variable(1.0)
s.run(v.initializer)
with tf.control_dependencies([q.dequeue()]):
    late = tf.assign_add(v, 10.0)
out = [err(lambda: s.run([late, tf.assign_add(v, 1.0)]))[0], s.run(v) in (1.0, 2.0),
       s.run(q.enqueue(7.0)), s.run(q.size()), s.run(waits), s.run(tf.assign(v, 5.0))]
""",
        "errors of two devices": """
s = session(device_count={"CPU": 3})
out = roots([bad("a", "/cpu:0"), bad("b", "/cpu:1")])
""",
        "errors of two kinds": """
s = session(device_count={"CPU": 2})
with tf.device("/cpu:1"):
    v = tf.Variable(1.0, name="v")
    read = tf.identity(v, name="r").op
out = roots([bad("a", "/cpu:0"), read])[1]
""",
        "errors of one device": """
s = session()
kind, text = err(lambda: s.run([bad("a", "/cpu:0"), bad("b", "/cpu:0")]))
out = kind, text.count("Incompatible shapes"), "root error" in text
""",
        "an error ends the waits of its step, on every device": """
s = session(device_count={"CPU": 2})
with tf.device("/cpu:1"):
    far = tf.identity(q.dequeue(), name="far")
kind, text = err(lambda: s.run([waits, far, bad("b", "/cpu:0")]))
# Real TensorFlow counts the end of a wait among the errors, or not.
out = [kind, "Incompatible shapes: [2] vs. [3]\\n\\t [[{{node b}}]]" in text,
       s.run(q.enqueue(3.0)), s.run(q.size()), s.run(waits)]
""",
        "one thread, and a step that waits": """
s = session(inter_op_parallelism_threads=1, intra_op_parallelism_threads=1)
later = [Later(lambda: s.run(waits)), Later(lambda: s.run(waits))]
out = [s.run(quick), s.make_callable(quick)(), s.run(q.enqueue(1.0)), s.run(q.enqueue(1.0))]
out += [x.result() for x in later]
""",
        "the graph grows while a step waits": """
s = session()
later = Later(lambda: s.run(waits))
out = [s.run(tf.square(quick)), s.run(tf.Variable(4.0).initializer), later.out,
       s.run(q.enqueue(1.0)), later.result()]
""",
        "which pool": """
config = tf.ConfigProto(operation_timeout_in_ms=8000)
config.session_inter_op_thread_pool.add(num_threads=1)
config.session_inter_op_thread_pool.add(num_threads=2, global_name="some")
s = tf.Session(config=config)
plain = session()
pools = [-2, -1, 0, 1, 2, 3]
out = [[err(lambda: t.run(quick, options=tf.RunOptions(inter_op_thread_pool=n))) for n in pools]
       for t in (s, plain)]
config.session_inter_op_thread_pool[1].num_threads = 5
out.append(err(lambda: tf.Session(config=config).run(quick)))
out += [err(lambda: session(inter_op_parallelism_threads=n).run(quick)) for n in (-1, 0, 1, 3)]
out.append(err(lambda: session(use_per_session_threads=True).run(quick)))
""",
        "runs of many threads add up": """
s = session()
v, w = tf.Variable(0.0), tf.Variable(0, dtype=tf.int64, use_resource=True)
s.run([v.initializer, w.initializer])
step = [tf.assign_add(v, 1.0, use_locking=True).op, w.assign_add(2).op]
later = [Later(lambda: [s.run(step) for _ in range(50)], 0) for _ in range(8)]
out = [x.result()[0] for x in later], s.run([v, w])
""",
        "a producer and a consumer": """
s = session()
enqueue, dequeue = q.enqueue(x), q.dequeue()
later = Later(lambda: [s.run(enqueue, {x: n}) for n in range(30)])
out = [s.run(dequeue) for _ in range(30)], later.result()[0]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, outcomes):
    real, ours = outcomes(PRELUDE, program)
    assert ours == real
