"""Public names and signatures of classes against TensorFlow's: what is missing is listed."""

import inspect

import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("signatures")]


def _examples(tf):
    """What a graph is made of; the classes of what runs it, and of its messages."""
    with tf.Graph().as_default() as graph:
        tensor = tf.constant(1.0)
        reference = tf.Variable(1.0)
        resource = tf.Variable(1.0, use_resource=True)
        found = (graph, tensor, tensor.op, reference, resource, tf.IndexedSlices(tensor, tensor))
    names = ("Graph", "Tensor", "Operation", "RefVariable", "ResourceVariable", "IndexedSlices")
    classes = ("Session", "InteractiveSession", "Variable", *MESSAGES)
    return dict(zip(names, found, strict=True)) | {name: getattr(tf, name) for name in classes}


# Their fields, numbers, types and defaults are compared in test_protos.py.
MESSAGES = (
    *("ConfigProto", "GPUOptions", "GraphOptions", "OptimizerOptions", "RunOptions"),
    *("RunMetadata",),
)

# TensorFlow's, and not here; what C++ lends to Python stays so.
MISSING = {
    "Graph": {
        *("Dismantle", "get", "new_operations"),
    },
    "Operation": {"experimental_set_type", "from_node_def"},
    # TensorFlow's sparse_read and gather_nd raise AttributeError there.
    "Variable": {"gather_nd", "sparse_read"},
    "RefVariable": {"gather_nd", "sparse_read"},
}
# Here, and not TensorFlow's.
OF_SESSIONS = {"counting", "explain_placement", "memory_stats", "placement"}
OWN = {
    "Session": OF_SESSIONS,
    "InteractiveSession": OF_SESSIONS,
    "Graph": {"node_name"},
    "Operation": {"attrs", "control_outputs"},
    "IndexedSlices": {"get_shape"},
}
# In both, and different: an argument more here; one of TensorFlow's insides less.
OTHER_SIGNATURES = {
    "Session": {"make_callable"},
    "InteractiveSession": {"make_callable"},
    "Graph": {"as_graph_def"},
}


@pytest.fixture(scope="module")
def pairs(tf):
    ours = _examples(tfsession)
    return {name: (real, ours[name]) for name, real in _examples(tf).items()}


NAMES = (
    *("Session", "InteractiveSession", "Graph", "Operation", "Tensor", "Variable"),
    *("RefVariable", "ResourceVariable", "IndexedSlices", *MESSAGES),
)


def _public(example):
    descriptor = getattr(example, "DESCRIPTOR", None)
    if descriptor is None:
        return {name for name in dir(example) if not name.startswith("_")}
    # What dir() gives of a message grows with what was read before.
    names = {*descriptor.fields_by_name, *descriptor.enum_values_by_name}
    return {name for name in names if hasattr(example, name)}


@pytest.mark.parametrize("name", NAMES)
def test_same_public_names(name, pairs):
    real, ours = map(_public, pairs[name])
    assert real - ours == MISSING.get(name, set())
    assert ours - real == OWN.get(name, set())


def _kind(cls, name):
    return "function" if callable(getattr(cls, name)) else "attribute"


def _parameters(cls, name):
    """Names, kinds and defaults; None for what is built in and does not tell."""
    try:
        found = inspect.signature(getattr(cls, name)).parameters.values()
    except ValueError:
        return None
    return [(p.name, p.kind.name, _default(p.default)) for p in found]


def _default(value):
    if value is inspect.Parameter.empty:
        return "required"
    # An enum of theirs may be the number of ours.
    return getattr(value, "value", value)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(MESSAGES)))
def test_same_signatures(name, pairs):
    common = sorted(_public(pairs[name][0]) & _public(pairs[name][1]))
    if isinstance(pairs[name][0], type):
        common.append("__init__")
    real, ours = pairs[name]
    different = {}
    for method in common:
        if _kind(real, method) != _kind(ours, method):
            different[method] = _kind(real, method), _kind(ours, method)
        elif _kind(real, method) == "function":
            theirs, mine = _parameters(real, method), _parameters(ours, method)
            if theirs is not None and theirs != mine:
                different[method] = theirs, mine
    assert set(different) == OTHER_SIGNATURES.get(name, set()), different
