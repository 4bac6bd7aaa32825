"""Session handles as operations: what is kept, read, deleted, and refused."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op

# What they compute depends on what the session keeps: the tables below cover them.
COVERED = ["GetSessionHandle", "GetSessionHandleV2", "GetSessionTensor", "DeleteSessionTensor"]
DTYPES = (
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "int8",
    "int32",
    "int64",
    "bool",
    "complex64",
)
SHAPES = ((), (0,), (3,), (2, 3))


def _values(dtype, shape):
    size = int(np.prod(shape))
    return (np.arange(size) % 2 == 0).reshape(shape).astype(tf.as_dtype(dtype).as_numpy_dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_kept_tensor_is_read_as_it_was(fresh_graph, device, dtype, shape):
    value = _values(dtype, shape)
    with tf.device(device):
        p = tf.placeholder(dtype, shape)
        handle = tf.get_session_handle(tf.identity(p))
    with tf.Session() as session:
        kept = session.run(handle, {p: value})
        holder, tensor = tf.get_session_tensor(kept.handle, dtype)
        got, plain = session.run(tensor, {holder: kept.handle}), kept.eval()
        assert got.dtype == plain.dtype == value.dtype
        np.testing.assert_array_equal(got, value)
        np.testing.assert_array_equal(plain, value)
        np.testing.assert_array_equal(session.run(tf.identity(p), {p: kept}), value)


def test_texts(fresh_graph):
    handle = tf.get_session_handle(tf.constant([["a", "bc"]]))
    with tf.Session() as session:
        kept = session.run(handle)
        assert kept.eval().tolist() == [[b"a", b"bc"]]
        p = tf.placeholder(tf.string)
        assert session.run(tf.identity(p), {p: kept}).tolist() == [[b"a", b"bc"]]


@pytest.mark.parametrize("op_type", ["GetSessionHandle", "GetSessionHandleV2"])
def test_both_kinds_of_handles(fresh_graph, device, op_type):
    with tf.device(device):
        handle = create_op(op_type, [tf.constant([1.0, 2.0]) * 2.0])
    with tf.Session() as session:
        kept = session.run(handle)
        assert kept.handle.split(";")[:2] == [op_type, "0"]
        assert kept.eval().tolist() == [2.0, 4.0]


def test_what_is_kept_changes_with_nothing(fresh_graph, device):
    """Not with what was fed, nor with variables, nor with what was fetched."""
    with tf.device(device):
        p = tf.placeholder(tf.float32)
        v, u = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0], use_resource=True)
        handles = [tf.get_session_handle(x) for x in (p, v.value(), u.value(), p[:1])]
    fed = np.array([1.0, 2.0], np.float32)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        kept = session.run(handles, {p: fed})
        fed[:] = -1.0
        session.run([v.assign([5.0, 6.0]), u.assign([5.0, 6.0])])
        session.run([tf.assign_add(v, [1.0, 1.0]), tf.scatter_update(u, [0], [9.0])])
        fetched = session.run(p, {p: kept[0]})
        fetched[:] = -2.0
        kept[0].eval()[:] = -3.0
        assert [k.eval().tolist() for k in kept] == [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0]]


ERRORS = [
    # (the text that is fed, of which dtype it is read, error, key phrase)
    ("gone;1;{device}", tf.float32, "InvalidArgument", "The tensor with handle 'gone;1;"),
    ("abc", tf.float32, "InvalidArgument", "with handle 'abc' is not in the session store"),
    (b"\xff\xfe", tf.float32, "InvalidArgument", "is not in the session store"),
    (["x", "y"], tf.float32, "InvalidArgument", r"handle must be a scalar, got shape \[2\]"),
    (None, tf.int64, "Internal", "Output 0 of type float does not match declared output type int6"),
]


@pytest.mark.parametrize("row", ERRORS, ids=str)
def test_errors_of_reading(fresh_graph, device, row):
    text, dtype, error, phrase = row
    with tf.device(device):
        handle = tf.get_session_handle(tf.constant([1.0]) + 1.0)
    with tf.Session() as session:
        kept = session.run(handle)
        holder, tensor = tf.get_session_tensor(kept.handle, dtype)
        fed = kept.handle if text is None else text
        if isinstance(fed, str):
            fed = fed.format(device=kept.handle.split(";")[-1])
        with pytest.raises(getattr(tf.errors, error + "Error"), match=phrase):
            session.run(tensor, {holder: fed})
        assert kept.eval().tolist() == [2.0]


def test_errors_of_deleting(fresh_graph, device):
    with tf.device(device):
        handle = tf.get_session_handle(tf.constant([1.0]))
    with tf.Session() as session:
        kept = session.run(handle)
        holder, deleter = tf.delete_session_tensor(kept.handle)
        session.run(deleter, {holder: kept.handle})
        for text in (kept.handle, "abc"):
            with pytest.raises(tf.errors.InvalidArgumentError, match="Failed to delete a tensor"):
                session.run(deleter, {holder: text})


def test_what_is_built_from(fresh_graph):
    for data in (3.0, [1.0], "a:0", tf.Variable(1.0), tf.no_op(), None):
        with pytest.raises(TypeError, match="`data` must be of type Tensor"):
            tf.get_session_handle(data)
    for text in ("abc", 3, "a;b", None):
        for build in (lambda x: tf.get_session_tensor(x, tf.float32), tf.delete_session_tensor):
            with pytest.raises(ValueError, match="while parsing the device spec"):
                build(text)
    with pytest.raises(ValueError, match="must be rank 0"):
        create_op("GetSessionTensor", [["a"]], {"dtype": tf.float32})
