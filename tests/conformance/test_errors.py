"""Our error classes against TensorFlow's."""

import inspect
import traceback
from types import SimpleNamespace

import pytest

from tfsession.core import errors

pytestmark = [pytest.mark.oracle, pytest.mark.spec("10")]

NAMES = sorted(
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.OpError) and name != "OpError"
)
FRAMES = [traceback.FrameSummary("m.py", 3, "f", lookup_line=False, line="x = g()")]
FIRST = SimpleNamespace(name="first", traceback=FRAMES, _original_op=None)
OPS = {
    "none": None,
    "plain": FIRST,
    "derived": SimpleNamespace(name="grad", traceback=FRAMES * 2, _original_op=FIRST),
    "no_traceback": SimpleNamespace(name="bare", traceback=None, _original_op=None),
}


def test_everything_public_is_here(tf):
    public = {name for name in dir(tf.errors) if not name.startswith("_")}
    assert len(NAMES) == 16
    assert public <= set(dir(errors))


def test_codes(tf):
    constants = [name for name in dir(tf.errors) if name.isupper()]
    assert len(constants) == 17
    for name in constants:
        assert getattr(errors, name) == getattr(tf.errors, name)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("name", NAMES)
def test_same_attributes_and_text(tf, name, op):
    arguments = ("node", OPS[op], "text\n\t [[{{node x}}]]", {"key": b"value"})
    mine, real = getattr(errors, name)(*arguments), getattr(tf.errors, name)(*arguments)
    for attribute in ("args", "error_code", "message", "node_def", "op", "experimental_payloads"):
        assert getattr(mine, attribute) == getattr(real, attribute), attribute
    assert str(mine) == str(real)
    assert repr(mine) == repr(real)


@pytest.mark.parametrize("name", ["OpError", *NAMES])
def test_same_signature(tf, name):
    def parameters(module):
        signature = inspect.signature(getattr(module, name).__init__)
        return [
            (p.name, p.default) for p in signature.parameters.values() if p.kind != p.VAR_POSITIONAL
        ]

    assert parameters(errors) == parameters(tf.errors)


@pytest.mark.parametrize("code", range(-1, 19))
def test_same_class_for_a_code(tf, code):
    def named(module):
        try:
            return module.exception_type_from_error_code(code).__name__
        except KeyError:
            return None

    assert named(errors) == named(tf.errors)


PRELUDE = "import inspect, pickle"
PROGRAMS = {
    "10": {
        "code of a class": """
E = tf.errors
classes = [getattr(E, n) for n in dir(E) if inspect.isclass(getattr(E, n)) and n != "OpError"]
found = {x.__name__: err(lambda: E.error_code_from_exception_type(x)) for x in classes}
out = {name: found[name] for name in sorted(found) if name.endswith("Error")}
""",
        "code of another class": """
found = [tf.errors.error_code_from_exception_type(x) for x in (ValueError, tf.OpError, int)]
out = [type(x).__name__ for x in found]
""",
        "class of a code": """
out = [err(lambda: tf.errors.exception_type_from_error_code(x).__name__)[0] for x in range(-2, 20)]
""",
        "pickled": """
def through(error):
    found = pickle.loads(pickle.dumps(error))
    return type(found).__name__, found.message, found.op, found.node_def, found.error_code
out = {
    "NotFoundError": through(tf.errors.NotFoundError(None, None, "text")),
    "OpError": err(lambda: through(tf.OpError(None, None, "text", 3))),
    "payloads": err(lambda: through(tf.errors.AbortedError(None, None, "text", {"a": b"b"}))),
}
""",
        "made by hand": """
e = tf.errors.InvalidArgumentError(None, None, "text")
out = {
    "attributes": [e.message, e.op, e.node_def, e.error_code, e.experimental_payloads, e.args],
    "texts": [str(e), repr(e)],
    "bases": [x.__name__ for x in type(e).__mro__],
    "too few": err(lambda: tf.errors.InvalidArgumentError("text"))[0],
    "code": tf.OpError(None, None, "text", 7).error_code,
    "raised": err(lambda: (_ for _ in ()).throw(e)),
    "OpError is tf.OpError": tf.OpError is tf.errors.OpError,
    "setters": [err(lambda: setattr(e, x, 3))[0] for x in ("message", "op", "error_code")],
}
""",
        "a session raises the classes": """
s = tf.Session()
v = tf.Variable(1.0)
p = tf.placeholder(tf.float32)
rv = tf.Variable(1.0, use_resource=True)
f = s.make_callable(tf.constant(1.0))
out = [
    err(lambda: s.run(v))[0], err(lambda: s.run(p + 1.0))[0],
    err(lambda: s.run(rv.assign_add(1.0)))[0],
    err(lambda: tf.Session("bogus"))[0], s.close(), err(f)[0], err(s.list_devices)[0],
]
""",
    },
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, assert_same):
    assert_same(PRELUDE, program)
