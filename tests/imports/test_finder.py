"""`import tensorflow` as tfsession: what is found, and what a missing name is told."""

import importlib
import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

import tfsession
from tfsession.imports import finder, listing, module_names


@pytest.fixture(autouse=True)
def tensorflow(monkeypatch):
    """tfsession as TensorFlow; a real one that is loaded here is set aside."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "tensorflow"]:
        monkeypatch.delitem(sys.modules, name)
    finder.install_as_tensorflow()
    yield importlib.import_module("tensorflow")
    finder.remove()
    assert not [n for n in sys.modules if n.partition(".")[0] == "tensorflow"]


FOUND = [
    ("from tensorflow import nn", "nn.relu", "nn.relu"),
    ("import tensorflow.nn as nn", "nn.relu", "nn.relu"),
    ("import tensorflow.compat.v1.nn as nn", "nn.relu", "nn.relu"),
    ("import tensorflow.compat.v1 as tf", "tf.compat.v1.layers.dense", "layers.dense"),
    ("import tensorflow", "tensorflow.compat.v1.train.AdamOptimizer", "train.AdamOptimizer"),
    ("from tensorflow.python.ops import array_ops", "array_ops.concat", "concat"),
    ("from tensorflow.python.ops.math_ops import *", "less", "less"),
    ("from tensorflow.python.training import moving_averages as m",
     "m.assign_moving_average", "python.training.moving_averages.assign_moving_average"),
    ("import tensorflow.python.framework.ops", "tensorflow.python.framework.ops.Graph", "Graph"),
    ("from tensorflow.python.framework import tensor_util", "tensor_util.MakeNdarray",
     "make_ndarray"),
    ("import tensorflow as tf", "tf.contrib.framework.nest.flatten", "nest.flatten"),
    ("import tensorflow as tf", "tf.concat_v2", "concat"),
    ("import tensorflow as tf", "tf.gradients", "gradients"),
    ("from tensorflow.python.ops import gradients", "gradients.gradients", "gradients"),
    ("from tensorflow.core.framework import attr_value_pb2 as a", "a.AttrValue", "AttrValue"),
    ("import tensorflow as tf", "tf.core.protobuf.config_pb2.ConfigProto", "ConfigProto"),
    ("from tensorflow.python.ops import gen_nn_ops", "gen_nn_ops.relu_grad",
     "python.ops.gen_ops.relu_grad"),
    ("from tensorflow.python.ops import gen_nn_ops", "gen_nn_ops._relu_grad",
     "python.ops.gen_ops.relu_grad"),
    ("from tensorflow.python.ops.gen_array_ops import concat_v2", "concat_v2",
     "python.ops.gen_ops.concat_v2"),
    ("from tensorflow.python.ops.variable_v1 import VariableV1", "VariableV1", "Variable"),
    ("from tensorflow.python.util import compat", "compat.as_bytes", "compat.as_bytes"),
    ("from tensorflow.python.framework import tensor_shape as t", "t.TensorShape", "TensorShape"),
    ("from tensorflow.python.platform import gfile", "gfile.Glob", "gfile.Glob"),
    ("from tensorflow.python.client import timeline", "timeline.Timeline",
     "python.client.timeline.Timeline"),
    ("from tensorflow.python.layers import utils", "utils.smart_cond",
     "python.framework.smart_cond.smart_cond"),
    ("from tensorflow.examples.tutorials.mnist import input_data", "input_data.read_data_sets",
     "contrib.learn.datasets.mnist.read_data_sets"),
    ("from tensorflow.contrib.training import HParams", "HParams", "contrib.training.HParams"),
    ("from tensorflow.models.rnn import rnn_cell", "rnn_cell.GRUCell", "nn.rnn_cell.GRUCell"),
    ("import tensorflow.contrib.slim as slim", "slim.conv2d", "contrib.slim.conv2d"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expression", "name"), FOUND)
def test_found(statement, expression, name):
    scope = {}
    exec(statement, scope)
    expected = tfsession
    for part in name.split("."):
        expected = getattr(expected, part)
    assert eval(expression, scope) is expected


def test_each_module_of_the_table_can_be_imported():
    modules = [name for name in module_names.MODULES if listing.is_module(name)]
    assert len(modules) > 100
    for name in modules:
        module = importlib.import_module(f"tensorflow.{name}")
        assert isinstance(module, ModuleType)
        assert dir(module) or name.startswith("contrib."), name
        assert all(hasattr(module, member) for member in dir(module)[:3])


def test_targets_of_the_tables_are_names_of_tensorflow():
    known = listing.names() | listing.names("names_of_programs.txt")
    assert {new for new in module_names.RENAMED.values() if new not in known} == set()
    above = {part for name in known for part in module_names.prefixes(name)}
    spaces = {space for text in module_names.MODULES.values() for space in text.split()} - {"."}
    assert spaces - above - {"contrib.rnn", "python.ops.gen_ops"} == set()


MISSING = [
    ("tf.batch_matmul", AttributeError, "1.0 has tf.matmul in its place: adj_x and adj_y are adj"),
    ("tf.keras.layers.Dense", AttributeError, "'tensorflow.keras.layers' has no attribute 'Dense'"),
    ("tf.keras.layers.Dense", AttributeError, "tf.keras.layers.Dense is refused .Keras is a pack"),
    ("from tensorflow.contrib import tpu; tpu.TPUEstimator", AttributeError, "there are no TPUs"),
    ("from tensorflow.python import debug; debug.Wrapper", AttributeError, "debug.Wrapper is pla"),
    ("from tensorflow.python.framework.graph_util import zz", ImportError, "tf.python.framework"),
    ("tf.placehold", AttributeError, "no public name of TensorFlow 1 .*nearest name is tf.placeho"),
    ("tf.nn.no_such", AttributeError, "module 'tensorflow.nn' has no attribute 'no_such': tf.nn.n"),
    ("from tensorflow.keras.layers import Dense", ImportError, "Keras is a package of its own"),
    ("import tensorflow.no_such_module", ImportError, "tf.no_such_module is refused .*; all names"),
    ("from tensorflow.contrib.eager import x", ImportError, "eager execution has no graph"),
    ("from tensorflow.python.ops import no_such", ImportError, "is refused .private to TensorFlow"),
    ("import tensorflow.core.framework.graph_pb2 as g; g.NoSuch", AttributeError, "no message of"),
    ("tfsession.keras", AttributeError, "module 'tfsession' has no attribute 'keras': tf.keras is"),
]


@pytest.mark.parametrize(("statement", "error", "text"), MISSING)
def test_missing(statement, error, text, tensorflow):
    with pytest.raises(error, match=text) as caught:
        exec(statement, {"tf": tensorflow, "tfsession": tfsession})
    assert listing.PAGE in str(caught.value)


def test_planned_names_tell_their_theme(monkeypatch, tensorflow):
    monkeypatch.setattr(listing, "names", lambda file="": frozenset({"later.on", "summary.soon"}))
    listing._known.cache_clear()
    listing._known_modules.cache_clear()
    try:
        with pytest.raises(
            AttributeError, match=r"tf.later.on is planned \(room ops: the op surface\)"
        ):
            _ = tensorflow.later.on
        assert listing.status("summary.soon") == (
            "planned", "rooms checkpoint and summary: checkpoints, saved models and event files"
        )  # fmt: skip
    finally:
        monkeypatch.undo()
        listing._known.cache_clear()
        listing._known_modules.cache_clear()


def test_former_names_lead_to_names_of_tensorflow():
    known = listing.names() | listing.names("names_of_programs.txt")
    assert {new for new, _ in module_names.CHANGED.values()} <= known
    assert not module_names.CHANGED.keys() & (known - {"batch_svd"})
    assert not module_names.CHANGED.keys() & module_names.RENAMED.keys()


def test_versions(tensorflow):
    assert tensorflow.__version__ == tensorflow.VERSION == tensorflow.compat.v1.VERSION
    assert tensorflow.version.VERSION.startswith("1.")
    assert tfsession.VERSION.startswith("2.")


def test_modules_take_what_programs_put_there(tensorflow):
    tensorflow.nn.mine = 3
    assert importlib.import_module("tensorflow.nn").mine == 3
    assert not hasattr(tfsession.nn, "mine")
    assert not hasattr(tensorflow, "__wrapped__")
    assert importlib.util.find_spec("tensorflow").loader is finder._Finder


def test_a_second_time_changes_nothing(tensorflow):
    tfsession.install_as_tensorflow()
    assert sys.meta_path.count(finder._Finder) == 1
    assert importlib.import_module("tensorflow") is tensorflow


@pytest.mark.parametrize("first", ["import tensorflow", "import tfsession"])
def test_the_real_one_stays_untouched(tmp_path, first):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("REAL = True\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{first}\nimport tfsession\n"
        "try:\n    tfsession.install_as_tensorflow()\nexcept RuntimeError as error:\n"
        "    assert 'has been imported' in str(error)\n"
        "import tensorflow\nprint(hasattr(tensorflow, 'REAL'), hasattr(tensorflow, 'Session'))\n"
        "from tfsession.imports.finder import remove\nremove()\nimport tensorflow\n"
        "print(tensorflow.REAL)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    is_real = first == "import tensorflow"
    assert done.stdout == f"{is_real} {not is_real}\nTrue\n"
