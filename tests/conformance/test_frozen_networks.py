"""Frozen networks, as TensorFlow freezes them and as older ones have written them down."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tfsession
from tfsession.core import protos
from tfsession.testing import assert_close

pytestmark = [pytest.mark.oracle, pytest.mark.spec("9.8")]


def _networks():
    path = Path(__file__).with_name("frozen_networks.py")
    spec = importlib.util.spec_from_file_location("frozen_networks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NETWORKS


def _fed(shapes):
    random = np.random.default_rng(11)
    return {
        f"{name}:0": random.uniform(-1, 1, given).astype(np.float32)
        if isinstance(given, tuple)
        else given
        for name, given in shapes.items()
    }


def _frozen(tf, build, add_shapes):
    """A frozen GraphDef, the names of its outputs, and what is fed."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        outputs, shapes = build(tf)
        outputs = [tf.identity(output, f"output_{i}") for i, output in enumerate(outputs)]
        session.run(tf.global_variables_initializer())
        names = [output.op.name for output in outputs]
        frozen = tf.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(add_shapes), names
        )
    return frozen, [f"{name}:0" for name in names], _fed(shapes)


def _as_older(tf, frozen):
    """Without attributes that have their defaults: older ones do not have them all."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
        message = tf.train.export_meta_graph(graph=graph, strip_default_attrs=True).graph_def
    message.versions.producer = 27
    for node in message.node:
        node.attr.pop("_output_shapes", None)
    return message


def _run(library, data, names, feeds):
    message = library.GraphDef.FromString(data)
    with library.Graph().as_default(), library.Session() as session:
        library.import_graph_def(message, name="net")
        feeds = {f"net/{name}": value for name, value in feeds.items()}
        return session.run([f"net/{name}" for name in names], feeds)


@pytest.mark.parametrize("build", _networks(), ids=lambda build: build.__name__)
@pytest.mark.parametrize("form", ["as it is", "with shapes", "as older"])
def test_frozen_networks_give_what_they_give_in_tensorflow(tf, build, form):
    frozen, names, feeds = _frozen(tf, build, form == "with shapes")
    if form == "as older":
        frozen = _as_older(tf, frozen)
    data = frozen.SerializeToString()
    ours, theirs = (_run(library, data, names, feeds) for library in (tfsession, tf))
    for name, mine, wanted in zip(names, ours, theirs, strict=True):
        assert_close(mine, wanted, 1.0, name)


OF_2015 = """
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
node { name: "m" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "value"
    value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 3 } }
                     float_val: 0.5 float_val: -1 float_val: 0.25 } } } }
node { name: "v" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "value"
    value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 3 } } float_val: 2.0 } } } }
node { name: "bn" op: "BatchNormWithGlobalNormalization"
    input: "x" input: "m" input: "v" input: "m" input: "v"
    attr { key: "T" value { type: DT_FLOAT } }
    attr { key: "scale_after_normalization" value { b: SCALED } }
    attr { key: "variance_epsilon" value { f: 0.001 } } }
node { name: "n" op: "CheckNumerics" input: "bn" attr { key: "T" value { type: DT_FLOAT } }
    attr { key: "message" value { s: "bn" } } }
node { name: "p" op: "Const" attr { key: "dtype" value { type: DT_INT32 } } attr { key: "value"
    value { tensor { dtype: DT_INT32 tensor_shape { dim { size: 2 } dim { size: 2 } }
                     int_val: 0 } } } }
node { name: "sb" op: "SpaceToBatch" input: "n" input: "p"
    attr { key: "T" value { type: DT_FLOAT } } attr { key: "block_size" value { i: 2 } } }
node { name: "bs" op: "BatchToSpace" input: "sb" input: "p"
    attr { key: "T" value { type: DT_FLOAT } } attr { key: "block_size" value { i: 2 } } }
versions { producer: 5 }
"""


@pytest.mark.parametrize("scaled", ["true", "false"])
def test_graphs_of_2015_give_what_they_give_in_tensorflow(tf, scaled):
    message = protos.text_format.Parse(OF_2015.replace("SCALED", scaled), protos.GraphDef())
    names = ["n:0", "sb:0", "bs:0"]
    data, feeds = message.SerializeToString(), _fed({"x": (2, 4, 2, 3)})
    ours, theirs = (_run(library, data, names, feeds) for library in (tfsession, tf))
    for name, mine, wanted in zip(names, ours, theirs, strict=True):
        assert_close(mine, wanted, 1.0, name)
