"""Ragged tensors: rows in every notation, nested lists, and what is refused."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf

Ragged = tf.RaggedTensor
LISTS = st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=5)


def notations(rows):
    """The values of rows, and each way to tell the rows: a factory and its arguments."""
    lengths = [len(row) for row in rows]
    splits = np.cumsum([0, *lengths])
    rowids = [i for i, row in enumerate(rows) for _ in row]
    values = np.array([item for row in rows for item in row], np.int32)
    return values, {
        "from_row_splits": [splits],
        "from_row_lengths": [np.array(lengths, np.int64)],
        "from_row_starts": [splits[:-1]],
        "from_row_limits": [splits[1:]],
        "from_value_rowids": [np.array(rowids, np.int64), len(rows)],
    }


def in_all_notations(ragged):
    """A ragged tensor, and its rows in each notation."""
    return [
        *(ragged, ragged.row_lengths(), ragged.value_rowids(), ragged.nrows()),
        *(ragged.row_starts(), ragged.row_limits(), ragged.bounding_shape()),
    ]


def check_rows(found, rows):
    arguments = notations(rows)[1]
    lengths = [len(row) for row in rows]
    for value, *others in found:
        assert value.to_list() == rows
        assert value.dtype == np.int32
        assert [part.tolist() for part in others] == [
            lengths,
            arguments["from_value_rowids"][0].tolist(),
            len(rows),
            arguments["from_row_starts"][0].tolist(),
            arguments["from_row_limits"][0].tolist(),
            [len(rows), max(lengths, default=0)],
        ]


@settings(max_examples=20, deadline=None)
@given(rows=LISTS)
def test_notations_of_constants_tell_the_same_rows(rows):
    values, arguments = notations(rows)
    with tf.Graph().as_default():
        made = [getattr(Ragged, name)(values, *parts) for name, parts in arguments.items()]
        assert all(ragged.shape.as_list() == [len(rows), None] for ragged in made)
        check_rows(tf.Session().run([*map(in_all_notations, made)]), rows)


@functools.cache
def fed_notations():
    """A callable that makes rows of what is fed in each notation."""
    with tf.Graph().as_default():
        values = tf.placeholder(tf.int32, [None])
        feeds, results = [values], []
        for name, parts in notations([])[1].items():
            rows = [tf.placeholder(tf.int64, np.ndim(part) * [None]) for part in parts]
            results.append(in_all_notations(getattr(Ragged, name)(values, *rows)))
            feeds += rows
        return tf.Session().make_callable(results, feeds)


@settings(deadline=None)  # the first example makes the graph
@given(rows=LISTS)
def test_notations_that_are_fed_tell_the_same_rows(rows):
    values, arguments = notations(rows)
    check_rows(fed_notations()(values, *itertools.chain(*arguments.values())), rows)


@settings(max_examples=40, deadline=None)
@given(lists=st.lists(LISTS, max_size=4))
def test_nested_lists_come_back(lists):
    value = tf.ragged.constant_value(lists, ragged_rank=2, inner_shape=(), dtype=np.int64)
    with tf.Graph().as_default():
        made = tf.ragged.constant(lists, tf.int64, ragged_rank=2, inner_shape=())
        fed = tf.ragged.placeholder(tf.int64, 2, [])
        again = Ragged.from_nested_row_splits(made.flat_values, made.nested_row_splits)
        rows = Ragged.from_nested_row_lengths(made.flat_values, made.nested_row_lengths())
        flat = made.merge_dims(1, 2)
        results = tf.Session().run([made, tf.identity(fed), again, rows, flat], {fed: value})
    assert value.to_list() == lists
    assert [result.to_list() for result in results[:4]] == [lists] * 4
    assert results[4].to_list() == [[x for row in rows for x in row] for rows in lists]
    assert made.shape.as_list() == [len(lists), None, None]
    assert value.shape == (len(lists), None, None)


def test_on_a_device(device, fresh_graph):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [None])
        ragged = Ragged.from_row_lengths(x * 2.0, [2, 0, 1])
        ids, lengths = ragged.value_rowids(), ragged.row_lengths()
    session = tf.Session(config=tf.ConfigProto(allow_soft_placement=True))
    for _ in range(2):
        found = session.run([ragged, ids, lengths], {x: [1.0, 2.0, 3.0]})
        assert found[0].to_list() == [[2.0, 4.0], [], [6.0]]
        assert [part.tolist() for part in found[1:]] == [[0, 0, 2], [2, 0, 1]]
    with pytest.raises(tf.errors.InvalidArgumentError, match="do not form a valid RaggedTensor"):
        session.run(ragged, {x: [1.0]})
    assert session.run(ids, {x: [1.0, 2.0, 3.0]}).tolist() == [0, 0, 2]


BROKEN = [
    (lambda x: Ragged.from_row_splits([1, 2, 3], x), [0, 4], "from_row_partition"),
    (lambda x: Ragged.from_row_splits([1, 2, 3], x), [1, 3], "from_row_splits"),
    (lambda x: Ragged.from_row_splits([1, 2, 3], x), [0, 2, 1, 3], "from_row_splits"),
    (lambda x: Ragged.from_row_lengths([1, 2, 3], x), [4, -1], "from_row_lengths"),
    (lambda x: Ragged.from_row_lengths([1, 2, 3], x), [1, 1], "from_row_partition"),
    (lambda x: Ragged.from_row_starts([1, 2, 3], x), [1], "from_row_starts"),
    (lambda x: Ragged.from_row_starts([1, 2, 3], x), [0, 2, 1], "from_row_starts"),
    (lambda x: Ragged.from_row_starts([1, 2, 3], x), [0, 4], "from_row_starts"),
    (lambda x: Ragged.from_row_limits([1, 2, 3], x), [-1, 3], "from_row_limits"),
    (lambda x: Ragged.from_row_limits([1, 2, 3], x), [2, 1, 3], "from_row_limits"),
    (lambda x: Ragged.from_row_limits([1, 2, 3], x), [2], "from_row_partition"),
    (lambda x: Ragged.from_value_rowids([1, 2, 3], x), [0, 2, 1], "from_value_rowids"),
    (lambda x: Ragged.from_value_rowids([1, 2, 3], x), [-1, 0, 1], "from_value_rowids"),
    (lambda x: Ragged.from_value_rowids([1, 2, 3], x, 1), [0, 0, 1], "from_value_rowids"),
    (lambda x: Ragged.from_uniform_row_length([1, 2, 3], x[0]), [2], "uniform_row_length"),
    (lambda x: Ragged.from_uniform_row_length([], x[0], 1), [-1], "uniform_row_length"),
]


@pytest.mark.parametrize(("make", "rows", "text"), BROKEN)
def test_rows_that_do_not_fit_fail_the_step(fresh_graph, make, rows, text):
    x = tf.placeholder(tf.int64, [None])
    ragged, session = make(x), tf.Session()
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(ragged, {x: rows})


REFUSED = [
    (lambda: Ragged([1], [0]), ValueError, "RaggedTensor constructor is private"),
    (lambda: Ragged.from_row_splits([1], []), ValueError, "row_splits tensor may not be empty"),
    (lambda: Ragged.from_row_splits([1], [[0]]), ValueError, "must have rank 1"),
    (lambda: Ragged.from_row_splits(1, [0, 1]), ValueError, "must have rank at least 1"),
    (lambda: Ragged.from_row_splits([1], [0.5]), ValueError, "must have dtype int32 or int64"),
    (lambda: Ragged.from_row_splits([1], [0, 1], validate=1), TypeError, "must have type bool"),
    (lambda: Ragged.from_row_lengths([1], [-1]), tf.errors.InvalidArgumentError, "x >= 0"),
    (lambda: Ragged.from_value_rowids([1], [0, 0]), ValueError, "are incompatible"),
    (lambda: Ragged.from_value_rowids([1], [3], 2), ValueError, "Expected nrows >= value_rowids"),
    (lambda: Ragged.from_value_rowids([1], [0], -1), ValueError, "Expected nrows >= 0; got -1"),
    (lambda: Ragged.from_uniform_row_length([1], -1), ValueError, "must be >= 0"),
    (lambda: Ragged.from_uniform_row_length([1], 0), ValueError, "must equal nvals=1"),
    (lambda: Ragged.from_nested_row_splits([1], tf.constant([[0]])), TypeError, "must be a list"),
    (
        lambda: Ragged.from_nested_value_rowids([1], [[0]], [1, 2]),
        ValueError,
        "must have the same length",
    ),
    (
        lambda: Ragged.from_row_splits(tf.ragged.constant([[1]]), np.int32([0, 1])).with_values(
            tf.ragged.constant([[1]])
        ),
        ValueError,
        "must have same dtype|mismatched row_splits dtypes",
    ),
    (lambda: bool(tf.ragged.constant([[1]])), TypeError, "may not be used as a boolean"),
    (lambda: tf.ragged.constant([[1]]).to_list(), ValueError, "eager mode"),
    (lambda: tf.ragged.constant([[1]]).row_lengths(5), ValueError, "expected -2<=axis<2"),
    (lambda: tf.ragged.constant([[1]]).merge_dims(1, 0), ValueError, "to be less than or equal"),
    (lambda: tf.ragged.constant([[1], 2]), ValueError, "the same nesting depth"),
    (lambda: tf.ragged.constant([[1], [[]]]), ValueError, "empty list nesting is greater"),
    (lambda: tf.ragged.constant([[1]], ragged_rank=-1), ValueError, "must be nonnegative"),
    (lambda: tf.ragged.constant([[[1]], [[1, 2]]], ragged_rank=1), ValueError, "inconsistent"),
    (lambda: tf.ragged.constant(tf.ragged.constant([[1]])), TypeError, "may not be a Ragged"),
    (lambda: tf.ragged.RaggedTensorValue([1], np.array([0])), TypeError, "must be a numpy array"),
    (lambda: tf.ragged.row_splits_to_segment_ids(np.int64([])), ValueError, "Invalid row_splits"),
]


@pytest.mark.parametrize(("make", "error", "text"), REFUSED)
def test_what_is_refused_at_once(fresh_graph, make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_parts(fresh_graph):
    ragged = tf.ragged.constant([[[1, 2], []], [], [[3], []]])
    assert ragged.ragged_rank == 2
    assert ragged.values.ragged_rank == 1
    assert ragged.flat_values is ragged.values.values
    assert ragged.nested_row_splits == (ragged.row_splits, ragged.values.row_splits)
    assert ragged.dtype is tf.int32
    assert ragged.consumers() == []
    assert str(ragged) == (
        "tf.RaggedTensor(values=tf.RaggedTensor("
        'values=Tensor("RaggedConstant/values:0", shape=(3,), dtype=int32), '
        'row_splits=Tensor("RaggedConstant/Const:0", shape=(5,), dtype=int64)), '
        'row_splits=Tensor("RaggedConstant/Const_1:0", shape=(4,), dtype=int64))'
    )
    assert not hasattr(ragged, "to_tensor")
    assert ragged.with_row_splits_dtype(tf.int64) is ragged
    narrow = ragged.with_row_splits_dtype(tf.int32)
    assert {splits.dtype for splits in narrow.nested_row_splits} == {tf.int32}
    assert tf.Session().run(narrow.with_flat_values([4, 5, 6])).to_list() == [
        [[4, 5], []],
        [],
        [[6], []],
    ]


def test_uniform_rows(fresh_graph):
    inner = tf.ragged.constant([[1], [2, 3], [], [4]])
    ragged = Ragged.from_uniform_row_length(inner, 2)
    assert ragged.shape.as_list() == [2, 2, None]
    assert tf.Session().run(ragged).to_list() == [[[1], [2, 3]], [[], [4]]]
    assert tf.Session().run(ragged.uniform_row_length) == 2
    empty = Ragged.from_uniform_row_length([], 0, nrows=3)
    assert empty.shape.as_list() == [3, 0]
    assert tf.Session().run(empty).to_list() == [[], [], []]


def test_dense_inner_dimensions(fresh_graph):
    ragged = tf.ragged.constant([[[1, 2]], [[3, 4], [5, 6]]], ragged_rank=1)
    assert ragged.shape.as_list() == [2, None, 2]
    results = [
        *(ragged.row_lengths(2), ragged.bounding_shape(), ragged.bounding_shape(axis=[1, 2])),
        *(ragged.merge_dims(1, 2), ragged.merge_dims(0, 1), ragged.merge_dims(0, 2)),
    ]
    lengths, box, part, rows, values, flat = tf.Session().run(results)
    assert lengths.to_list() == [[2], [2, 2]]
    assert (box.tolist(), part.tolist()) == ([2, 2, 2], [2, 2])
    assert rows.to_list() == [[1, 2], [3, 4, 5, 6]]
    assert values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert flat.tolist() == [1, 2, 3, 4, 5, 6]


@settings(max_examples=40, deadline=None)
@given(rows=LISTS)
def test_splits_and_segments(rows):
    _, arguments = notations(rows)
    (splits,), (rowids, count) = arguments["from_row_splits"], arguments["from_value_rowids"]
    with tf.Graph().as_default():
        found = tf.Session().run(
            [
                tf.ragged.row_splits_to_segment_ids(splits, out_type=tf.int32),
                tf.ragged.segment_ids_to_row_splits(rowids, count),
            ]
        )
    assert found[0].dtype == np.int32
    assert found[0].tolist() == rowids.tolist()
    assert found[1].tolist() == splits.tolist()
