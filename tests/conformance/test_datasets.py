"""Datasets under real TensorFlow and here: elements and their order, types, shapes, errors."""

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.spec("datasets")]

PRELUDE = """
import tempfile
import numpy as np

tf.set_random_seed(7)
D, R = tf.data.Dataset, tf.data.Dataset.range
experimental = tf.data.experimental


FEATURES = {
    "number": tf.FixedLenFeature([], tf.float32, 0.5),
    "some": tf.FixedLenFeature([2], tf.int64),
    "any": tf.VarLenFeature(tf.string),
    "sequence": tf.FixedLenSequenceFeature([2], tf.float32, allow_missing=True),
}


def example(number):
    feature = {
        "some": tf.train.Feature(int64_list=tf.train.Int64List(value=[number, -number])),
        "any": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"] * (number % 3))),
    }
    if number % 4:
        of = tf.train.FloatList(value=[number])
        feature["number"] = tf.train.Feature(float_list=of)
        of = tf.train.FloatList(value=range(number // 4 * 2))
        feature["sequence"] = tf.train.Feature(float_list=of)
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()


CACHE = tempfile.mkdtemp() + "/cache"
SPARSE = tf.SparseTensor([[0, 1], [2, 2], [2, 4]], [1, 2, 3], [4, 5])
TEXTS = [example(number) for number in range(12)]
EXAMPLES = D.from_tensor_slices(TEXTS)


def parsed(text):
    found = tf.parse_single_example(text, FEATURES)
    any = tf.sparse_tensor_to_dense(found["any"], "")
    return found["number"], found["some"], tf.size(any), tf.shape(found["sequence"])


def gone_through(dataset, times=2, most=50):
    iterator = tf.data.make_initializable_iterator(dataset)
    element = iterator.get_next()
    found = []
    with tf.Session() as session:
        for _ in range(times):
            session.run(iterator.initializer)
            for _ in range(most):
                try:
                    found.append(session.run(element))
                except tf.errors.OutOfRangeError:
                    found.append("end")
                    break
    return [str(dataset.output_types), str(dataset.output_shapes), found]
"""

DATASETS = {
    "slices of a dict": (
        "D.from_tensor_slices({'a': np.arange(6.0), 'b': np.ones([6, 2])}).batch(4)"
    ),
    "tensors": "D.from_tensors((1, tf.constant(['a', 'b']))).repeat(2)",
    "map and filter": (
        "D.from_tensor_slices({'a': np.arange(6.0), 'b': np.arange(6)})"
        ".map(lambda x: (x['a'] * 2, x['b']), num_parallel_calls=2).filter(lambda a, b: a > 1)"
    ),
    "shuffle": "R(10).shuffle(4, seed=3)",
    "shuffle by the graph's seed": "R(10).shuffle(4)",
    "shuffle all": "R(10).shuffle(40, seed=3)",
    "shuffle and repeat": "R(7).shuffle(3, seed=1).repeat(3).batch(4, drop_remainder=True)",
    "shuffle once": "R(10).shuffle(40, seed=3, reshuffle_each_iteration=False).repeat(2)",
    "fused shuffle and repeat": "R(5).apply(experimental.shuffle_and_repeat(3, 3, seed=5))",
    "flat_map": "R(5).flat_map(lambda x: R(x))",
    "interleave": "R(1, 6).interleave(lambda x: D.from_tensors(x).repeat(x), 2, 2)",
    "interleave of one": "R(4).interleave(lambda x: R(x), cycle_length=1)",
    "interleave of many": "R(1, 4).interleave(lambda x: R(x), cycle_length=7, block_length=3)",
    "map and batch": "R(5).apply(experimental.map_and_batch(lambda x: x + 1, 2))",
    "zip": "D.zip((R(3), {'x': R(4).map(lambda x: tf.cast(x, tf.float32))}))",
    "shard, skip, take": "R(10).shard(3, 1).concatenate(R(2)).skip(1).take(4).cache().prefetch(2)",
    "cache": "R(3).map(lambda x: x * x).cache().repeat(2)",
    "padded batch": "R(6).map(lambda x: tf.fill([x], x)).padded_batch(3, [None])",
    "padded batch of pairs": (
        "R(6).map(lambda x: (tf.fill([x], x), x)).padded_batch(4, ([8], []), padding_values="
        "(tf.constant(-1, tf.int64), tf.constant(0, tf.int64)))"
    ),
    "padded too small": "R(6).map(lambda x: tf.fill([x], x)).padded_batch(3, [1])",
    "generator": (
        "D.from_generator(lambda: iter([(1, 'a'), (2, 'b')]), (tf.int32, tf.string), ((), ()))"
    ),
    "generator with arguments": (
        "D.from_generator(lambda n: range(n), tf.int64, args=(tf.constant(3),))"
        ".map(lambda x: x * x)"
    ),
    "texts mapped twice": (
        "D.from_tensor_slices(['a b', 'c']).map(lambda x: x)"
        ".map(lambda x: tf.string_split([x]).values)"
    ),
    "examples parsed one by one, shuffled": "EXAMPLES.map(parsed).shuffle(5, seed=2).batch(4)",
    "examples parsed by batches": (
        "EXAMPLES.batch(4).map(lambda x: tf.parse_example(x, FEATURES)['number'])"
    ),
    "what is parsed, used": "EXAMPLES.map(lambda x: parsed(x)[0] * 2.0).take(7).batch(3)",
    "examples of which one is damaged": (
        "D.from_tensor_slices([*TEXTS[:4], b'?', *TEXTS[4:]]).map(parsed).batch(3).take(1)"
    ),
    "slices, moved": (
        "D.from_tensor_slices((np.arange(20), np.ones([20, 2]))).shard(2, 1).skip(1).repeat(2)"
        ".shuffle(4, seed=1).take(15).batch(4)"
    ),
    "slices of texts": "D.from_tensor_slices(['a', 'b', 'c']).shuffle(5, seed=3).repeat().take(5)",
    "windows": "R(7).window(3, 2).flat_map(lambda part: part.batch(3))",
    "windows of pairs": (
        "D.zip((R(6), R(6).map(lambda x: x * x))).window(4, 1, 1, True)"
        ".flat_map(lambda a, b: D.zip((a.batch(4), b.skip(1).batch(4))))"
    ),
    "windows of dicts": (
        "D.from_tensor_slices({'a': np.arange(5.0)}).window(2, stride=2, shift=1)"
        ".flat_map(lambda part: part['a'].repeat(2))"
    ),
    "unbatch": "D.from_tensor_slices((np.arange(6).reshape(3, 2), np.ones([3, 2, 4]))).unbatch()",
    "take_while": "R(10).apply(experimental.take_while(lambda x: x < 4))",
    "ignore_errors": (
        "R(5).map(lambda x: tf.check_numerics(1.0 / tf.cast(x - 2, tf.float32), 'bad'))"
        ".apply(experimental.ignore_errors())"
    ),
    "scan": "R(6).apply(experimental.scan(np.int64(1), lambda s, x: (s + x, (s * x, x))))",
    "group by window": (
        "R(17).apply(experimental.group_by_window(lambda x: x % 3, lambda k, part: part.batch(4)"
        ".map(lambda x: (k, x)), window_size=4))"
    ),
    "group by window of sizes": (
        "R(17).apply(experimental.group_by_window(lambda x: x % 2, lambda k, part: part.batch(9),"
        " window_size_func=lambda k: k + 2))"
    ),
    "buckets": (
        "R(20).map(lambda x: tf.fill([x * 7 % 10], x)).apply("
        "experimental.bucket_by_sequence_length(lambda x: tf.size(x), [3, 6], [4, 3, 2]))"
    ),
    "chosen": (
        "experimental.choose_from_datasets([R(3), R(10, 14), R(20, 29)],"
        " R(12).map(lambda x: (x * x) % 3))"
    ),
    "counted": "experimental.Counter(3, 2).take(4)",
    "kept in a file": "R(5).map(lambda x: (x, ['t'] * 2)).cache(CACHE).repeat(2).batch(3)",
    "sparse ones kept in a file": "D.from_tensor_slices(SPARSE).cache(CACHE).batch(3)",
    "nothing, kept in a file": "R(0).cache(CACHE)",
    "sparse": "D.from_tensors({'s': SPARSE, 'd': 1}).repeat(2)",
    "a sparse value": (
        "D.from_tensors(tf.SparseTensorValue(np.array([[0], [2]]), np.ones(2), np.array([3])))"
    ),
    "sparse slices": "D.from_tensor_slices((SPARSE, np.arange(4)))",
    "sparse batches": "D.from_tensor_slices((SPARSE, np.arange(4))).batch(3)",
    "sparse batches of batches": "D.from_tensor_slices(SPARSE).batch(2).batch(2, True)",
    "sparse features": (
        "EXAMPLES.map(lambda t: {k: v for k, v in tf.parse_single_example(t, FEATURES).items()"
        " if k != 'sequence'}).shuffle(4, seed=1).batch(5)"
    ),
    "sparse features of batches": (
        "EXAMPLES.batch(5).map(lambda t: tf.parse_example(t, FEATURES)['any']).prefetch(2)"
    ),
    "sparse rows of batches": (
        "EXAMPLES.batch(5).map(lambda t: (t, tf.parse_example(t, FEATURES)['any'])).unbatch()"
    ),
    "sparse, filtered and kept": (
        "EXAMPLES.map(lambda t: tf.parse_single_example(t, FEATURES)['any'])"
        ".filter(lambda s: tf.size(s.values) > 0).cache()"
    ),
    "sparse ones of various sizes": (
        "R(1, 4).map(lambda x: tf.SparseTensor([[0]], [x], [x])).batch(2)"
    ),
    "sparse ones after others": (
        "D.zip((R(3), D.from_tensor_slices(SPARSE))).concatenate(D.zip((R(3), "
        "D.from_tensor_slices(tf.SparseTensor([[0, 1], [2, 2]], [1, 2], [3, 9])))))"
    ),
    "sparse ones in turn": (
        "R(3).interleave(lambda x: D.from_tensor_slices("
        "tf.SparseTensor([[0, 1], [2, 2]], tf.stack([x, x]), [3, 4])), 2)"
    ),
    "sparse windows": "D.from_tensor_slices(SPARSE).window(2).flat_map(lambda d: d.batch(2))",
    "a sparse state": (
        "D.from_tensors(D.from_tensor_slices(SPARSE).reduce("
        "tf.SparseTensor([[1]], [5], [5]), lambda s, x: tf.sparse_add(s, x)))"
    ),
    "sparse and dense": (
        "D.from_tensor_slices(SPARSE).map(lambda s: (s, tf.sparse_tensor_to_dense(s)))"
    ),
    "slices of various sizes": "D.from_tensor_slices((np.zeros(3), np.zeros(4)))",
    "slices of a scalar": "D.from_tensor_slices(1)",
}


@pytest.mark.parametrize("name", DATASETS)
def test_elements(assert_same, name):
    assert_same(PRELUDE, f"out = gone_through({DATASETS[name]})")


# What goes wrong in one element is told, and the next one comes.
FAILING = {
    "in a function": (
        "R(5).map(lambda x: tf.check_numerics(1.0 / tf.cast(x - 2, tf.float32), 'bad'))",
        "InvalidArgumentError",
    ),
    "in a batch": ("R(6).map(lambda x: tf.fill([x // 2], x)).batch(3)", "InvalidArgumentError"),
    "in what is parsed": (
        "D.from_tensor_slices([*TEXTS[:4], b'?', *TEXTS[4:6]]).map(parsed).batch(2)",
        "InvalidArgumentError",
    ),
    "in what is shuffled": (
        "D.from_tensor_slices([*TEXTS[:4], b'?', *TEXTS[4:9]]).map(parsed).shuffle(3, 1).batch(2)",
        "InvalidArgumentError",
    ),
    "of size 0": ("R(5).batch(0)", "InvalidArgumentError"),
    "in a generator": (
        "D.from_generator(lambda: iter([1, 'a', 3]), tf.int32)",
        "InvalidArgumentError",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_errors(assert_same, name):
    dataset, _ = FAILING[name]
    program = f"""
iterator = tf.data.make_initializable_iterator({dataset})
element = iterator.get_next()
out = []
with tf.Session() as session:
    for fetch in [iterator.initializer, *[element] * 7]:
        try:
            out.append(session.run(fetch))
        except tf.errors.OpError as error:
            out.append(type(error).__name__)
"""
    assert_same(PRELUDE, program)


ITERATORS = {
    "one shot": """
element = tf.data.make_one_shot_iterator(R(3).map(lambda x: x * x).batch(2)).get_next()
out = []
with tf.Session() as session:
    for _ in range(3):
        try:
            out.append(session.run(element))
        except tf.errors.OutOfRangeError as error:
            out.append(type(error).__name__)
    out.append([op.type for op in tf.get_default_graph().get_operations() if "Iter" in op.type])
""",
    "one shot of a variable": """
v = tf.Variable(3, dtype=tf.int64)
try:
    out = tf.data.make_one_shot_iterator(R(3).map(lambda x: x * v))
except ValueError as error:
    out = "Cannot capture" in str(error), "make_initializable_iterator" in str(error)
""",
    "before its initializer": """
element = tf.data.make_initializable_iterator(R(3)).get_next()
with tf.Session() as session:
    try:
        session.run(element)
    except tf.errors.FailedPreconditionError as error:
        out = error.message.split("\\n")[0]
""",
    "of a variable": """
v = tf.get_variable("v", initializer=tf.constant(3, tf.int64), use_resource=True)
iterator = tf.data.make_initializable_iterator(R(3).map(lambda x: x * v))
element = iterator.get_next()
with tf.Session() as session:
    session.run(v.initializer)
    session.run(iterator.initializer)
    out = [session.run(element) for _ in range(3)]
""",
    "of a placeholder": """
n = tf.placeholder(tf.int64, [])
iterator = tf.data.make_initializable_iterator(R(n).batch(2))
element = iterator.get_next()
out = []
with tf.Session() as session:
    for size in (3, 2):
        session.run(iterator.initializer, {n: size})
        out.append(session.run(element))
""",
    "for two datasets": """
train, test = R(2).map(lambda x: x + 1), R(10, 12)
iterator = tf.data.Iterator.from_structure(tf.data.get_output_types(train), ())
element = iterator.get_next()
inits = [iterator.make_initializer(d) for d in (train, test)]
out = []
with tf.Session() as session:
    for init in inits:
        session.run(init)
        out += [session.run(element), session.run(element)]
""",
    "by its handle": """
handle = tf.placeholder(tf.string, [])
iterators = [tf.data.make_one_shot_iterator(R(2)), tf.data.make_initializable_iterator(R(5, 9))]
fed = tf.data.Iterator.from_string_handle(handle, tf.int64, ())
element = fed.get_next()
out = []
with tf.Session() as session:
    session.run(iterators[1].initializer)
    texts = [session.run(iterator.string_handle()) for iterator in iterators]
    for i in (0, 1, 1, 0, 1):
        out.append(session.run(element, {handle: texts[i]}))
""",
    "with other types": """
iterator = tf.data.Iterator.from_structure(tf.int64, ())
try:
    iterator.make_initializer(R(3).batch(2).map(lambda x: tf.cast(x, tf.float32)))
except TypeError as error:
    out = type(error).__name__
""",
    "without an initializer": """
try:
    tf.data.make_one_shot_iterator(R(3)).initializer
except ValueError as error:
    out = type(error).__name__
""",
    "read twice in a step": """
iterator = tf.data.make_one_shot_iterator(R(10))
first = iterator.get_next()
with tf.Session() as session:
    out = session.run([first, first + 1, first * 2]), session.run(first)
""",
    "single": """
found = tf.data.experimental.get_single_element(R(3).batch(3))
some = tf.data.experimental.get_single_element(R(3))
with tf.Session() as session:
    out = [session.run(found)]
    try:
        session.run(some)
    except tf.errors.InvalidArgumentError as error:
        out.append(error.message.split(".")[0])
""",
    "reduced": """
total = R(5).reduce(tf.constant(0, tf.int64), lambda state, x: state + x)
with tf.Session() as session:
    out = session.run(total), total.shape.as_list()
""",
}


@pytest.mark.parametrize("name", ITERATORS)
def test_iterators(assert_same, name):
    assert_same(PRELUDE, ITERATORS[name])


def test_files(assert_same, tmp_path):
    program = f"""
import gzip, os
folder = {str(tmp_path)!r}
lines, packed, records, fixed = (os.path.join(folder, n) for n in ("a.txt", "a.gz", "r", "f"))
with open(lines, "w") as file:
    file.write("one\\ntwo\\r\\n\\nthree")
with gzip.open(packed, "wb") as file:
    file.write(b"packed\\nlines\\n")
with tf.python_io.TFRecordWriter(records) as writer:
    for text in (b"a", b"", b"ccc"):
        writer.write(text)
with open(fixed, "wb") as file:
    file.write(b"HEAD" + b"aabbcc" + b"F")
out = [
    gone_through(tf.data.TextLineDataset([lines, lines])),
    gone_through(tf.data.TextLineDataset(packed, "GZIP")),
    gone_through(tf.data.TFRecordDataset([records]).map(lambda r: r + "!")),
    gone_through(tf.data.FixedLengthRecordDataset(fixed, 2, 4, 1)),
    gone_through(D.list_files(os.path.join(folder, "?.txt"), shuffle=False).flat_map(
        tf.data.TextLineDataset).take(2)),
]
for dataset in (tf.data.FixedLengthRecordDataset(fixed, 4), tf.data.TFRecordDataset(fixed),
                tf.data.TextLineDataset(lines + "-")):
    iterator = tf.data.make_initializable_iterator(dataset)
    element = iterator.get_next()
    with tf.Session() as session:
        session.run(iterator.initializer)
        try:
            session.run(element)
        except tf.errors.OpError as error:
            out.append(type(error).__name__)
"""
    assert_same(PRELUDE, program)
