"""Models of others: SavedModels, frozen graphs and checkpoints in a folder, run by both.

TFSESSION_PUBLIC_MODELS names the folder. All that is found below it is tried: `saved_model.pb` by
its signatures, `*.pb` by placeholders and what nothing reads, `*.meta` with the checkpoint beside
it by its sigmoids and softmaxes. Inputs are random and seeded; a scalar is one, since most say how
much is kept of something.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import tfsession
from tfsession.core import protos

FOLDER = os.environ.get("TFSESSION_PUBLIC_MODELS")
FILES = [
    path
    for pattern in ("*.pb", "*.meta")
    for path in sorted(Path(FOLDER).rglob(pattern) if FOLDER else ())
    if path.name != "fingerprint.pb"
]
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.slow,
    pytest.mark.spec("9.8"),
    pytest.mark.skipif(not FILES, reason="no models in TFSESSION_PUBLIC_MODELS"),
]

TEXTS = [b"import os", b"#include <stdio.h>\nint main() { return 0; }", b"the cat", b"", b"a b c"]


def _value(dtype, shape, seed):
    random = np.random.default_rng(seed)
    if dtype == "string":
        return random.choice(np.array(TEXTS, object), shape)
    if dtype == "bool":
        return np.zeros(shape, bool)
    if not shape:
        numbers = 1
    elif tfsession.as_dtype(dtype).is_floating:
        numbers = random.random(shape)
    else:
        numbers = random.integers(0, 3, shape)
    return np.asarray(numbers).astype(tfsession.as_dtype(dtype).as_numpy_dtype)


def _feeds(tensors):
    """By the names of tensors, for their dtypes and shapes."""
    return {
        name: _value(dtype, [2 if size in (None, -1) else size for size in shape], seed)
        for seed, (name, dtype, shape) in enumerate(sorted(tensors))
    }


def _signatures(library, session, path):
    """Of each signature what is fed and fetched, once the model is loaded."""
    (message,) = protos.SavedModel.FromString(path.read_bytes()).meta_graphs
    tags = list(message.meta_info_def.tags)
    message = library.saved_model.loader.load(session, tags, str(path.parent))
    for name, signature in sorted(message.signature_def.items()):
        if not name.startswith("__"):
            inputs = [
                (i.name, library.as_dtype(i.dtype).name, [d.size for d in i.tensor_shape.dim])
                for i in signature.inputs.values()
            ]
            yield _feeds(inputs), sorted(i.name for i in signature.outputs.values())


def _frozen(library, session, path):
    message = library.GraphDef.FromString(path.read_bytes())
    library.import_graph_def(message, name="")
    yield _of_graph(session.graph, lambda op: not any(t.consumers() for t in op.outputs))


def _restored(library, session, path):
    message = library.MetaGraphDef.FromString(path.read_bytes())
    for node in message.graph_def.node:
        # TensorFlow refuses wrong ones, which its older versions have written.
        node.attr.pop("_output_shapes", None)
    saver = library.train.import_meta_graph(message, clear_devices=True)
    saver.restore(session, str(path).removesuffix(".meta"))
    yield _of_graph(session.graph, lambda op: op.type in ("Sigmoid", "Softmax"))


def _of_graph(graph, is_wanted):
    operations = graph.get_operations()
    placeholders = [op.outputs[0] for op in operations if op.type.startswith("Placeholder")]
    inputs = [
        (t.name, t.dtype.name, t.shape.as_list() if t.shape.ndims is not None else [])
        for t in placeholders
        if t.op.type != "PlaceholderWithDefault"
    ]
    wanted = [op.outputs[0].name for op in operations if op.outputs and is_wanted(op)]
    return _feeds(inputs), wanted


def _answers(library, path):
    kind = _restored if path.name.endswith(".meta") else _frozen
    kind = _signatures if path.name == "saved_model.pb" else kind
    with library.Graph().as_default(), library.Session() as session:
        for feeds, names in kind(library, session, path):
            yield dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_models_of_others_give_what_they_give_in_tensorflow(tf, path):
    ours, theirs = (list(_answers(library, path)) for library in (tfsession, tf))
    assert theirs
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine.keys() == wanted.keys()
        for name, value in wanted.items():
            given, value = np.asarray(mine[name]), np.asarray(value)
            assert (given.dtype, given.shape) == (value.dtype, value.shape)
            if value.dtype.kind in "fc":
                np.testing.assert_allclose(given, value, rtol=1e-3, atol=2e-4, err_msg=name)
            else:
                np.testing.assert_array_equal(given, value, name)
