"""Input pipelines of queues: from files to batches, in order, to the end."""

import pytest

import tfsession as tf


def everything(fetches):
    """All that a pipeline gives until its end, and what joining its threads raises."""
    found, error = [], None
    with tf.Session() as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(session, coord)
        try:
            while not coord.should_stop():
                found.append([value.tolist() for value in session.run(fetches)])
        except tf.errors.OutOfRangeError:
            coord.request_stop()
        try:
            coord.join(threads, stop_grace_period_secs=5)
        except tf.errors.OpError as first:
            error = first
    assert not any(thread.is_alive() for thread in threads)
    return found, error


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("".join(f"{i},{i / 2},n{i}\n" for i in range(10)))
    return str(path)


def rows(*paths, **kwargs):
    queue = tf.train.string_input_producer(list(paths), **{"shuffle": False, **kwargs})
    _, line = tf.TextLineReader().read(queue)
    return tf.decode_csv(line, [[0], [0.0], [""]])


def test_batches_of_a_file(fresh_graph, table):
    found, error = everything(tf.train.batch(rows(table, num_epochs=1), 4))
    assert error is None
    assert found == [
        [[i, i + 1, i + 2, i + 3], [j / 2 for j in range(i, i + 4)],
         [b"n%d" % j for j in range(i, i + 4)]]
        for i in (0, 4)
    ]  # fmt: skip


def test_the_last_batch_may_be_smaller(fresh_graph, table):
    batch = tf.train.batch(rows(table, num_epochs=2)[:1], 8, allow_smaller_final_batch=True)
    found, error = everything([batch])
    assert error is None
    assert [len(b) for (b,) in found] == [8, 8, 4]
    assert [n for (b,) in found for n in b] == list(range(10)) * 2


def test_shuffled_batches_hold_every_row_once(fresh_graph, table):
    batch = tf.train.shuffle_batch(
        rows(table, num_epochs=3, shuffle=True), 7, 40, 10, num_threads=3, seed=1,
        allow_smaller_final_batch=True,
    )  # fmt: skip
    found, error = everything(batch)
    assert error is None
    seen = [pair for numbers, _, names in found for pair in zip(numbers, names, strict=True)]
    assert sorted(seen) == sorted([(i, b"n%d" % i) for i in range(10)] * 3)
    assert [n for n, _ in seen] != list(range(10)) * 3


def test_examples_through_a_whole_pipeline(fresh_graph, tmp_path):
    """Written as records, read, parsed, shuffled and batched: the pipeline of many programs."""
    names = []
    for part in range(3):
        names.append(str(tmp_path / f"part-{part}"))
        with tf.python_io.TFRecordWriter(names[-1], "GZIP") as writer:
            for i in range(part * 20, part * 20 + 20):
                pixels = tf.train.BytesList(value=[bytes([i] * 4)])
                feature = {
                    "image": tf.train.Feature(bytes_list=pixels),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    queue = tf.train.string_input_producer(names, num_epochs=2)
    options = tf.python_io.TFRecordOptions(tf.python_io.TFRecordCompressionType.GZIP)
    _, serialized = tf.TFRecordReader(options=options).read(queue)
    parsed = tf.parse_single_example(serialized, {
        "image": tf.FixedLenFeature([], tf.string), "label": tf.FixedLenFeature([], tf.int64),
    })  # fmt: skip
    image = tf.reshape(tf.decode_raw(parsed["image"], tf.uint8), [2, 2])
    images, labels = tf.train.shuffle_batch([image, parsed["label"]], 10, 50, 20, num_threads=2)
    assert images.shape.as_list() == [10, 2, 2]
    found, error = everything([images, labels])
    assert error is None
    pairs = [p for batch in found for p in zip(*batch, strict=True)]
    assert all(pixels == [[label, label], [label, label]] for pixels, label in pairs)
    assert sorted(label for _, label in pairs) == sorted([*range(60), *range(60)])


def test_slices_stay_together(fresh_graph):
    slices = tf.train.slice_input_producer([[1, 2, 3, 4], ["a", "b", "c", "d"]], 2, seed=5)
    found, error = everything(tf.train.batch(slices, 2))
    assert error is None
    pairs = [p for batch in found for p in zip(*batch, strict=True)]
    assert sorted(pairs) == sorted([(1, b"a"), (2, b"b"), (3, b"c"), (4, b"d")] * 2)


def test_dicts_come_out_as_dicts(fresh_graph):
    number = tf.train.range_input_producer(4, 1, shuffle=False).dequeue()
    batch = tf.train.batch({"b": number, "a": number * 10}, 2)
    assert everything([batch["a"], batch["b"]])[0] == [[[0, 10], [0, 1]], [[20, 30], [2, 3]]]
    alone = tf.train.batch({"b": number}, 2)
    assert list(alone) == ["b"]


def test_elements_are_padded(fresh_graph):
    sizes = tf.train.input_producer([1, 4, 2, 3], num_epochs=1, shuffle=False).dequeue()
    padded = tf.train.batch([tf.range(sizes)], 2, dynamic_pad=True)
    assert everything([padded])[0] == [
        [[[0, 0, 0, 0], [0, 1, 2, 3]]],
        [[[0, 1, 0], [0, 1, 2]]],
    ]


def test_only_some_elements_are_kept(fresh_graph):
    number = tf.train.range_input_producer(10, 1, shuffle=False).dequeue()
    even = tf.equal(number % 2, 0)
    kept = tf.train.maybe_batch([number], even, 2, allow_smaller_final_batch=True)
    assert everything([kept])[0] == [[[0, 2]], [[4, 6]], [[8]]]


def test_only_some_rows_are_kept(fresh_graph):
    number = tf.train.range_input_producer(4, 1, shuffle=False).dequeue()
    rows = tf.stack([number, number + 10, number + 20])
    kept = tf.train.maybe_batch([rows], rows > 10, 4, enqueue_many=True)
    assert everything([kept])[0] == [[[20, 11, 21, 12]]]


@pytest.mark.parametrize("shuffled", [False, True])
def test_joined_batches_hold_all(fresh_graph, shuffled):
    lists = [[tf.train.range_input_producer(n, 1, shuffle=False).dequeue()] for n in (5, 3)]
    if shuffled:
        batch = tf.train.shuffle_batch_join(lists, 4, 20, 2)
    else:
        batch = tf.train.batch_join(lists, 4)
    found, error = everything([batch])
    assert error is None
    assert sorted(found[0][0] + found[1][0]) == [0, 0, 1, 1, 2, 2, 3, 4]


def test_a_missing_file_is_the_one_error(fresh_graph, table):
    found, error = everything([tf.train.batch(rows(table, "none", num_epochs=1)[:1], 4)])
    assert isinstance(error, tf.errors.NotFoundError)
    assert "none; No such file or directory" in error.message
    assert len(found) <= 2


def test_a_bad_value_is_the_one_error(fresh_graph, tmp_path):
    (tmp_path / "bad").write_text("1,2,3\nx,2,3\n")
    _, error = everything([tf.train.batch(rows(str(tmp_path / "bad"), num_epochs=1)[:1], 4)])
    assert "Field 0 in record 0 is not a valid int32: x" in error.message


def test_no_names_at_all(fresh_graph):
    with pytest.raises(ValueError, match="requires a non-null input tensor"):
        tf.train.string_input_producer([])
    queue = tf.train.string_input_producer(tf.constant([], tf.string))
    found, error = everything([queue.dequeue()])
    assert found == []
    assert "string_input_producer requires a non-null input tensor" in error.message


REFUSED = [
    (lambda x: tf.train.limit_epochs(x, 0), "num_epochs must be > 0 not 0"),
    (lambda x: tf.train.input_producer(tf.placeholder(tf.int32)), "fully defined shape"),
    (lambda x: tf.train.slice_input_producer([]), "Expected at least one tensor in slice_input"),
    (lambda x: tf.train.batch([], 4), r"Expected at least one tensor in batch\(\)"),
    (lambda x: tf.train.batch_join([], 4), "Expected at least one set of tensors"),
    (lambda x: tf.train.batch_join([{"a": x}, {"b": x}], 4), "must have the same keys"),
    (lambda x: tf.train.batch([tf.placeholder(tf.int32)], 4), "Cannot infer Tensor's rank"),
    (lambda x: tf.train.shuffle_batch([x], 4, 10, 10), "must be bigger than min_after_dequeue 10"),
    (lambda x: tf.train.maybe_batch([x], [True], 4), "cannot be a vector when"),
    (lambda x: tf.train.maybe_batch([x], [[True]], 4), "must be 0 or 1 dimensions"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_what_cannot_be_built(fresh_graph, build, message):
    with pytest.raises(ValueError, match=message):
        build(tf.constant([1, 2]))


def test_types_must_agree(fresh_graph):
    with pytest.raises(TypeError, match="Expected types to be consistent: int32 vs"):
        tf.train.batch_join([[tf.constant(1)], [tf.constant(1.0)]], 4)
