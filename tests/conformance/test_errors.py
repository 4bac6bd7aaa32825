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
