"""Operations of queues that wait, and what ends them: closing, timeouts; line by line."""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
import threading

a = tf.placeholder(tf.float32, [], name="a")
q = tf.FIFOQueue(1, tf.float32, [[]], name="q")
put, take = q.enqueue([a]), q.dequeue()
s = tf.Session()


def failure(f):
    try:
        f()
    except Exception as error:
        return error


def told(error):
    if error is not None:
        lines = error.message.splitlines()
        lines = [x for x in lines if not x.startswith(("    File", "Detected"))]
        return type(error).__name__, lines, error.op and error.op.name, error.node_def is None


def ended(f, end, pause=0.2):
    \"\"\"What `f` ends with, which waits in another thread until `end` is called.\"\"\"
    found = []
    thread = threading.Thread(target=lambda: found.append(failure(f)))
    thread.start()
    thread.join(pause)
    waits = not found
    end()
    thread.join(10)
    return waits, thread.is_alive(), [told(error) for error in found]


def soon():
    return tf.RunOptions(timeout_in_ms=80)
"""

PROGRAMS = {
    "7.7": {
        "close ends a dequeue": """
out = ended(lambda: s.run(take), s.close), err(lambda: s.run(take))
""",
        "close ends an enqueue": """
s.run(put, {a: 1.0})
out = ended(lambda: s.run(put, {a: 2.0}), s.close)
""",
        "close ends callables": """
f = s.make_callable(take)
out = [ended(f, s.close), err(f)]
s = tf.Session()
g = s.make_callable(take, [a])
out += [ended(lambda: g(1.0), s.close), err(lambda: g(1.0))]
""",
        "close ends a step that waits for two": """
p = tf.FIFOQueue(1, tf.float32, [[]], name="p")
waits, alive, ((kind, lines, *_),) = ended(lambda: s.run([take, p.dequeue()]), s.close)
out = waits, alive, kind, lines[-2]
""",
        "a closed queue ends an enqueue": """
s.run(put, {a: 1.0})
close = q.close(cancel_pending_enqueues=True)
out = ended(lambda: s.run(put, {a: 1.0}), lambda: s.run(close))
""",
        "a timeout ends a dequeue and an enqueue": """
out = [told(failure(lambda: s.run(take, options=soon()))), s.run(put, {a: 1.0})]
out += [told(failure(lambda: s.run(put, {a: 2.0}, options=soon()))), s.run(q.size()), s.run(take)]
""",
        "queues belong to their session": """
t = tf.Session()
out = [s.run(put, {a: 1.0}), s.run(q.size()), t.run(q.size()), t.run(put, {a: 2.0})]
out += [s.run(take), t.run(take)]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)
