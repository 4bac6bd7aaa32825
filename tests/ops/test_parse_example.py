"""Serialized Examples into tensors: what is there, what is missing, and what is something else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import Row, case_name, check_row, row_cases, strings


def feature(values):
    train = tf.train
    if values is None:
        return train.Feature()
    if values == "floats":
        return train.Feature(float_list=train.FloatList())
    if isinstance(values[0], bytes):
        return train.Feature(bytes_list=train.BytesList(value=values))
    if isinstance(values[0], float):
        return train.Feature(float_list=train.FloatList(value=values))
    return train.Feature(int64_list=train.Int64List(value=values))


def example(**features):
    found = {key: feature(values) for key, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=found)).SerializeToString()


LONG = list(range(-3, 400, 7))
ONE = example(a=[1, -2], b=[b"x" * 300], c=[1.5], d=[7, 2**40], e=LONG, f=[b"p", b"", b"q"])
SMALL = example(a=[3, 4], b=[b""], d=[5], e=[1], f=[b"z"])
NONE = example(a=[0, 0], b=[b"y"], c="floats", e=None)
BATCH = strings(ONE, SMALL, NONE)


def everything(tf):
    return {
        "a": tf.FixedLenFeature([2], tf.int64),
        "b": tf.FixedLenFeature([], tf.string),
        "c": tf.VarLenFeature(tf.float32),
        "d": tf.VarLenFeature(tf.int64),
        "e": tf.FixedLenSequenceFeature([], tf.int64, True, -1),
        "f": tf.VarLenFeature(tf.string),
        "g": tf.FixedLenFeature([1, 2], tf.float32, [[8, 9]]),
        "h k": tf.FixedLenFeature((), tf.string, "none"),
        "i": tf.FixedLenSequenceFeature([2], tf.string, allow_missing=True),
    }


def values_of(parsed):
    """Dense tensors and the parts of sparse ones, by name."""
    return [part for key in sorted(parsed) for part in parts(parsed[key])]


def parts(value):
    if hasattr(value, "indices"):
        return [value.indices, value.values, value.dense_shape]
    return [value]


def batch(tf, x):
    return values_of(tf.parse_example(x, everything(tf)))


def single(tf, x, **kwargs):
    return values_of(tf.parse_single_example(x, everything(tf), **kwargs))


def pairs(tf):
    return tf.FixedLenSequenceFeature([2], tf.int64, True)


ROWS = [
    Row("ParseExampleV2", batch, [BATCH], label="batch"),
    Row("ParseExampleV2", batch, [strings()], label="nothing"),
    Row("ParseExampleV2", single, [strings(ONE, shape=[])], label="one"),
    Row("ParseExampleV2", single, [strings(NONE, shape=[])], kwargs={"name": "n"}, label="named"),
    Row("ParseExampleV2",
        lambda tf, x: values_of(tf.parse_example(x, {"a": tf.VarLenFeature(tf.int64)},
                                                 name="n", example_names=["p", "q"])),
        [strings(ONE, SMALL)], label="names"),
    Row("ParseExampleV2",
        lambda tf, x: tf.io.parse_example(x, {"d": tf.io.FixedLenFeature([2], tf.int64)})["d"],
        [strings(ONE)], label="large", reference=lambda x: np.array([[7, 2**40]])),
    Row("ParseExampleV2",
        lambda tf, x: tf.parse_example(x, {"i": pairs(tf)})["i"],
        [strings(example(i=[1, 2, 3, 4]), example(), example(i=[5, 6]))], label="pairs",
        reference=lambda x: np.array([[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]])),
]  # fmt: skip
COVERED = ["ParseExample", "ParseSingleExample"]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


KEYS = {"dense_shapes": [[2]], "sparse_types": [tf.string]}


@pytest.mark.parametrize("shape", [None, [2, None]])
def test_shapes_that_no_array_has(fresh_graph, shape):
    default = tf.constant([], tf.int64)
    op = create_op(
        "ParseExample",
        [[ONE, SMALL], [], [], ["a"], [default]],
        {"dense_shapes": [shape], "sparse_types": []},
    )
    with tf.Session() as session, pytest.raises(
        tf.errors.InvalidArgumentError, match="unknown rank or unknown inner dimensions"
    ):  # fmt: skip
        session.run(op[-1])


def test_older_ops_give_the_same(fresh_graph):
    """Graphs that earlier versions made have them."""
    default = tf.constant([], tf.int64)
    many = create_op("ParseExample", [[ONE, SMALL], [], ["f"], ["a"], [default]], KEYS)
    attrs = {"num_sparse": 1, "sparse_keys": ["f"], "dense_keys": ["a"], **KEYS}
    one = create_op("ParseSingleExample", [ONE, [default]], attrs)
    with tf.Session() as session:
        found = session.run([many, one])
    assert found[0][3][0].tolist() == [[1, -2], [3, 4]]
    assert found[0][0][0].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0]]
    assert found[0][2][0].tolist() == [2, 3]
    assert found[1][1][0].tolist() == [b"p", b"", b"q"]
    assert found[1][0][0].tolist() == [[0], [1], [2]]
    assert found[1][3][0].tolist() == [1, -2]


def test_ragged_columns(fresh_graph):
    attrs = {"num_sparse": 0, "sparse_types": [], "dense_shapes": [],
             "ragged_value_types": [tf.int64], "ragged_split_types": [tf.int32]}  # fmt: skip
    text = tf.placeholder(tf.string)
    *_, values, splits = create_op("ParseExampleV2", [text, [], [], [], ["d"], []], attrs)
    with tf.Session() as session:
        found = session.run([values[0], splits[0]], {text: [ONE, NONE, SMALL]})
        assert [f.tolist() for f in found] == [[7, 2**40, 5], [0, 2, 2, 3]]
        assert found[1].dtype == np.int32
        found = session.run([values[0], splits[0]], {text: ONE})
        assert [f.tolist() for f in found] == [[7, 2**40], []]


def fixed(shape, dtype=tf.int64, default=None):
    return {"a": tf.FixedLenFeature(shape, dtype, default)}


REFUSED = [
    (example(b=[1]), fixed([2]),
     "Feature: a (data type: int64) is required but could not be found."),
    (example(a=None), fixed([2]),
     "Feature: a (data type: int64) is required but could not be found."),
    (example(a=[1.5]), fixed([1]),
     "Key: a{}.  Data types don't match. Data type: float but expected type: int64"),
    (example(a=[b"s"]), fixed([1], tf.float32),
     "Key: a{}.  Data types don't match. Data type: string but expected type: float"),
    (example(a=[1.5]), {"a": tf.VarLenFeature(tf.int64)},
     "Key: a{}.  Data types don't match. Expected type: int64, Actual type: float"),
    (example(a=[1, 2, 3]), fixed([2]),
     "Key: a{}.  Number of int64 values != expected.  Values size: 3 but output shape: [2]"),
    (example(a=[1]), fixed([2], default=[4, 5]),
     "Key: a{}.  Number of int64 values != expected.  Values size: 1 but output shape: [2]"),
    (example(a=[1, 2, 3]), {"a": tf.FixedLenSequenceFeature([2], tf.int64, True)},
     "Key: a{}.  Number of int64 values is not a multiple of stride length. "
     "Saw 3 values but output shape is: [?,2]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "features", "message"), REFUSED)
def test_what_is_not_as_described_is_told(fresh_graph, text, features, message):
    text_in = tf.placeholder(tf.string, [])
    good = example(a=[1, 2])
    one = tf.parse_single_example(text_in, features)["a"]
    many = tf.parse_example([good, text_in], features, example_names=["p", "q"])["a"]
    many = many if isinstance(many, tf.Tensor) else many.values
    one = one if isinstance(one, tf.Tensor) else one.values
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            session.run(one, {text_in: text})
        assert message.format("") in caught.value.message
        if "Feature" in message:
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                session.run(many, {text_in: text})
            assert f"Name: q, {message}" in caught.value.message


def test_junk_is_told(fresh_graph):
    junk = tf.parse_example(["", b"junk\x00" * 100], {"a": tf.VarLenFeature(tf.int64)})["a"]
    message = r"Could not parse example input, value: 'junk\\x00junk"
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=message):
        session.run(junk)


DESCRIPTIONS = [
    ({}, r"Argument `features` cannot be None or falsy. Got {}"),
    ({"a": 3}, "Unsupported int 3 for key 'a'"),
    (fixed([None]), "First dimension of shape for feature a unknown."),
    (fixed([1, None]), r"All dimensions of shape for feature a need to be known but received \[1"),
    (fixed(None), "Missing shape for feature a."),
    (fixed([], None), "Missing type for feature a."),
    ({"a": tf.VarLenFeature(None)}, "Missing type for feature a."),
    ({"a": tf.FixedLenSequenceFeature([], tf.int64)}, "requires allow_missing to be True"),
    (fixed([2], default=[1]), "Cannot reshape a tensor with 1 elements to shape"),
]


@pytest.mark.parametrize(("features", "message"), DESCRIPTIONS, ids=str)
def test_descriptions_are_checked(fresh_graph, features, message):
    with pytest.raises(ValueError, match=message):
        tf.parse_example([""], features)


def test_one_example_is_a_scalar(fresh_graph):
    with pytest.raises(ValueError, match="Input serialized must be a scalar"):
        tf.parse_single_example([""], fixed([1]))
    for features, message in [(None, "cannot be None"), ({}, "cannot be empty")]:
        with pytest.raises(ValueError, match=message):
            tf.parse_single_example("", features)
    text = tf.placeholder(tf.string)
    parsed = tf.parse_single_example(text, fixed([2]))["a"]
    with tf.Session() as session:
        assert session.run(parsed, {text: ONE}).tolist() == [1, -2]
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be a scalar"):
            session.run(parsed, {text: [ONE]})


VALUES = {
    tf.int64: st.integers(-(2**63), 2**63 - 1),
    tf.float32: st.floats(width=32, allow_nan=False),
    tf.string: st.binary(max_size=200),
}


@settings(max_examples=60)
@given(st.data(), st.sampled_from(list(VALUES)))
def test_any_values_come_back(data, dtype):
    rows = data.draw(st.lists(st.lists(VALUES[dtype], max_size=40), min_size=1, max_size=5))
    texts = [example(**({"k": row} if row else {})) for row in rows]
    with tf.Graph().as_default():
        parsed = tf.parse_example(texts, {"k": tf.VarLenFeature(dtype)})["k"]
        with tf.Session() as session:
            indices, values, shape = session.run(parsed)
    assert values.tolist() == [value for row in rows for value in row]
    assert indices.tolist() == [[i, j] for i, row in enumerate(rows) for j in range(len(row))]
    assert shape.tolist() == [len(rows), max(map(len, rows))]


def test_values_in_rarer_encodings(fresh_graph):
    """Numbers one by one, and in several pieces: both are the same message."""
    one_by_one = b"\x1a\x04\x08\x01\x08\x02"
    in_pieces = b"\x1a\x03\x0a\x01\x01\x1a\x03\x0a\x01\x02"
    floats = b"\x12\x0a\x0d\x00\x00\x80\x3f\x0d\x00\x00\x00\x40"
    texts = []
    for value in (one_by_one, in_pieces, floats):
        entry = b"\x0a\x01k\x12" + bytes([len(value)]) + value
        features = b"\x0a" + bytes([len(entry)]) + entry
        texts.append(b"\x0a" + bytes([len(features)]) + features)
    with tf.Session() as session:
        for text, dtype in zip(texts, (tf.int64, tf.int64, tf.float32), strict=True):
            features = {"k": tf.FixedLenFeature([2], dtype)}
            assert session.run(tf.parse_single_example(text, features)["k"]).tolist() == [1, 2]
