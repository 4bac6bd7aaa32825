"""Tables: filled, looked up, shared, forgotten; from many threads."""

import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op

E = tf.errors
LOOKUP = tf.python.ops.lookup_ops
COVERED = [
    *(f"{name}{version}" for version in ("", "V2") for name in (
        "HashTable", "MutableHashTable", "MutableHashTableOfTensors", "MutableDenseHashTable",
        "InitializeTable", "InitializeTableFromTextFile", "LookupTableFind", "LookupTableInsert",
        "LookupTableImport", "LookupTableExport", "LookupTableSize")),
    "LookupTableRemoveV2",
]  # fmt: skip


def _words(default=-1):
    keys = tf.lookup.KeyValueTensorInitializer(["a", "b"], np.int64([1, 2]))
    return tf.lookup.StaticHashTable(keys, default)


def _changing(key=tf.string, value=tf.int64, default=-1, **kwargs):
    return tf.lookup.experimental.MutableHashTable(key, value, default, **kwargs)


def test_a_static_table(fresh_graph, device):
    with tf.device(device):
        table = _words()
        found, size = table.lookup(tf.constant([["b", "c"]])), table.size()
        more = found + 1
    config = tf.ConfigProto(allow_soft_placement=True)
    with tf.Session(config=config) as session:
        with pytest.raises(E.FailedPreconditionError, match="Table not initialized"):
            session.run(found)
        assert session.run(size) == 0
        session.run(tf.tables_initializer())
        session.run(tf.initialize_all_tables())
        assert session.run(found).tolist() == [[2, -1]]
        assert session.run(more).tolist() == [[3, 0]]
        keys, values = session.run(table.export())
        assert (keys.tolist(), values.tolist()) == ([b"a", b"b"], [1, 2])
    with tf.Session(config=config) as session:  # each session has tables of its own
        assert session.run(size) == 0


def test_filling_is_all_or_nothing(fresh_graph):
    keys = tf.placeholder(tf.string, [None])
    values = tf.placeholder(tf.int64, [None])
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1)
    found, size = table.lookup(tf.constant(["a"])), table.size()
    with tf.Session() as session:
        with pytest.raises(
            E.FailedPreconditionError, match="Key a has 1 and trying to add value 2"
        ):
            session.run(table.initializer, {keys: ["b", "a", "a"], values: [0, 1, 2]})
        with pytest.raises(E.InvalidArgumentError, match=r"Expected shape \[2\] for value"):
            session.run(table.initializer, {keys: ["b", "a"], values: [0]})
        assert session.run(size) == 0
        session.run(table.initializer, {keys: ["a", "a"], values: [1, 1]})
        session.run(table.initializer, {keys: ["a"], values: [1]})
        with pytest.raises(E.FailedPreconditionError, match="initialized with different data"):
            session.run(table.initializer, {keys: ["a"], values: [2]})
        assert session.run(found).tolist() == [1]


PAIRS = [
    (key, value)
    for key in (tf.int32, tf.int64, tf.string, tf.uint8)
    for value in (tf.float32, tf.float64, tf.int32, tf.int64, tf.string, tf.bool, tf.bfloat16)
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].name}-{pair[1].name}")
def test_dtypes(fresh_graph, pair):
    keys, values = (np.array(["3", "1"], object) if t is tf.string else np.array([3, 1])
                    .astype(t.as_numpy_dtype) for t in pair)  # fmt: skip
    keys, values = (tf.constant(v, t) for v, t in zip((keys, values), pair, strict=True))
    default = tf.zeros([], pair[1])
    static = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default)
    changing = _changing(*pair, default)
    with tf.Session() as session:
        session.run([tf.tables_initializer(), changing.insert(keys, values)])
        for table in (static, changing):
            found, expected = session.run([table.lookup(keys), values])
            assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist())


def test_a_table_that_changes(fresh_graph):
    table = _changing()
    keys = tf.placeholder(tf.string, None)
    values = tf.placeholder(tf.int64, None)
    insert, remove = table.insert(keys, values), table.remove(keys)
    found, exported = table.lookup(keys), table.export()
    own = table.lookup(keys, dynamic_default_values=values)
    replace = create_op("LookupTableImportV2", [table.resource_handle, ["n"], np.int64([9])])
    with tf.Session() as session:
        session.run(insert, {keys: [["a", "b"], ["c", "a"]], values: [[1, 2], [3, 4]]})
        assert session.run(found, {keys: [["a", "z"]]}).tolist() == [[4, -1]]
        assert session.run(found, {keys: "b"}) == 2
        assert session.run(own, {keys: ["a", "z"], values: [7, 8]}).tolist() == [4, 8]
        session.run(remove, {keys: ["b", "z"]})
        assert [x.tolist() for x in session.run(exported)] == [[b"a", b"c"], [4, 3]]
        with pytest.raises(E.InvalidArgumentError, match=r"Expected shape \[2\] for value, got"):
            session.run(insert, {keys: ["x", "y"], values: [1]})
        with pytest.raises(E.InvalidArgumentError, match=r"Expected shape \[\] or \[1\] for defa"):
            session.run(own, {keys: ["a"], values: [1, 2]})
        assert session.run(table.size()) == 2
        session.run(replace)
        assert [x.tolist() for x in session.run(exported)] == [[b"n"], [9]]


def test_values_that_are_vectors(fresh_graph):
    table = _changing(tf.int64, tf.float32, [0.0, -1.0])
    insert = table.insert(tf.constant([5, 6], tf.int64), [[1.0, 2.0], [3.0, 4.0]])
    found = table.lookup(tf.constant([[6], [7]], tf.int64))
    assert found.shape.as_list() == [2, 1, 2]
    with tf.Session() as session:
        session.run(insert)
        assert session.run(found).tolist() == [[[3, 4]], [[0, -1]]]
        keys, values = session.run(table.export())
        assert (keys.tolist(), values.tolist()) == ([5, 6], [[1, 2], [3, 4]])


def test_a_dense_table(fresh_graph):
    table = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -1, 0, -1, 4)
    keys = tf.placeholder(tf.int64, [None])
    insert, erase = table.insert_or_assign(keys, keys * 10), table.erase(keys)
    found, exported = table.lookup(keys), table.export()
    handle = table.resource_handle
    marked = create_op("LookupTableImportV2", [handle, np.int64([0, 4, -1]), np.int64([0, 5, 0])])
    with tf.Session() as session:
        session.run(insert, {keys: range(1, 100)})
        assert session.run(found, {keys: [7, 100]}).tolist() == [70, -1]
        session.run(erase, {keys: range(3, 200)})
        assert [x.tolist() for x in session.run(exported)] == [[1, 2], [10, 20]]
        for op in (insert, erase, found):
            for key, name in ((0, "empty_key"), (-1, "deleted_key")):
                with pytest.raises(E.InvalidArgumentError, match=f"Using the {name} as a table"):
                    session.run(op, {keys: [1, key]})
        session.run(marked)  # as TensorFlow saves it
        assert [x.tolist() for x in session.run(exported)] == [[4], [5]]
    for arguments, text in (
        ((0, 0, 4), "keys cannot be equal"),
        ((0, 1, 3), "a power of 2, got: 3"),
    ):
        bad = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, -1, *arguments).size()
        with tf.Session() as session, pytest.raises(E.InvalidArgumentError, match=text):
            session.run(bad)


def test_tables_share_names(fresh_graph):
    attrs = {"shared_name": "t", "key_dtype": tf.string, "value_dtype": tf.int64}
    first, second = (create_op("MutableHashTableV2", (), attrs) for _ in range(2))
    other = create_op("MutableHashTableV2", (), {**attrs, "value_dtype": tf.int32})
    insert = create_op("LookupTableInsertV2", [first, ["a"], np.int64([1])])
    with tf.Session() as session:
        session.run(insert)
        assert session.run(create_op("LookupTableSizeV2", [second])) == 1
        with pytest.raises(
            E.InvalidArgumentError, match="Conflicting key/value dtypes string->int32"
        ):
            session.run(create_op("LookupTableSizeV2", [other]))
        tf.Session.reset("")
    with tf.Session() as session:
        assert session.run(create_op("LookupTableSizeV2", [second])) == 0


def test_handles_of_the_first_version(fresh_graph):
    table = create_op("HashTable", (), {"key_dtype": tf.string, "value_dtype": tf.int64})
    with tf.control_dependencies([create_op("InitializeTable", [table, ["a"], np.int64([1])])]):
        found = create_op("LookupTableFind", [table, ["a", "b"], np.int64(7)])
    with tf.Session() as session:
        assert session.run(found).tolist() == [1, 7]


def test_what_tables_refuse(fresh_graph):
    table, changing = _words(), _changing()
    one, text = np.int64([1]), ["a"]
    many = (
        ("LookupTableInsertV2", [table.resource_handle, text, one], E.UnimplementedError,
         "Insert not supported by InitializableLookupTable"),
        ("LookupTableRemoveV2", [table.resource_handle, text], E.UnimplementedError,
         "Remove not supported"),
        ("LookupTableInsertV2", [changing.resource_handle, one, one], E.InvalidArgumentError,
         "Signature mismatch, have: resource, int64, int64-> expected: resource, string, int64->"),
        ("LookupTableFindV2", [table.resource_handle, one, one[0]], E.InvalidArgumentError,
         "have: resource, int64, int64->int64 expected: resource, string, int64->int64"),
        ("InitializeTableV2", [changing.resource_handle, text, one], E.InvalidArgumentError,
         "is not initializable"),
        ("LookupTableSizeV2", [tf.FIFOQueue(1, tf.int32).queue_ref], E.InvalidArgumentError,
         "Trying to access resource using the wrong type"),
    )  # fmt: skip
    with tf.Session() as session:
        session.run(tf.tables_initializer())
        for op_type, inputs, kind, said in many:
            op = create_op(op_type, inputs)
            with pytest.raises(kind, match=said):
                session.run(op)
        assert session.run(table["a"]) == 1
    with pytest.raises(ValueError, match="Trying to read value with wrong dtype"):
        create_op("LookupTableFindV2", [changing.resource_handle, one, one[0]])


FILES = {
    "a\t1\nb\t2": (["a", "b"], [1, 2]),
    "a\t1\r\nb\t2\r\n": (["a", "b"], [1, 2]),
    "é\t-3\t\n": (["é"], [-3]),
    "": (E.OutOfRangeError, "Read less bytes than requested"),
    "a\t1\n\nb\t2": (E.InvalidArgumentError, "empty line found at position"),
    "a\n": (E.InvalidArgumentError, r"line 0 \(a\) : expected at least 2 got 1"),
    "a\tx\n": (E.InvalidArgumentError, "Field x in line 0 is not a valid int64"),
    "a\t1\na\t2": (E.FailedPreconditionError, "different value for same key"),
}


@pytest.mark.parametrize("content", FILES)
def test_files(fresh_graph, tmp_path, content):
    path = tmp_path / "words"
    path.write_bytes(content.encode())
    first, second = FILES[content]
    init = tf.lookup.TextFileInitializer(str(path), tf.string, 0, tf.int64, 1)
    table = tf.lookup.StaticHashTable(init, -1)
    assert tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS)[0].op.name == "asset_path"
    with tf.Session() as session:
        if isinstance(first, type):
            with pytest.raises(first, match=second):
                session.run(tf.tables_initializer())
            assert session.run(table.size()) == 0
            return
        session.run(tf.tables_initializer())
        path.unlink()
        session.run(tf.tables_initializer())  # filled already
        keys, values = session.run(table.export())
        assert ([k.decode() for k in keys], values.tolist()) == (first, second)


def test_other_words_fall_into_buckets(fresh_graph, tmp_path):
    path = tmp_path / "words"
    path.write_text("lake\npalmer\n")
    words = tf.constant(["palmer", "emerson", "king"])
    tables = [
        LOOKUP.index_table_from_file(str(path), num_oov_buckets=5),
        LOOKUP.index_table_from_tensor(["lake", "palmer"], num_oov_buckets=5),
        tf.contrib.lookup.index_table_from_tensor(mapping=["lake", "palmer"], num_oov_buckets=5),
        tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(["lake", "palmer"], np.int64([0, 1])), 5),
    ]  # fmt: skip
    buckets = tf.strings.to_hash_bucket_fast(words, 5)
    with tf.Session() as session:
        session.run(tf.tables_initializer())
        _, second, third = session.run(buckets).tolist()
        for table in tables:
            assert session.run(table.lookup(words)).tolist() == [1, 2 + second, 2 + third]
            assert session.run(table.size()) == 7
        none = tf.lookup.StaticVocabularyTable(None, 5)
        session.run(none.initializer)
        assert session.run(none.lookup(words)).tolist()[1:] == [second, third]


def test_tables_in_branches_and_loops(fresh_graph):
    def body(i, total):
        return i + 1, total + _words().lookup(tf.constant("b")) + table["a"]

    table = _words()
    _, total = tf.while_loop(lambda i, _: i < 5, body, [0, np.int64(0)])
    chosen = tf.cond(total > 3, lambda: table["b"], lambda: tf.constant(0, tf.int64))
    with tf.Session() as session:
        session.run(tf.tables_initializer())
        assert session.run([total, chosen]) == [15, 2]


def test_many_threads_count_in_one_table(fresh_graph):
    table = _changing(tf.int64, tf.int64)
    keys = tf.placeholder(tf.int64, [None])
    insert, exported = table.insert(keys, keys), table.export()
    with tf.Session() as session:

        def work(start):
            for at in range(start, start + 400, 20):
                session.run(insert, {keys: range(at, at + 20)})
                found, values = session.run(exported)
                assert found.tolist() == values.tolist()

        threads = [threading.Thread(target=work, args=(400 * n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.run(table.size()) == 2400


def test_arguments_that_cannot_be(fresh_graph):
    file = tf.lookup.TextFileInitializer
    for program, kind, text in (
        (lambda: file("", tf.string, 0, tf.int64, 1), ValueError, "`filename` argument required"),
        (lambda: file("f", tf.string, -3, tf.int64, 1), ValueError, "should be >= -2"),
        (lambda: file("f", tf.string, -1, tf.int64, 1), ValueError, "must be int64 if"),
        (lambda: file("f", tf.float32, -2, tf.int64, 1), ValueError, "either integer or string"),
        (lambda: file("f", tf.string, 0, tf.int64, 1, 0), ValueError, "`vocab_size` should be > 0"),
        (lambda: _words([1]), ValueError, "are not compatible"),
        (lambda: _words().lookup(tf.constant([1])), TypeError, "Dtype of argument `keys` must be"),
        (lambda: LOOKUP.StrongHashSpec([1]), ValueError, "`key` must have size 2"),
        (lambda: LOOKUP.StrongHashSpec(["a", "b"]), TypeError, "Invalid key"),
        (lambda: LOOKUP.IdTableWithHashBuckets(None, 0), ValueError, "must be > 0 if no `table`"),
    ):  # fmt: skip
        with pytest.raises(kind, match=text):
            program()
