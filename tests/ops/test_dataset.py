"""Datasets and iterators in sessions: what belongs to a session, what errors leave behind."""

import gc
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

import tfsession as tf
from tfsession.resources.dataset_groups import ColumnDataset, WindowDataset
from tfsession.testing import simulated_session

# Elements and their order are compared with TensorFlow's in tests/conformance/test_datasets.py.
COVERED = [
    *(
        f"{name}Dataset"
        for name in (
            *("Tensor", "TensorSlice", "Range", "TextLine", "TFRecord", "FixedLengthRecord"),
            *("Generator", "Repeat", "Take", "Skip", "Shard", "Concatenate", "Zip", "Cache"),
            *("Prefetch", "Options", "Shuffle", "ShuffleAndRepeat", "Batch", "PaddedBatch"),
            *("Window", "Map", "ParallelMap", "Filter", "FlatMap", "Interleave"),
            *("ParallelInterleave", "MapAndBatch", "Reduce", "Unbatch", "IgnoreErrors"),
            *("Random", "Unique", "TakeWhile", "Scan", "GroupByWindow", "DirectedInterleave"),
        )
    ),
    *(f"ParallelInterleaveDatasetV{version}" for version in (2, 3, 4)),
    *(f"{n}DatasetV2" for n in ("FixedLengthRecord", "Batch", "PaddedBatch", "ParallelMap")),
    *(
        "DatasetToSingleElement",
        "LegacyParallelInterleaveDatasetV2",
        "CSVDataset",
        "CSVDatasetV2",
        "Iterator",
        "IteratorV2",
        "OneShotIterator",
    ),
    *("MakeIterator", "IteratorGetNext", "IteratorGetNextSync", "IteratorToStringHandle"),
    *("IteratorFromStringHandle", "IteratorFromStringHandleV2"),
]
Dataset = tf.data.Dataset


def elements(dataset):
    element = dataset.make_one_shot_iterator().get_next()
    found = []
    with tf.Session() as sess:
        while True:
            try:
                found.append(sess.run(element))
            except tf.errors.OutOfRangeError:
                return found


def test_a_step_takes_one_element_wherever_it_computes(fresh_graph, device):
    x, y = (
        Dataset.from_tensor_slices((np.arange(4.0), np.ones((4, 2))))
        .batch(2)
        .make_one_shot_iterator()
        .get_next()
    )
    with tf.device(device):
        total = tf.reduce_sum(x[:, None] * y)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as sess:
        assert [sess.run(total), sess.run([total, x])[0]] == [2.0, 10.0]
        with pytest.raises(tf.errors.OutOfRangeError, match="End of sequence"):
            sess.run(total)


def test_each_session_goes_through_by_itself(fresh_graph):
    element = Dataset.range(3).make_one_shot_iterator().get_next()
    with tf.Session() as first, tf.Session() as second:
        assert [first.run(element), first.run(element), second.run(element)] == [0, 1, 0]


def test_training_from_a_dataset(fresh_graph):
    rng = np.random.RandomState(0)
    features = rng.randn(64, 3).astype(np.float32)
    labels = features @ np.array([[1.0], [-2.0], [0.5]], np.float32)
    dataset = Dataset.from_tensor_slices((features, labels)).shuffle(64, seed=1).repeat().batch(16)
    x, y = dataset.make_one_shot_iterator().get_next()
    loss = tf.reduce_mean(tf.square(tf.layers.dense(x, 1) - y))
    train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for _ in range(100):
            sess.run(train)
        assert sess.run(loss) < 1e-3


def test_threads_share_an_iterator_without_losing_an_element(fresh_graph):
    element = Dataset.range(2000).map(lambda x: x + 1).make_one_shot_iterator().get_next()
    found = []
    with tf.Session() as sess:
        run = sess.make_callable(element)

        def work():
            try:
                while True:
                    found.append(run())
            except tf.errors.OutOfRangeError:
                pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(1, 2001))


def test_generators_end_when_nobody_goes_through_any_more(fresh_graph):
    ended = []

    def count():
        try:
            yield from range(100)
        finally:
            ended.append(True)

    iterator = Dataset.from_generator(count, tf.int64, ()).make_initializable_iterator()
    element = iterator.get_next()
    with tf.Session() as sess:
        sess.run(iterator.initializer)
        assert [sess.run(element), sess.run(element)] == [0, 1]
        sess.run(iterator.initializer)
        gc.collect()
        assert ended == [True]
        assert sess.run(element) == 0


@pytest.mark.parametrize(
    ("yielded", "text"),
    [
        ((1, 2), "element of shape"),
        ("a", "could not be converted to the expected type"),
        ([1, 2], "element of shape"),
    ],
)
def test_a_generator_is_held_to_what_it_promised(fresh_graph, yielded, text):
    dataset = Dataset.from_generator(lambda: iter([3, yielded, 4]), tf.int64, ())
    element = dataset.make_one_shot_iterator().get_next()
    with tf.Session() as sess:
        assert sess.run(element) == 3
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            sess.run(element)
        assert sess.run(element) == 4


def test_an_error_in_one_element_leaves_the_others(fresh_graph):
    checked = Dataset.range(4).map(
        lambda x: tf.check_numerics(1.0 / tf.cast(x - 1, tf.float32), "not a number")
    )
    element = checked.make_one_shot_iterator().get_next()
    with tf.Session() as sess:
        assert sess.run(element) == -1.0
        with pytest.raises(tf.errors.InvalidArgumentError, match="not a number") as caught:
            sess.run(element)
        assert "test_dataset.py" in str(caught.value)
        assert sess.run(element) == 1.0


def test_a_cache_is_filled_once(fresh_graph):
    calls = []
    dataset = Dataset.range(3).map(
        lambda x: tf.py_func(lambda v: calls.append(v) or v, [x], tf.int64)
    )
    assert elements(dataset.cache().repeat(3)) == [0, 1, 2] * 3
    assert calls == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((3, 2, 1, True), [[0, 1, 2], [2, 3, 4]]),
        ((3, 2, 1, False), [[0, 1, 2], [2, 3, 4], [4, 5]]),
        ((2, 4, 2, False), [[0, 2], [4]]),
        ((1, 3, 1, False), [[0], [3]]),
    ],
)
def test_windows(fresh_graph, settings, expected):
    windows = WindowDataset(ColumnDataset(range(6)), *settings)
    assert [[value for (value,) in window] for (window,) in windows] == expected
    # The operation: what it gives are datasets.
    inputs = [Dataset.range(6)._variant_tensor, *(tf.constant(n, tf.int64) for n in settings[:3])]
    attrs = {"output_types": [tf.variant], "output_shapes": [[]]}
    op = fresh_graph.create_op("WindowDataset", [*inputs, tf.constant(settings[3])], attrs=attrs)
    with tf.Session() as sess:
        sess.run(op)


def prefetching():
    return [t for t in threading.enumerate() if t.name == "DatasetPrefetch"]


def until(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def slowly(made, fails=()):
    def make(value):
        time.sleep(0.001)
        made.append(int(value))
        if value in fails:
            raise ValueError("no such element")
        return value

    return lambda x: tf.py_func(make, [x], tf.int64)


def test_elements_are_made_ahead_by_a_thread_that_ends_with_the_session(fresh_graph):
    made = []
    iterator = Dataset.range(100).map(slowly(made)).prefetch(5).make_initializable_iterator()
    element = iterator.get_next()
    with tf.Session() as sess:
        sess.run(iterator.initializer)
        assert [sess.run(element) for _ in range(4)] == [0, 1, 2, 3]
        assert until(lambda: len(made) == 9)  # so many, and no more
        time.sleep(0.02)
        assert len(made) == 9
        sess.run(iterator.initializer)
        assert until(lambda: not prefetching())
        assert [sess.run(element) for _ in range(100)] == list(range(100))
        with pytest.raises(tf.errors.OutOfRangeError):
            sess.run(element)
        assert until(lambda: not prefetching())
        sess.run(iterator.initializer)
        assert [sess.run(element) for _ in range(3)] == [0, 1, 2]
        assert prefetching()
    assert until(lambda: not prefetching(), 1)


def test_an_error_ahead_comes_at_its_element(fresh_graph):
    dataset = Dataset.range(8).map(slowly([], fails=[4])).prefetch(3)
    element = dataset.make_one_shot_iterator().get_next()
    with tf.Session() as sess:
        for expected in (0, 1, 2, 3, None, 5, 6, 7):
            if expected is None:
                with pytest.raises(tf.errors.InvalidArgumentError, match="no such element"):
                    sess.run(element)
            else:
                assert sess.run(element) == expected
        with pytest.raises(tf.errors.OutOfRangeError):
            sess.run(element)
    assert until(lambda: not prefetching(), 1)


class Gate:
    """A function of the graph that gives what it takes; each value waits until it may go."""

    def __init__(self):
        self.allowed, self._changed = 0, threading.Condition()

    def allow(self, count):
        with self._changed:
            self.allowed += count
            self._changed.notify_all()

    def _pass(self, value):
        time.sleep(0.001)
        with self._changed:
            self._changed.wait_for(lambda: self.allowed > value, 20)
        return value

    def __call__(self, value):
        value = tf.py_func(self._pass, [value], tf.int64)
        value.set_shape([])
        return value


WAITING = {
    "ahead": (lambda dataset: dataset.prefetch(2), lambda n: n),
    "in a batch": (
        lambda dataset: dataset.prefetch(2).batch(3),
        lambda n: [3 * n + i for i in range(3)],
    ),
    "beside another": (
        lambda dataset: Dataset.zip((Dataset.range(99), dataset.prefetch(2))),
        lambda n: (n, n),
    ),
    "through a function": (lambda dataset: dataset.prefetch(2).map(lambda x: x + 0), lambda n: n),
}


@pytest.mark.parametrize(("transform", "expected"), WAITING.values(), ids=WAITING)
def test_a_wait_for_an_element_ends_in_time_and_loses_nothing(fresh_graph, transform, expected):
    gate = Gate()
    element = transform(Dataset.range(99).map(gate)).make_one_shot_iterator().get_next()
    soon = tf.RunOptions(timeout_in_ms=20)
    with tf.Session() as sess:
        gate.allow(7)
        given = [sess.run(element) for _ in range(2)]
        for _ in range(5):
            with suppress(tf.errors.DeadlineExceededError):
                given.append(sess.run(element, options=soon))
        with pytest.raises(tf.errors.DeadlineExceededError):
            while True:
                given.append(sess.run(element, options=soon))
        gate.allow(99)
        given += [sess.run(element) for _ in range(3)]
        assert list(map(plain, given)) == [expected(n) for n in range(len(given))]


def plain(value):
    """Without NumPy."""
    return tuple(map(plain, value)) if isinstance(value, tuple) else value.tolist()


def test_a_closed_session_ends_who_waits_for_an_element(fresh_graph):
    """One waits for a thread ahead, one for its turn, one for a queue within a function."""
    gate, queue = Gate(), tf.FIFOQueue(9, tf.int64, [[]])
    element = Dataset.range(99).map(gate).prefetch(2).make_one_shot_iterator().get_next()
    other = Dataset.range(9).map(lambda x: queue.dequeue()).make_initializable_iterator()
    taken, ended = other.get_next(), []
    gate.allow(4)
    sess = tf.Session()
    sess.run(other.initializer)

    def take(fetch):
        try:
            while True:
                sess.run(fetch)
        except Exception as error:
            ended.append(error)

    threads = [threading.Thread(target=take, args=(x,)) for x in (element, element, taken)]
    for thread in threads:
        thread.start()
    assert until(lambda: bool(prefetching()))
    time.sleep(0.02)
    assert not ended
    sess.close()
    for thread in threads:
        thread.join(10)
    assert [type(error) for error in ended] == [tf.errors.CancelledError] * 3
    gate.allow(99)
    assert until(lambda: not prefetching())


@pytest.mark.parametrize("shot", ["make_one_shot_iterator", "make_initializable_iterator"])
def test_elements_are_copied_to_a_device_ahead_of_the_step(fresh_graph, shot):
    arrays = np.arange(40, dtype=np.float32).reshape(10, 4)
    dataset = Dataset.from_tensor_slices((arrays, np.arange(10))).batch(2)
    dataset = dataset.apply(tf.data.experimental.prefetch_to_device("/gpu:0", 2))
    iterator = getattr(dataset, shot)()
    x, number = iterator.get_next()
    with tf.device("/gpu:0"):
        total = tf.reduce_sum(x)
    with simulated_session(gpus=1) as sess:
        if shot == "make_initializable_iterator":
            sess.run(iterator.initializer)
        counting = sess.counting()
        assert sess.run(total) == arrays[:2].sum()
        assert until(lambda: counting["/gpu:0"].host_to_device >= 6)  # of two steps ahead
        before = counting["/gpu:0"].host_to_device
        assert sess.run([total, number])[0] == arrays[2:4].sum()
        assert [sess.run(total) for _ in range(3)] == [arrays[i : i + 2].sum() for i in (4, 6, 8)]
        assert counting["/gpu:0"].host_to_device == 10
        assert before < 10
        with pytest.raises(tf.errors.OutOfRangeError):
            sess.run(total)
    assert until(lambda: not prefetching(), 1)


def test_a_device_that_is_not_there_is_no_reason_to_fail(fresh_graph):
    to_device = tf.data.experimental.prefetch_to_device
    for device in ("/gpu:7", "/cpu:0"):
        assert elements(Dataset.range(3).apply(to_device(device))) == [0, 1, 2]


REFUSED = {
    "iterating": (lambda: iter(Dataset.range(3)), RuntimeError, "eager execution"),
    "no generator": (lambda: Dataset.from_generator(3, tf.int32), TypeError, "callable"),
    "no types": (lambda: Dataset.from_generator(iter, None), TypeError, "output_types"),
    "a predicate": (lambda: Dataset.range(3).filter(lambda x: x), ValueError, "tf.bool"),
    "a flat map": (lambda: Dataset.range(3).flat_map(lambda x: x), TypeError, "`Dataset` object"),
    "other types": (
        lambda: Dataset.range(3).concatenate(Dataset.from_tensors(1.0)),
        TypeError,
        "Incompatible types",
    ),
    "a list to zip": (lambda: Dataset.zip([Dataset.range(1)]), TypeError, "tuple or a dict"),
    "what is no dataset": (lambda: Dataset.range(1).apply(lambda d: 3), TypeError, "must return"),
    "an unknown rank": (
        lambda: Dataset.from_generator(iter, tf.int32).padded_batch(2),
        ValueError,
        "ranks are not known",
    ),
    "no initializer": (
        lambda: Dataset.range(3).make_one_shot_iterator().initializer,
        ValueError,
        "does not have an initializer",
    ),
    "a placeholder": (
        lambda: Dataset.range(tf.placeholder(tf.int64, [])).make_one_shot_iterator(),
        ValueError,
        "make_initializable_iterator",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(fresh_graph, name):
    build, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        build()


def test_a_handle_of_nothing(fresh_graph):
    iterator = tf.data.Iterator.from_string_handle("nobody", tf.int64, ())
    with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError, match="no iterator"):
        sess.run(iterator.get_next())


def test_options_are_taken(fresh_graph):
    options = tf.data.Options()
    options.experimental_threading.private_threadpool_size = 3
    assert elements(Dataset.range(2).with_options(options)) == [0, 1]


def test_an_element_too_long_for_its_bucket(fresh_graph):
    rows = Dataset.from_tensor_slices([1, 9, 2]).map(lambda n: tf.fill([n], n))
    bucket = tf.data.experimental.bucket_by_sequence_length(
        tf.size, [4], [2, 2], pad_to_bucket_boundary=True
    )
    element = rows.apply(bucket).make_one_shot_iterator().get_next()
    with tf.Session() as sess:
        assert sess.run(element).tolist() == [[1, 0, 0], [2, 2, 0]]
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"max\(bucket_boundaries\)"):
            sess.run(element)


def test_choices_are_of_one_kind_of_elements(fresh_graph):
    with pytest.raises(TypeError, match="compatible element types"):
        tf.data.experimental.sample_from_datasets([Dataset.range(3), Dataset.from_tensors("a")])
    with pytest.raises(TypeError, match="one of int32, int64 and string"):
        Dataset.from_tensors(1.0).unique()


def test_shares_of_classes_by_a_method(fresh_graph):
    dataset = Dataset.range(60).rejection_resample(lambda x: x % 3, [0.0, 0.5, 0.5], seed=4)
    classes = [int(found) for found, _ in elements(dataset)]
    assert classes.count(0) < classes.count(1)
    with pytest.raises(NotImplementedError, match="rerandomize_each_iteration"):
        Dataset.sample_from_datasets([dataset, dataset], rerandomize_each_iteration=True)


def test_partial_runs_wait_for_elements(fresh_graph):
    """Here for a queue, within a function."""
    queue, fed = tf.FIFOQueue(9, tf.int64, [[]]), tf.placeholder(tf.int64, [])
    iterator = Dataset.range(9).map(lambda x: x + queue.dequeue()).make_initializable_iterator()
    total = iterator.get_next() + fed
    put = queue.enqueue(100)
    with tf.Session() as sess:
        sess.run(iterator.initializer)
        later = threading.Timer(0.05, lambda: sess.run(put))
        later.start()
        run = sess.partial_run_setup([total], [fed])
        assert sess.partial_run(run, total, {fed: 1}) == 101
        later.join()


def test_a_wait_within_a_function_ends_in_time(fresh_graph):
    queue = tf.FIFOQueue(9, tf.int64, [[]])
    dataset = Dataset.range(9).map(lambda x: x + queue.dequeue())
    iterator = dataset.batch(2).make_initializable_iterator()
    element = iterator.get_next()
    with tf.Session() as sess:
        sess.run([iterator.initializer, queue.enqueue(100)])
        for _ in range(2):
            with pytest.raises(tf.errors.DeadlineExceededError):
                sess.run(element, options=tf.RunOptions(timeout_in_ms=20))
        sess.run(queue.enqueue_many([[100, 100, 100]]))
        assert [sess.run(element).tolist() for _ in range(2)] == [[100, 101], [102, 103]]


@pytest.mark.parametrize(
    ("columns", "defaults", "expected"),
    [
        ({"exclude_cols": [1]}, [0, 0.5], [(1, 2.5), (0, 0.5)]),
        ({"select_cols": [1]}, [""], [(b"a",), (b"c",)]),
        ({"exclude_cols": [7]}, [0, "", 0.5], [(1, b"a", 2.5), (0, b"c", 0.5)]),
        ({"select_cols": [0], "exclude_cols": [1]}, [0], "Either select_cols or exclude_cols"),
        ({"exclude_cols": [2, 1]}, [0], "strictly increasing"),
    ],
)
def test_columns_of_comma_separated_values(fresh_graph, tmp_path, columns, defaults, expected):
    path = tmp_path / "table.csv"
    path.write_text("1,a,2.5\n,c,\n")
    dataset = tf.data.experimental.CsvDataset([str(path)], defaults, **columns)
    element = tf.data.make_one_shot_iterator(dataset).get_next()
    with tf.Session() as session:
        if isinstance(expected, str):
            with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
                session.run(element)
        else:
            assert [session.run(element) for _ in expected] == expected
