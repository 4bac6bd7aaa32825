"""SavedModels and checkpoints that TensorFlow 2 wrote, run here and by TensorFlow's sessions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfsession
from tfsession.testing import assert_close

pytestmark = [pytest.mark.oracle, pytest.mark.spec("9.7")]

WORDS = np.array([b"Cat!", b"dog", b"a", b"nothing", b""], object)
IDS = np.random.default_rng(2).integers(0, 3, (4, 12)).astype(np.int32)
IMAGES = np.random.default_rng(1).random((3, 16, 16, 3), np.float32)
SENTENCES = np.array([[b"The cat sat"], [b""], [b"the, cat; the cat."]], object)
# Model, signature, and what is fed in each of several runs in one session.
RUNS = [
    ("perceptron", "p", [{"x": IMAGES[:, :4, 0, 0]}, {"x": np.zeros((0, 4))}]),
    ("perceptron", "hidden", [{"x": IMAGES[:, :4, 0, 0]}]),
    ("words", "serving_default", [{"t": WORDS}, {"t": WORDS[:0]}]),
    ("flow", "serving_default", [{"n": n, "x": [0.5, 1.5]} for n in (0, 1, 2, 7)]),
    ("types", "serving_default", [{"i": 0}, {"i": 1}]),
    ("image", "serving_default", [{"keras_tensor": IMAGES}]),
    ("recurrent", "serve", [{"keras_tensor": IDS}, {"keras_tensor": IDS[:1]}]),
    ("text", "serving_default", [{"keras_tensor": SENTENCES}]),
]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("tf2")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("tf2_models.py")), str(folder)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def _feeds(signature, given):
    """By tensor; an input that is not named here is the only one of its kind."""
    names = {name.split(":")[0]: info.name for name, info in signature.inputs.items()}
    (only,) = names.values() if len(names) == 1 else (None,)
    return {names.get(name, only): value for name, value in given.items()}


def _answers(library, directory, name, runs, scope=None):
    with library.Graph().as_default(), library.Session() as session:
        message = library.saved_model.loader.load(session, ["serve"], str(directory), scope)
        signature = message.signature_def[name]
        prefix = f"{scope}/" if scope else ""
        fetches = {key: prefix + info.name for key, info in signature.outputs.items()}
        for given in runs:
            feeds = {prefix + key: value for key, value in _feeds(signature, given).items()}
            yield session.run(fetches, feeds)


def _assert_same(ours, theirs, what):
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_close(np.asarray(mine[key]), np.asarray(value), 1.0, f"{key} of {what}")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run[0]}-{run[1]}")
def test_signatures_give_what_they_give_in_tensorflow(tf, models, run, rows_compared):
    model, name, runs = run
    rows_compared(len(runs))
    scope = "loaded" if model in ("words", "flow") else None
    ours, theirs = (
        list(_answers(library, models / model, name, runs, scope)) for library in (tfsession, tf)
    )
    _assert_same(ours, theirs, model)


@pytest.mark.parametrize("model", ["perceptron", "flow", "image", "text"])
def test_models_are_written_again_and_read_by_both(tf, models, tmp_path, model):
    """With the functions that save and restore, and the counters as they have become."""
    name, runs = next((run[1], run[2]) for run in RUNS if run[0] == model)
    found = []
    for writes in (tf, tfsession):
        again = tmp_path / writes.__name__
        with writes.Graph().as_default(), writes.Session() as session:
            message = writes.saved_model.loader.load(session, ["serve"], str(models / model))
            signature = message.signature_def[name]
            fetches = [info.name for info in signature.outputs.values()]
            session.run(fetches, _feeds(signature, runs[0]))
            saver = writes.train.Saver(saver_def=message.saver_def)
            builder = writes.saved_model.Builder(str(again))
            init_op = session.graph.get_collection("saved_model_main_op")[0]
            session.graph.clear_collection("saved_model_main_op")
            builder.add_meta_graph_and_variables(
                session, ["serve"], {name: signature}, saver=saver, main_op=init_op
            )
            builder.save()
        found += [list(_answers(library, again, name, runs)) for library in (tf, tfsession)]
    for other in found[1:]:
        _assert_same(other, found[0], model)


def _variables(library):
    return [
        library.get_variable("w1", [4, 8]),
        library.get_variable("b1", [8], use_resource=True),
        library.get_variable("w2", [8, 3]),
        library.get_variable("step", [], library.int64),
    ]


@pytest.mark.spec("9.4")
def test_checkpoints_of_objects_are_restored_by_the_names_of_variables(tf, models):
    found = []
    for library in (tf, tfsession):
        checkpoint = library.train.latest_checkpoint(str(models / "objects"))
        reader = library.train.NewCheckpointReader(checkpoint)
        with library.Graph().as_default() as graph, library.Session() as session:
            variables = _variables(library)
            saver = library.train.Saver()
            for _ in range(2):
                saver.restore(session, checkpoint)
                count = len(graph.get_operations())
            values = session.run(variables)
            saver.restore(session, checkpoint)
            assert len(graph.get_operations()) == count
            library.get_variable("more", [1])
            with pytest.raises(library.errors.NotFoundError) as error:
                library.train.Saver().restore(session, checkpoint)
            found.append((
                [value.tolist() for value in values],
                library.train.list_variables(checkpoint),
                reader.debug_string(),
                reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"),
                error.value.message.strip().split("\n\n")[:3],
            ))  # fmt: skip
    assert found[0] == found[1]


@pytest.mark.spec("9.4")
def test_variables_begin_with_values_of_checkpoints_of_objects(tf, models):
    found = []
    for library in (tf, tfsession):
        with library.Graph().as_default(), library.Session() as session:
            variables = _variables(library)
            keys = ["model/w1", "model/b1", "model/w2", "step"]
            library.train.init_from_checkpoint(
                str(models / "objects"),
                {
                    f"{key}/.ATTRIBUTES/VARIABLE_VALUE": variable
                    for key, variable in zip(keys, variables, strict=True)
                },
            )
            session.run(library.global_variables_initializer())
            found.append([value.tolist() for value in session.run(variables)])
    assert found[0] == found[1]
