"""Input pipelines: records of a file and rows of arrays, in batches; a step is an epoch."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
import weakref
from typing import Any

import numpy as np

from works.row import Step, works

BATCH, BUFFER = 64, 1000


@functools.cache
def record_file(count: int) -> tuple[str, Any]:
    """A TFRecord file of Examples: a label, 32 floats and 100 bytes each; and its directory."""
    import tfsession as tf

    directory = tempfile.TemporaryDirectory()
    path = os.path.join(directory.name, "examples.tfrecord")  # noqa: PTH118  (TensorFlow takes texts)
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 1, (count, 32)).astype(np.float32)
    with tf.python_io.TFRecordWriter(path) as writer:
        for label in range(count):
            feature = {
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                "numbers": tf.train.Feature(float_list=tf.train.FloatList(value=numbers[label])),
                "data": tf.train.Feature(bytes_list=tf.train.BytesList(value=[rng.bytes(100)])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    return path, directory


def _features(tf: Any) -> dict[str, Any]:
    return {
        "label": tf.FixedLenFeature([], tf.int64),
        "numbers": tf.FixedLenFeature([32], tf.float32),
        "data": tf.FixedLenFeature([], tf.string),
    }


def _epoch(tf: Any, graph: Any, dataset: Any) -> Step:
    """Goes through a dataset; tells how many batches it has, and a sum of all labels."""
    iterator = tf.data.make_initializable_iterator(dataset)
    element = iterator.get_next()
    session = tf.Session(graph=graph)
    step = session.make_callable(element)

    def run() -> Any:
        session.run(iterator.initializer)
        last, batches = None, 0
        try:
            while True:
                last = step()
                batches += 1
        except tf.errors.OutOfRangeError:
            return batches, last["label"], last["numbers"]

    return run


@works(
    {
        "20,000 Examples, parsed one by one": (20_000, False),
        "20,000 Examples, parsed by batches": (20_000, True),
    },
    small={"Examples, one by one": (300, False), "Examples, by batches": (300, True)},
)
def records(tf: Any, count: int, by_batches: bool) -> Step:
    """TFRecords read, parsed, shuffled, in batches."""
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        features = _features(tf)
        dataset = tf.data.TFRecordDataset(record_file(count)[0])
        if by_batches:
            dataset = dataset.shuffle(BUFFER).batch(BATCH)
            dataset = dataset.map(lambda texts: tf.parse_example(texts, features))
        else:
            dataset = dataset.map(lambda text: tf.parse_single_example(text, features))
            dataset = dataset.shuffle(BUFFER).batch(BATCH)
        return _epoch(tf, graph, dataset)


@works(
    {
        "100,000 rows of arrays, shuffled": (100_000, 1000),
        "100,000 rows, shuffled all": (100_000,) * 2,
    },
    small={"rows": (300, 50)},
)
def rows(tf: Any, count: int, buffer: int) -> Step:
    """Rows of arrays, shuffled, in batches."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, 1, (count, 32)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        arrays = {"numbers": numbers, "label": np.arange(count)}
        dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(buffer).batch(BATCH)
        return _epoch(tf, graph, dataset)


@works(
    {
        "4,000 Examples by queues, one thread": (20_000, 4_000, 1),
        "4,000 Examples by queues, four threads": (20_000, 4_000, 4),
    },
    small={"queues": (300, 256, 2)},
)
def queues(tf: Any, count: int, taken: int, threads: int) -> Step:
    """The same through a reader and two queues, whose threads never stop."""
    with tf.Graph().as_default() as graph:
        names = tf.train.string_input_producer([record_file(count)[0]])
        _, text = tf.TFRecordReader().read(names)
        parsed = tf.parse_single_example(text, _features(tf))
        batch = tf.train.shuffle_batch(parsed, BATCH, 3 * BUFFER, BUFFER, num_threads=threads)
        session = tf.Session(graph=graph)
        coordinator = tf.train.Coordinator()
        tf.train.start_queue_runners(session, coordinator)
    step = session.make_callable(batch)

    def run() -> Any:
        for _ in range(taken // BATCH):
            found = step()
        return found["numbers"].shape, found["label"].shape

    def stop() -> None:
        coordinator.request_stop()
        threading.Thread(target=session.close).start()

    weakref.finalize(run, stop)
    return run
