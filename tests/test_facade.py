"""The façade: public names, their modules, what loads when."""

import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tfsession as tf
from tfsession.core import exports, shape
from tfsession.core.exports import Deferred, export, export_value, lookup


@pytest.fixture
def names(monkeypatch):
    monkeypatch.setattr(exports, "names", {})
    return exports.names


class TestRegistry:
    def test_a_name_stands_for_one_object(self, names):
        @export("nn.f", "f")
        def f():
            """Nothing."""

        assert names == {"nn.f": f, "f": f}
        export_value(f, "f")
        with pytest.raises(ValueError, match=r"The public name 'f' stands for .* already"):
            export_value(3, "f")

    def test_deferred_objects_are_made_once(self, names):
        made = []
        export_value(Deferred(lambda: made.append(1) or "thing"), "a", "b")
        assert made == []
        assert lookup("a") == lookup("a") == "thing"
        assert made == [1]
        with pytest.raises(KeyError):
            lookup("c")


SAME = [
    ("errors.OpError", "OpError"),
    ("float32", "dtypes.float32"),
    ("as_dtype", "dtypes.as_dtype"),
    ("compat.v1.Session", "Session"),
    ("train.SaverDef", "train.SaverDef"),
    ("add", "math.add"),
]


@pytest.mark.parametrize(("name", "other"), SAME)
def test_aliases_are_one_object(name, other):
    found = []
    for dotted in (name, other):
        value = tf
        for part in dotted.split("."):
            value = getattr(value, part)
        found.append(value)
    assert found[0] is found[1]


@pytest.mark.parametrize("module", ["errors", "math", "nn", "train", "dtypes", "logging", "compat"])
def test_namespaces_are_modules(module):
    namespace = getattr(tf, module)
    assert isinstance(namespace, ModuleType)
    assert importlib.import_module(f"tfsession.{module}") is namespace
    shown = [name.split(".")[1] for name in exports.names if name.startswith(f"{module}.")]
    assert shown
    assert set(shown) <= set(dir(namespace))
    for name in shown:
        assert getattr(namespace, name) is not None
    with pytest.raises(AttributeError, match=f"module 'tfsession.{module}' has no attribute 'zz'"):
        _ = namespace.zz


def test_compat_v1_is_the_facade():
    assert importlib.import_module("tfsession.compat.v1") is tf
    assert tf.compat.v1 is tf


def test_every_public_name_is_reached():
    dir(tf)  # loads all
    for dotted in exports.names:
        value = tf
        for part in dotted.split("."):
            value = getattr(value, part)
        assert value is lookup(dotted)


def test_no_module_hides_a_public_name():
    # An import of a tfsession.trace would take the place of the function tf.trace.
    dir(tf)  # loads all
    modules = {path.stem for path in Path(tf.__file__).parent.iterdir()}
    modules -= {"gradients"}  # imported before the function is put in its place
    assert modules & {name for name in exports.names if "." not in name} == set()


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'tfsession' has no attribute 'no_such_name'"):
        _ = tf.no_such_name
    with pytest.raises(ImportError):
        importlib.import_module("tfsession.no_such_module")
    assert not hasattr(tf, "__wrapped__")


FIRST_USES = [
    ("tf.float32, tf.Session, tf.nn, tf.placeholder", []),
    ("tf.ConfigProto", ["google.protobuf"]),
    ("tf.gradients", ["tfsession.gradients.engine"]),
    ("tf.train.GradientDescentOptimizer", ["tfsession.gradients.engine"]),
    ("tf.Session().run(tf.constant(1))", ["tfsession.kernels.constant"]),
]


@pytest.mark.parametrize(("use", "loaded"), FIRST_USES)
def test_what_is_heavy_loads_when_it_is_used(use, loaded):
    heavy = ["google.protobuf", "tfsession.gradients.engine", "tfsession.kernels.constant"]
    code = (
        "import json, sys, tfsession as tf\n"
        f"before = [m for m in {heavy} if m in sys.modules]\n"
        f"{use}\n"
        f"print(json.dumps([before, [m for m in {loaded} if m in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], loaded]


def test_modes():
    try:
        tf.enable_v2_behavior()
        assert tf.resource_variables_enabled()
        assert tf.control_flow_v2_enabled()
        assert shape.v2_tensorshape_behavior
    finally:
        tf.disable_v2_behavior()
    assert not tf.resource_variables_enabled()
    assert not tf.control_flow_v2_enabled()
    assert not shape.v2_tensorshape_behavior
    tf.disable_eager_execution()
    assert tf.executing_eagerly() is False
    with pytest.raises(NotImplementedError):
        tf.enable_eager_execution()


class TestLogging:
    def test_levels(self, caplog):
        before = tf.logging.get_verbosity()
        try:
            tf.logging.set_verbosity(tf.logging.ERROR)
            tf.logging.warn("not %s", "seen")
            tf.logging.error("seen %d", 1)
            tf.logging.set_verbosity(tf.logging.INFO)
            assert tf.logging.get_verbosity() == logging.INFO
            tf.logging.info("seen %d", 2)
            tf.logging.debug("not seen")
            tf.logging.log(tf.logging.FATAL, "seen 3")
            tf.logging.log_if(tf.logging.INFO, "not seen", False)
        finally:
            tf.logging.set_verbosity(before)
        assert [record.getMessage() for record in caplog.records] == ["seen 1", "seen 2", "seen 3"]

    def test_counting(self, caplog):
        for i in range(7):
            tf.logging.log_every_n(tf.logging.ERROR, "every %d", 3, i)
            tf.logging.log_first_n(tf.logging.ERROR, "first %d", 2, i)
        texts = [record.getMessage() for record in caplog.records]
        assert [text for text in texts if "every" in text] == ["every 0", "every 3", "every 6"]
        assert [text for text in texts if "first" in text] == ["first 0", "first 1"]


@pytest.mark.parametrize(
    ("function", "value", "result"),
    [
        ("as_bytes", "é", "é".encode()),
        ("as_bytes", bytearray(b"a"), b"a"),
        ("as_text", b"a", "a"),
        ("as_str", "a", "a"),
        ("as_str_any", 3, "3"),
        ("as_str_any", b"a", "a"),
        ("as_bytes", 3, TypeError),
        ("as_text", 3, TypeError),
    ],
)
def test_texts(function, value, result):
    convert = getattr(tf.compat, function)
    if result is TypeError:
        with pytest.raises(TypeError, match="Expected binary or unicode string, got 3"):
            convert(value)
    else:
        assert convert(value) == result
