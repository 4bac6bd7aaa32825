"""Serialized SequenceExamples into tensors: contexts, and lists of features step by step."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, row_cases, strings


def feature(values):
    train = tf.train
    if not values:
        return train.Feature()
    if isinstance(values[0], bytes):
        return train.Feature(bytes_list=train.BytesList(value=values))
    return train.Feature(int64_list=train.Int64List(value=values))


def sequence(context, **lists):
    features = {key: feature(values) for key, values in context.items()}
    found = {
        key: tf.train.FeatureList(feature=[feature(values) for values in steps])
        for key, steps in lists.items()
    }
    return tf.train.SequenceExample(
        context=tf.train.Features(feature=features),
        feature_lists=tf.train.FeatureLists(feature_list=found),
    ).SerializeToString()


LONG = sequence(
    {"c": [7], "n": [b"x"], "w": [1, 2]},
    a=[[1, 2], [3, 4], [500, 6]], v=[[1], [], [2, 3]], s=[[b"q"], [b"r"]],
)  # fmt: skip
SHORT = sequence({"c": [8]}, a=[[9, 9]], v=[[4]])
BATCH = strings(LONG, SHORT)


def features(tf):
    context = {
        "c": tf.FixedLenFeature([], tf.int64),
        "n": tf.FixedLenFeature([], tf.string, "d"),
        "w": tf.VarLenFeature(tf.int64),
    }
    lists = {
        "a": tf.FixedLenSequenceFeature([2], tf.int64),
        "v": tf.VarLenFeature(tf.int64),
        "s": tf.FixedLenSequenceFeature([], tf.string, allow_missing=True),
    }
    return context, lists


def parts(value):
    if hasattr(value, "indices"):
        return [value.indices, value.values, value.dense_shape]
    return [value]


def flat(dicts):
    return [part for found in dicts for key in sorted(found) for part in parts(found[key])]


ROWS = [
    Row("ParseSequenceExampleV2",
        lambda tf, x: flat(tf.parse_single_sequence_example(x, *features(tf))),
        [strings(LONG, shape=[])], label="one"),
    Row("ParseSequenceExampleV2",
        lambda tf, x: flat(tf.parse_single_sequence_example(x, *features(tf), "e", name="n")),
        [strings(SHORT, shape=[])], label="short"),
    Row("ParseSequenceExampleV2",
        lambda tf, x: flat(tf.io.parse_sequence_example(x, *features(tf))), [BATCH],
        label="batch"),
    Row("ParseSequenceExampleV2",
        lambda tf, x: flat(tf.io.parse_sequence_example(x, None, features(tf)[1],
                                                        example_names=["p", "q"], name="n")),
        [BATCH], label="lists"),
    Row("ParseSequenceExampleV2",
        lambda tf, x: tf.parse_single_sequence_example(x, features(tf)[0])[0]["c"],
        [strings(LONG, shape=[])], label="context", reference=lambda x: np.int64(7)),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


SEQUENCE = tf.FixedLenSequenceFeature
REFUSED = [
    ({"z": tf.FixedLenFeature([], tf.int64)}, None, "Feature: z (data type: int64) is required"),
    ({"c": tf.FixedLenFeature([], tf.float32)}, None, "Data types don't match."),
    (None, {"z": SEQUENCE([], tf.int64)}, "Feature list 'z' is required but could not be found."),
    (None, {"a": SEQUENCE([2], tf.float32)},
     "Feature list: a, Index: 0.  Data types don't match. Expected type: float"),
    (None, {"v": tf.VarLenFeature(tf.string)},
     "Feature list: v, Index: 0.  Data types don't match. Expected type: string"),
    (None, {"a": SEQUENCE([3], tf.int64)},
     "Key: a, Index: 0.  Number of values != expected.  values size: 2 but output shape: [3]"),
    (None, {"v": SEQUENCE([], tf.int64)},
     "Key: v, Index: 1.  Number of values != expected.  values size: 0 but output shape: []"),
]  # fmt: skip


@pytest.mark.parametrize(("context", "lists", "message"), REFUSED)
def test_what_is_not_as_described_is_told(fresh_graph, context, lists, message):
    one = flat(tf.parse_single_sequence_example(LONG, context, lists))
    many = flat(tf.io.parse_sequence_example([LONG], context, lists))
    with tf.Session() as session:
        for fetches in (one, many):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                session.run(fetches)
            assert message in caught.value.message


def test_ragged_lists(fresh_graph):
    attrs = {
        "Ncontext_sparse": 0, "Nfeature_list_sparse": 0, "Nfeature_list_dense": 0,
        "feature_list_ragged_value_types": [tf.int64],
        "feature_list_ragged_split_types": [tf.int32],
    }  # fmt: skip
    keys = [[], [], [], [], [], ["v"], np.zeros(0, bool), []]
    op = create_op("ParseSequenceExampleV2", [[LONG, SHORT], [], *keys], attrs)
    with tf.Session() as session:
        values, outer, inner = (v.tolist() for v in session.run([part[0] for part in op[-3:]]))
    assert (values, outer, inner) == ([1, 2, 3, 4], [0, 3, 4], [0, 1, 1, 3, 4])


@pytest.mark.parametrize("shape", [None, [None]])
def test_shapes_that_no_array_has(fresh_graph, shape):
    attrs = {
        "Ncontext_sparse": 0, "Nfeature_list_sparse": 0, "Nfeature_list_dense": 1,
        "feature_list_dense_types": [tf.int64], "feature_list_dense_shapes": [shape],
    }  # fmt: skip
    keys = [[], [], [], [], ["v"], [], np.ones(1, bool), []]
    op = create_op("ParseSequenceExampleV2", [[LONG, SHORT], [], *keys], attrs)
    with tf.Session() as session, pytest.raises(
        tf.errors.InvalidArgumentError, match=r"feature_list_dense_shapes\[b'v'\] has unknown dim"
    ):  # fmt: skip
        session.run(op.feature_list_dense_values)


def test_junk_and_descriptions(fresh_graph):
    lists = {"v": tf.VarLenFeature(tf.int64)}
    junk = flat(tf.parse_single_sequence_example(b"\x0ajunk" * 9, None, lists))
    with tf.Session() as session, pytest.raises(
        tf.errors.InvalidArgumentError, match="Invalid protocol message input, example id: <unkno"
    ):  # fmt: skip
        session.run(junk)
    with pytest.raises(ValueError, match="at least one should have values"):
        tf.parse_single_sequence_example("")
    with pytest.raises(ValueError, match=r"dense_defaults\[a\] must be None"):
        tf.parse_single_sequence_example("", None, {"a": SEQUENCE([], tf.int64, default_value=3)})
    with pytest.raises(ValueError, match="Input serialized must be a scalar"):
        tf.parse_single_sequence_example([""], None, lists)
