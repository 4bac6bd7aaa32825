"""The façade: public names, their modules, what loads when."""

import ast
import builtins
import importlib
import json
import logging
import multiprocessing
import pickle
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


def fresh(code, *args):
    """What a fresh interpreter, in which every warning is an error, prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", code, *args], check=False,
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


HEAVY = {
    *("numpy", "tfsession.ops", "tfsession.graph", "tfsession.public_names"),
    *("google.protobuf", "tfsession.gradients.engine", "tfsession.kernels.constant"),
}
NAMED = HEAVY - {"google.protobuf", "tfsession.gradients.engine", "tfsession.kernels.constant"}
FIRST_USES = [
    ("tf.__version__, hasattr(tf, '__wrapped__'), hasattr(tf, '_repr_html_')", set()),
    ("import tfsession.core.errors, tfsession.devices.layout, tfsession.cli.main", set()),
    ("import tfsession.train, tfsession.gradients, tfsession.kernels", set()),
    ("from tfsession import cli, devices, kernels, testing, train", set()),
    ("hasattr(tf, 'testing'), hasattr(tf, 'session')", set()),
    ("tf.float32, tf.Session, tf.nn, tf.placeholder", NAMED),
    ("hasattr(tf, 'Session')", NAMED),
    ("import tfsession.nn", NAMED),
    ("tf.ConfigProto", NAMED | {"google.protobuf"}),
    ("tf.gradients", NAMED | {"tfsession.gradients.engine"}),
    ("tf.train.GradientDescentOptimizer", NAMED | {"tfsession.gradients.engine"}),
    ("tf.Session().run(tf.constant(1))", NAMED | {"tfsession.kernels.constant"}),
]


@pytest.mark.parametrize(("use", "loaded"), FIRST_USES)
def test_what_is_heavy_loads_when_it_is_used(use, loaded):
    code = (
        "import json, sys, tfsession as tf\n"
        f"found = lambda: [m for m in {sorted(HEAVY)} if m in sys.modules]\n"
        f"before = found()\n{use}\nprint(json.dumps([before, found()]))"
    )
    assert fresh(code) == [[], sorted(loaded)]


WAYS_IN = [
    ("import tfsession.nn", "tfsession.nn.relu is tf.nn.relu"),
    ("import tfsession.compat.v1 as v1", "v1 is tf"),
    ("from tfsession.compat import v1", "v1 is tf"),
    ("from tfsession.compat.v1 import nn", "nn is tf.nn"),
    ("from tfsession.compat.v1 import Session", "Session is tf.Session"),
    ("from tfsession import nn, train, gradients", "gradients is tf.gradients"),
    ("import tfsession.train as t", "t.AdamOptimizer is tf.train.AdamOptimizer"),
    ("from tfsession.train import AdamOptimizer", "AdamOptimizer is tf.train.AdamOptimizer"),
    ("from tfsession import *", "placeholder is tf.placeholder and newaxis is None"),
    ("from tfsession.gradients.engine import gradients", "gradients is tf.gradients"),
    ("from tfsession.core.op_def import ops", "'MatMul' in ops and len(list(ops.names())) > 300"),
    ("from tfsession.core.rules import find_kernel", "find_kernel('Add', 'CPU', {'T': tf.int32})"),
    ("from tfsession.graph.conversion import convert_to_tensor as c", "(c(1) + 2).op.type"),
    ("from tfsession.runtime.place import Placer", "tf.Session"),
    (
        "from importlib.util import find_spec as f",
        "dir(tf) and not f('tfsession.z') and f('tfsession.nn')",
    ),
    ("from importlib import import_module as i", "i('tfsession.nn') is tf.nn"),
    ("import tfsession as f", "'nn' in dir(f) and 'relu' in dir(f.nn) and 'nn' in f.__all__"),
]


@pytest.mark.parametrize(("statement", "holds"), WAYS_IN)
def test_every_first_way_in(statement, holds):
    # `import *` brings `print` along, which prints in a step.
    code = f"{statement}\nimport builtins, tfsession as tf\nassert {holds}\nbuiltins.print(1)"
    assert fresh(code) == 1


RELOADED = """
import importlib, json, pickle, sys
import tfsession as tf
importlib.reload(tf)
assert tf.gradients(tf.square(tf.placeholder(tf.float32)), tf.constant(1.0)) == [None]
finders, nn = len(sys.meta_path), tf.nn
importlib.reload(tf), importlib.reload(tf.nn)
assert tf.nn is nn and len(sys.meta_path) == finders and callable(tf.gradients)
assert all(pickle.loads(pickle.dumps(c)) is c for c in (tf.Session, tf.Graph, tf.DType))
assert pickle.loads(pickle.dumps(tf.float32)) is tf.float32
print(1)
"""
UNPICKLED = """
import pickle, sys
found = pickle.loads(bytes.fromhex(sys.argv[1]))
import tfsession as tf
assert found == [tf.float32, tf.Session, tf.nn.relu, tf.train.AdamOptimizer]
print(1)
"""


def test_reloads_and_pickles():
    assert fresh(RELOADED) == 1
    things = [tf.float32, tf.Session, tf.nn.relu, tf.train.AdamOptimizer]
    assert fresh(UNPICKLED, pickle.dumps(things).hex()) == 1


THREADS = """
import json, sys, threading
import tfsession as tf
sys.setswitchinterval(1e-6)
uses = json.loads(sys.argv[1])
barrier, wrong = threading.Barrier(len(uses)), []
def work(use):
    barrier.wait()
    try: exec(use, {"tf": tf})
    except BaseException as error: wrong.append(f"{use}: {error!r}")
threads = [threading.Thread(target=work, args=(use,)) for use in uses]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(wrong))
"""
PUBLIC = [
    *("tf.placeholder", "tf.train.AdamOptimizer", "import tfsession.nn; tfsession.nn.relu"),
    *("import tfsession.compat.v1 as v; v.Session", "from tfsession import nn; nn.relu"),
    *("tf.gradients", "dir(tf)", "tf.Session().run(tf.nn.relu(1.0))"),
]
INTERNAL = [
    *("from tfsession.runtime.place import Placer", "from tfsession.ops.matmul import matmul"),
    *("from tfsession.core.op_def import ops; ops['MatMul']", "import tfsession.testing"),
    "from tfsession.core.rules import kernels; kernels['MatMul']",
]


@pytest.mark.parametrize(
    "uses",
    [PUBLIC, PUBLIC + PUBLIC[::-1], ["import numpy", *PUBLIC], PUBLIC + INTERNAL],
    ids=["public", "twice", "numpy", "internal"],
)
def test_threads_may_all_be_first(uses):
    # NumPy's own import does not bear to be entered in many ways at once.
    first = "import numpy\n" if INTERNAL[0] in uses else ""
    assert fresh(first + THREADS, json.dumps(uses)) == []


INTERRUPTED = """
import json, sys
import tfsession as tf
from tfsession.core import exports, op_def
from tfsession.graph import conversion

seen, came = set(), 0

class Importing:
    def find_spec(full, path=None, target=None):
        once(full, full.startswith("tfsession."))

def once(what, now):
    if what not in seen:
        seen.add(what)
        if now:
            raise KeyboardInterrupt

def interrupted(function, name_of):
    def call(*args):
        result = function(*args)
        once(name_of(*args), len(seen) % 41 == 0)
        return result
    return call

if sys.argv[1:]:
    sys.meta_path.insert(0, Importing)
    exports._show = interrupted(exports._show, lambda value, names, site: names)
    op_def.ops.register = interrupted(op_def.ops.register, lambda name, *_: name)
    conversion.register_tensor_conversion_function = interrupted(
        conversion.register_tensor_conversion_function, lambda *a: str(a[0])
    )
while True:
    try:
        dir(tf)
        break
    except KeyboardInterrupt:
        came += 1
assert (came > 100) == bool(sys.argv[1:])
print(json.dumps([
    sorted(exports.names), sorted(op_def.ops.names()),
    # A class of an interrupted module leaves a row that nothing can meet.
    sorted({f"{number} {[t.__name__ for t in types]} {f.__name__}"
            for number, _, types, f in conversion._conversions}),
]))
"""


def test_an_interrupted_load_is_done_again():
    assert fresh(INTERRUPTED, "always") == fresh(INTERRUPTED)


ASKING = """
import importlib, json, pkgutil, sys, traceback
from tfsession.core import late
import tfsession as tf

asked = []
late.Late.loaded = lambda self: asked.append(traceback.format_stack(limit=4))
rooms = "core graph resources devices ops kernels gradients runtime session train tracing cli"
for room in rooms.split():
    module = importlib.import_module("tfsession." + room)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"tfsession.{room}."):
        importlib.import_module(found.name)
print(json.dumps(asked))
"""


def test_no_module_waits_for_the_rest_while_it_is_imported():
    # Another thread might hold the lock of the load, and wait for this very module.
    assert fresh(ASKING) == []


CHILDREN = """
import multiprocessing, sys
import tfsession as tf
with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
    code = "__import__('tfsession').nn.relu(1.0).op.type"
    assert pool.apply(eval, (code,)) == "Relu"
    assert pool.apply(len, ([tf.float32, tf.Session],)) == 2
print(1)
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_load_for_themselves(method):
    assert fresh(CHILDREN, method) == 1


def test_names_of_builtins_do_not_stand_in_the_way():
    code = "import tfsession as tf; tf.range, tf.abs, tf.train.AdamOptimizer, dir(tf)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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


def test_no_public_name_hides_a_builtin_that_the_facade_uses():
    """A name that was asked for is an attribute of the module: `tf.range` hides `range` there."""
    tree = ast.parse(Path(tf.__file__).read_text("utf-8"))
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} & set(dir(builtins))
    assert {"list", "setattr"} <= used
    assert used & set(dir(tf)) == set()
    assert "range" in dir(tf)
