"""More datasets under real TensorFlow and here: by chance, sorted out, of files of values."""

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.spec("datasets")]

PRELUDE = """
import pathlib, tempfile

tf.set_random_seed(7)
D, R, E = tf.data.Dataset, tf.data.Dataset.range, tf.data.experimental
sample, resample = E.sample_from_datasets, E.rejection_resample
three = [R(9), R(100, 104), R(200, 220)]
where = pathlib.Path(tempfile.mkdtemp())


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


def csv(text, defaults, copies=1, **kwargs):
    path = where / "values.csv"
    path.write_bytes(text)
    dataset = E.CsvDataset([str(path)] * copies, defaults, **kwargs)
    element = tf.data.make_one_shot_iterator(dataset).get_next()
    found = [str(dataset.output_types), str(dataset.output_shapes)]
    with tf.Session() as session:
        for _ in range(9):
            try:
                found.append(session.run(element))
            except tf.errors.OutOfRangeError:
                return found + ["end"]
            except tf.errors.InvalidArgumentError as error:
                words, lines = ("ield", "uote", "select_cols"), error.message.split("\\n")
                found.append([line for line in lines if any(w in line for w in words)][-1])
    return found


def tables(*texts, pattern="t*.csv", times=2, most=6, **kwargs):
    for number, text in enumerate(texts):
        (where / f"t{number}.csv").write_bytes(text)
    dataset = E.make_csv_dataset(str(where / pattern), **kwargs)
    found = gone_through(dataset, times, most)
    return found[:2] + [[str(x).replace("OrderedDict", "dict") for x in found[2]]]


def refused(*args, **kwargs):
    try:
        return tables(*args, **kwargs)
    except ValueError as error:
        return str(error).split(":")[0].split(" should be")[0].split(str(where))[0]


FIRST = b"a,b,c,d,e\\n" + b"".join(b"%d,%d.5,x%d,,%d\\n" % (n, n, n, n * 10**9) for n in range(9))
SECOND = b"a,b,c,d,e\\n" + b"".join(b"%d,,y,,1e50\\n" % n for n in range(100, 105))
i, f, t = tf.int32, tf.float32, tf.string


def third(x, *_):
    return tf.cast(x % 3, tf.int32)


def few(x):
    return tf.cast(tf.minimum(x % 5, 2), tf.int32)


def bucketed(boundaries, sizes, lengths=(1, 3, 2, 5, 4, 2, 6, 1, 3, 4), **kwargs):
    rows = D.from_tensor_slices(list(lengths)).map(lambda n: (tf.fill([n, 2], n), n))
    bucket = E.bucket_by_sequence_length(lambda x, n: n, boundaries, sizes, **kwargs)
    return rows.apply(bucket)
"""

# What goes ahead draws numbers that a second time does not find: then once must do.
DATASETS = {
    "random numbers": "E.RandomDataset(5).take(6).repeat(2)",
    "random numbers by the graph's seed": "E.RandomDataset().take(6)",
    "each but once": "D.from_tensor_slices([3, 1, 3, 2, 1]).apply(E.unique()).repeat(2)",
    "each text but once": "D.from_tensor_slices(['a', 'b', 'a', '']).apply(E.unique())",
    "each row but once": "D.from_tensor_slices([[1, 2], [2, 1], [1, 2]]).apply(E.unique())",
    "one of several by chance": "sample(three, seed=3)",
    "one of several by the graph's seed": "sample(three)",
    "one of several by weights": "sample(three, [0.2, 0.0, 0.8], seed=3)",
    "one of several until one ends": "sample(three, [0.2, 0.3, 0.5], 3, True)",
    "one of one": "sample(three[:1], [0.2])",
    "one of two by a tensor": "sample(three[:2], tf.constant([0.2, 0.8]), 1)",
    "one of two by a dataset": (
        "sample(three[:2], D.from_tensor_slices([[0.9, 0.1], [0.1, 0.9]]).repeat(), 1)"
    ),
    "one of several by a method": "R(0).concatenate(D.sample_from_datasets(three, None, 3, True))",
    "chosen by a method": "R(0).concatenate(D.choose_from_datasets(three, R(3).repeat().take(40)))",
    "random numbers by a method": "R(0).concatenate(D.random(5).take(6))",
    "slices of a sparse tensor": (
        "D.from_sparse_tensor_slices(tf.SparseTensor([[0, 1], [2, 2]], [1, 2], [3, 4]))"
    ),
    "one of none": "sample([])",
    "one of three by one weight": "sample(three, [0.5])",
    "one of three by integers": "sample(three, [1, 2, 3])",
    "other shares of classes": (
        "R(60).apply(resample(third, [0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3], seed=4)), 1"
    ),
    "other shares of classes that are counted": (
        "R(100).apply(resample(few, [0.2, 0.5, 0.3], seed=4)), 1"
    ),
    "a class left out": (
        "R(60).map(lambda x: (x, x * 2))"
        ".apply(resample(third, [0.0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3], seed=4)), 1"
    ),
    "the same shares of classes": "R(60).apply(resample(few, [0.5, 0.5], [0.5, 0.5], seed=4))",
    "buckets": "bucketed([3, 5], [2, 3, 1])",
    "buckets padded to their ends": (
        "bucketed([3, 5, 7], [2, 3, 2, 1], pad_to_bucket_boundary=True)"
    ),
    "buckets padded to shapes and their ends": (
        "bucketed([3, 5, 7], [2, 3, 2, 1], padded_shapes=([None, 4], []), "
        "padding_values=(-1, 0), pad_to_bucket_boundary=True, drop_remainder=True)"
    ),
}


@pytest.mark.parametrize("name", DATASETS)
def test_elements(assert_same, name):
    assert_same(PRELUDE, f"out = gone_through({DATASETS[name]})")


VALUES = {
    "values": r"csv(b'1,2.5,a\n2,3.5,b\n', [i, f, t])",
    "behind a header": r"csv(b'h,k\n1,a\r\n2,b', [i, t], 2, header=True)",
    "some missing": r"csv(b'1,,a\n,3.5,\n', [[7], [1.5], ['z']])",
    "one that must be there": r"csv(b'1,,a\n,3.5,\n1,2,b\n', [i, [1.5], ['z']])",
    "in quotes": r"""csv(b'1,"a\nb ""q"" , c",2\n2,x,3\n', [i, t, i])""",
    "empty lines": r"csv(b'1,2\n\n3,4\n', [i, i]), csv(b'1\n\n2\n', [[3]])",
    "nothing": r"csv(b'', [i]), csv(b'\n', [[3]])",
    "too few and too many": r"csv(b'1,2\n1\n1,2,3\n3,4\n', [i, i])",
    "no numbers": r"csv(b'a,2\n3,4\n', [i, i]), csv(b'1e3,1\n', [tf.int64, tf.float64])",
    "selected": r"csv(b'1,2,3\n3,4,5\n', [i, i], select_cols=[0, 2])",
    "selected, but not there": r"csv(b'1,2\n', [i, i], select_cols=[0, 5])",
    "selected backwards": r"csv(b'1,2,3\n', [i, i], select_cols=[2, 0])",
    "between other marks": r"csv(b'1;NA;3\n', [i, [9], i], field_delim=';', na_value='NA')",
    "between two marks": r"csv(b'1;2\n', [i, i], field_delim=';;')",
    "with quotes that mean nothing": r"""csv(b'1,"2",3\n', [i, t, i], use_quote_delim=False)""",
    "with quotes inside": r"""csv(b'1,a"b,3\n4,b,5\n', [i, t, i])""",
    "with quotes that do not end": r"""csv(b'1,"ab\n', [i, t]), csv(b'1,"a"b\n2,c', [i, t])""",
    "other line ends": r"csv(b'1,2\r3,4\r', [i, i])",
    "spaces": r"csv(b' 1,2 ,x \n', [i, f, t])",
    "a table": "tables(FIRST, batch_size=4, num_epochs=1, shuffle=False)",
    "two tables": "tables(FIRST, SECOND, batch_size=4, num_epochs=1, shuffle=False)",
    "two tables, shuffled": "tables(FIRST, SECOND, batch_size=4, num_epochs=2, shuffle_seed=3)",
    "two tables at once": (
        "tables(FIRST, SECOND, batch_size=5, num_epochs=1, shuffle=False, num_parallel_reads=2)"
    ),
    "for ever": "tables(FIRST, batch_size=4, shuffle_seed=3, shuffle_buffer_size=4)",
    "a label": "tables(FIRST, batch_size=4, num_epochs=1, shuffle=False, label_name='c')",
    "some columns": (
        "tables(FIRST, batch_size=4, num_epochs=1, shuffle=False, select_columns=['e', 1])"
    ),
    "some columns of given types": (
        "tables(FIRST, batch_size=4, num_epochs=1, shuffle=False, select_columns=['e', 1], "
        "column_defaults=[tf.float64, [7.5]])"
    ),
    "few rows tell types, errors ignored": (
        "tables(SECOND + b'?,,,,\\n6,7,8,9,10\\n', batch_size=4, num_epochs=1, shuffle=False, "
        "num_rows_for_inference=2, ignore_errors=True)"
    ),
    "without a header": (
        "tables(b'1;NA\\n2;3\\n', batch_size=4, num_epochs=1, shuffle=False, header=False, "
        "column_names=['x', 'y'], field_delim=';', na_value='NA')"
    ),
    "tables that are refused": (
        "[refused(*a, batch_size=2, **k) for a, k in ("
        "((FIRST,), {'label_name': 'z'}), ((FIRST,), {'header': False}), ((b'',), {}), "
        "((FIRST, b'k\\n1\\n'), {}), ((b'a,b\\n1\\n', b'a,b\\n'), {}), "
        "((b'a,a\\n', b'a,a\\n'), {}), ((), {'pattern': 'none*'}), "
        "((FIRST, FIRST), {'select_columns': ['z']}), "
        "((FIRST, FIRST), {'select_columns': ['a', 0]}), "
        "((FIRST, FIRST), {'select_columns': [9]}), "
        "((FIRST, FIRST), {'select_columns': ['a'], 'column_defaults': [i, i]}))]"
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_files(outcomes, name):
    real, ours = outcomes(PRELUDE, f"out = {VALUES[name]}")
    assert real[0] != "raised", real  # it would compare no more than that
    assert ours == real
