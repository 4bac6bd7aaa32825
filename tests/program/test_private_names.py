"""Names that are private to TensorFlow, and that programs import nonetheless."""

import functools
import sys
from types import ModuleType

import numpy as np
import pytest

import tfsession as tf

python = tf.python


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


def test_with_dependencies(session):
    v = tf.get_variable("v", [], initializer=tf.zeros_initializer())
    session.run(v.initializer)
    gated = python.ops.control_flow_ops.with_dependencies([tf.assign_add(v, 2.0)], v)
    assert gated.name == "control_dependency:0"
    assert gated.op.colocation_groups() == [b"loc:@v"]
    assert session.run(gated) in (0.0, 2.0)
    assert session.run(v) == 2.0
    number = python.ops.control_flow_ops.with_dependencies([tf.no_op()], 3.0, name="three")
    assert (number.name, session.run(number)) == ("three:0", 3.0)


def test_smart_cond(session):
    smart_cond = python.framework.smart_cond.smart_cond
    assert python.layers.utils.smart_cond is tf.contrib.framework.smart_cond is smart_cond
    for known in (True, 1, tf.constant(True)):
        assert smart_cond(known, lambda: "yes", lambda: "no") == "yes"
    for known in (False, 0, tf.constant(False)):
        assert smart_cond(known, lambda: "yes", lambda: "no") == "no"
    pred = tf.placeholder(tf.bool, [])
    chosen = smart_cond(pred, lambda: tf.constant(1), lambda: tf.constant(2), name="which")
    assert chosen.name == "which/Merge:0"
    assert [session.run(chosen, {pred: p}) for p in (True, False)] == [1, 2]
    for wrong, text in (((2, int, int), "must be a Tensor, or a Python bool"),
                        ((True, 1, int), "`true_fn` must be callable"),
                        ((True, int), "`false_fn` must be callable")):  # fmt: skip
        with pytest.raises(TypeError, match=text):
            smart_cond(*wrong)


def test_shapes():
    shapes = python.framework.tensor_shape
    assert shapes.unknown_shape().ndims is None
    assert shapes.unknown_shape(2).as_list() == [None, None]
    assert (shapes.scalar(), shapes.vector(3), shapes.matrix(2, None).as_list()) == (
        tf.TensorShape([]), tf.TensorShape([3]), [2, None]
    )  # fmt: skip
    known = tf.TensorShape([1])
    assert shapes.as_shape(known) is known
    assert shapes.as_dimension(3) == tf.Dimension(3)


def test_variables(session):
    v = tf.get_variable("v", [2], use_resource=True)
    assert isinstance(v, python.ops.resource_variable_ops.ResourceVariable)
    assert python.ops.resource_variable_ops.is_resource_variable(v)
    slot = python.training.slot_creator.create_zeros_slot(v, name="moment")
    assert (slot.name, slot.shape) == ("v/moment:0", [2])


def test_decorators(caplog):
    @python.util.tf_export.tf_export("nn.mine", v1=["nn.mine"])
    def mine():
        return 3

    old = python.util.deprecation.deprecated("2018-01-01", "Use yours.")(mine)
    with caplog.at_level("WARNING"):
        assert [old(), old(), old.__name__] == [3, 3, "mine"]
    (told,) = [r.getMessage() for r in caplog.records]
    assert "mine (from" in told
    assert "will be removed after 2018-01-01.\nInstructions for updating:\nUse yours." in told


def plain(a, b=2, *c, **d):
    pass


class Callable:
    def __init__(self, x, y=1):
        pass


@functools.wraps(plain)
def wrapped(*args):
    pass


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (plain, (["a", "b"], "c", "d", (2,))),
        (wrapped, (["a", "b"], "c", "d", (2,))),
        (functools.partial(plain, 1), (["b"], "c", "d", (2,))),
        (Callable, (["self", "x", "y"], None, None, (1,))),
    ],
)
def test_getargspec(function, expected):
    found = python.util.tf_inspect.getargspec(function)
    assert tuple(found) == expected
    assert (found.args, found.keywords) == (expected[0], expected[2])


def test_getargspec_cannot_tell_of_arguments_by_name():
    with pytest.raises(ValueError, match="getfullargspec tells"):
        python.util.tf_inspect.getargspec(lambda *, a: a)


def test_remove_undocumented(monkeypatch):
    module = ModuleType("documented", "What is here.\n\n@@kept\n@@absent\n")
    module.kept, module.allowed, module.np, module._private = 1, 2, np, 3
    monkeypatch.setitem(sys.modules, "documented", module)
    python.util.all_util.remove_undocumented("documented", allowed_exception_list=["allowed"])
    assert {n for n in vars(module) if not n.startswith("__")} == {"kept", "allowed", "_private"}


def test_the_machine(monkeypatch):
    assert python.tf2.enabled() is False
    monkeypatch.setenv("TFSESSION_SIMULATED_GPUS", "2:1GiB")
    devices = python.client.device_lib.list_local_devices()
    assert [d.name for d in devices if d.device_type == "GPU"] == ["/device:GPU:0", "/device:GPU:1"]
    assert devices[0].name == "/device:CPU:0"
    assert devices[1].memory_limit == 1 << 30
    assert "name: " in devices[1].physical_device_desc
    config = tf.ConfigProto(device_count={"GPU": 0})
    assert [d.device_type for d in python.client.device_lib.list_local_devices(config)] == ["CPU"]
