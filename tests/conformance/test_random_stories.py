"""Random lives of two sessions of one graph: each event has the outcome that real TensorFlow gives.

Runs, callables, growth, finalizing, bad operations, what may not be fed or fetched, handles,
closing and resets come in any order, so that what one leaves behind meets all others.
"""

import pytest

# Real TensorFlow's destructors complain after failed constructors.
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

EVENTS = 40

# No step both fails and leaves something behind: how far it came would be a matter of chance.
PROGRAM = """
import collections, random

r = random.Random(SEED)
g = tf.get_default_graph()
a = tf.placeholder(tf.float32, [], name="a")
b = tf.placeholder_with_default(2.0, [], name="b")
v = tf.Variable(1.0, name="v")
rv = tf.Variable(10.0, name="rv", use_resource=True)
up, more = tf.assign_add(v, b, name="up"), rv.assign_add(b, read_value=False)
c = tf.constant([1.0, 2.0], name="c")
get = tf.get_session_handle(b * 3.0)
pure = [a, b, a * b, c, a - b, b + 1.0]
tensors = [*pure, v, up, v + b, rv.read_value(), tf.random_uniform([], seed=5)]
ops = [tf.global_variables_initializer(), v.initializer, rv.initializer, more, tf.no_op()]
graph_options = tf.GraphOptions(place_pruned_graph=r.random() < 0.2)
sessions, calls, handles = [], [], []


def session():
    return tf.Session(config=tf.ConfigProto(graph_options=graph_options))


def fetches():
    some = r.choice
    return some([
        some(tensors), some(tensors), some(pure), some(ops), [some(tensors), c],
        {"x": c, "y": [some(ops)]}, [[some(pure)], some(pure)], [], (), some(pure).name,
    ])


def feeds(s):
    found = {}
    own = [h for h in handles if h._session is s]
    if r.random() < 0.6:
        found[a] = r.choice([1.0, 2, np.float32(3), *own])
    if r.random() < 0.3:
        found[b] = 4.0
    if r.random() < 0.1:
        found[r.choice(pure)] = 7.0
    return found if r.random() < 0.9 else collections.OrderedDict(found)


def run(s):
    if r.random() < 0.25:
        return s.run(fetches(), feeds(s), tf.RunOptions(), tf.RunMetadata())
    return s.run(fetches(), feeds(s))


def make(s):
    if err(lambda: s.run(c, {c: [0.0, 0.0]}))[0] == "RuntimeError" or s in gone:
        return "closed"  # what `make_callable` says then differs by choice
    feed_list = r.choice([None, [], [a], [a, b]])
    calls.append((s.make_callable(fetches(), feed_list), len(feed_list or ())))


def call(s):
    if calls:
        f, count = r.choice(calls)
        return f(*[1.0, 2.0][:count])


def grow(s):
    x, y = r.choice(pure), r.choice(pure)
    pure.append(r.choice([lambda: x + y, lambda: tf.negative(x), lambda: tf.identity(x)])())
    tensors.append(pure[-1])
    return pure[-1].name


def close(s):
    if r.random() < 0.6:
        sessions[sessions.index(s)] = session()
    return s.close()


def reset(s):
    gone.update(sessions)
    return tf.Session.reset("")


def forbid(s):
    x = r.choice(pure)
    return g.prevent_fetching(x.op) if r.random() < 0.5 else g.prevent_feeding(x)


def spoil(s):
    with tf.device("/job:nowhere"):
        return tf.constant(5.0).name


def finalize(s):
    return g.finalize()


def keep(s):
    handles.append(s.run(get, {b: 2.0}))
    return str(handles[-1])


def use(s):
    if handles:
        h = handles.pop(r.randrange(len(handles)))
        return r.choice([h.eval, h.delete, h.get_raw_handle])()


def move(s):
    return r.choice(pure).op._set_device(r.choice(["/cpu:0", ""]))


def look(s):
    return len(s.graph_def.node), s.sess_str, r.choice(pure).eval(feeds(s), s)


def devices(s):
    return [d.name for d in s.list_devices()]


def told(kind, result):
    if kind == "ok":
        return kind, result
    # Of several placeholders, or of several places for a session to be closed, one is told.
    for text in ("You must feed a value", "Session has been closed", "was explicitly assigned"):
        if text in result:
            return text
    if kind == "InaccessibleTensorError":
        return kind
    return kind, [line for line in result.splitlines() if not line.startswith("    File")]


USUAL = [run] * 40 + [call] * 16 + [make] * 8 + [grow] * 8 + [keep] * 5 + [use] * 4
RARE = [close] * 5 + [look] * 3 + [move] * 3 + [forbid] * 2 + [devices, reset, finalize, spoil]
gone, out = set(), []
sessions += [session(), session()]
for _ in range(EVENTS):
    event, s = r.choice(USUAL + RARE), r.choice(sessions)
    out.append((event.__name__, told(*err(lambda: event(s)))))
"""


@pytest.mark.spec("1.5")
@pytest.mark.parametrize("seed", range(24))
def test_a_random_story(seed, assert_same, rows_compared):
    assert_same(f"SEED, EVENTS = {seed}, {EVENTS}", PROGRAM)
    rows_compared(EVENTS)
