"""Sparse tensors as elements of datasets, in sessions: what is compared with no other library."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import simulated_session

Dataset = tf.data.Dataset


def sparse(count=3):
    places = [[number, number % 2] for number in range(count)]
    return tf.SparseTensor(places, [float(number) for number in range(count)], [count, 4])


def test_what_is_known_of_elements(fresh_graph):
    dataset = Dataset.from_tensor_slices({"s": sparse(), "d": np.arange(3)}).batch(2)
    assert dataset.output_types == {"s": tf.float32, "d": tf.int64}
    assert str(dataset.output_shapes["s"]) == "(?, 4)"
    assert dataset.output_classes == {"s": tf.SparseTensor, "d": tf.Tensor}
    element = dataset.make_one_shot_iterator().get_next()
    assert isinstance(element["s"], tf.SparseTensor)
    assert element["s"].shape.as_list() == [None, 4]
    assert element["s"].indices.shape.as_list() == [None, 2]


def test_iterators_of_a_structure_and_of_a_handle(fresh_graph):
    first, second = (Dataset.from_tensor_slices((sparse(n), np.arange(n))) for n in (2, 3))
    types, shapes, classes = first.output_types, first.output_shapes, first.output_classes
    iterator = tf.data.Iterator.from_structure(types, shapes, output_classes=classes)
    begin = [iterator.make_initializer(dataset) for dataset in (first, second)]
    handle = tf.placeholder(tf.string, [])
    fed = tf.data.Iterator.from_string_handle(handle, types, shapes, classes).get_next()
    other = tf.data.Iterator.from_structure((tf.int32, tf.int64), shapes, output_classes=classes)
    with pytest.raises(TypeError, match="Expected output types"):
        other.make_initializer(first)
    with tf.Session() as session:
        text = session.run(iterator.string_handle())
        for count, initializer in zip((2, 3), begin, strict=True):
            session.run(initializer)
            for number in range(count):
                found, row = session.run(fed, {handle: text})
                assert (found.values.tolist(), row) == ([number], number)
            with pytest.raises(tf.errors.OutOfRangeError):
                session.run(fed, {handle: text})


def test_what_a_program_does_to_an_element_changes_no_other(fresh_graph):
    values = np.arange(3, dtype=np.float32)
    fed = tf.sparse_placeholder(tf.float32, [3])
    iterator = Dataset.from_tensors(fed).cache().repeat(2).make_initializable_iterator()
    element = iterator.get_next()
    changed = tf.scatter_add(tf.Variable(tf.zeros(3)), tf.range(3), element.values)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        feed = tf.SparseTensorValue(np.arange(3)[:, None], values, [3])
        session.run(iterator.initializer, {fed: feed})
        values[:] = 9
        found = session.run([element, changed])[0]
        found.values[:] = 7
        assert session.run(element).values.tolist() == [0, 1, 2]


def test_they_are_used_on_devices(fresh_graph):
    dataset = Dataset.from_tensor_slices(sparse(6)).batch(2)
    dataset = dataset.apply(tf.data.experimental.prefetch_to_device("/gpu:0"))
    iterator = dataset.make_initializable_iterator()
    element = iterator.get_next()
    with tf.device("/gpu:0"):
        total = tf.reduce_sum(tf.sparse_tensor_to_dense(element) * 2.0)
    with simulated_session(gpus=1) as session:
        session.run(iterator.initializer)
        assert [float(session.run(total)) for _ in range(3)] == [2, 10, 18]


def test_they_are_not_padded(fresh_graph):
    with pytest.raises(TypeError, match="padded sparse tensors is not currently supported"):
        Dataset.from_tensor_slices(sparse()).padded_batch(2)
