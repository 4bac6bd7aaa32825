"""Variables that begin as they were: what is meant by names, and vocabularies that have changed."""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
import os, tempfile
folder = tempfile.mkdtemp()
path = os.path.join(folder, "ck")
kind = lambda function: err(function)[0]
with tf.Graph().as_default(), tf.Session() as s:
    names = ("a/w", "a/b", "b/w", "words", "columns", "parts")
    for n, name in enumerate(names):
        partitioner = tf.fixed_size_partitioner(2) if name == "parts" else None
        tf.get_variable(name, [4, 2] if name != "columns" else [2, 4], partitioner=partitioner,
                        initializer=tf.constant_initializer([10.0 * n + i for i in range(8)]))
    s.run(tf.global_variables_initializer())
    tf.train.Saver().save(s, path)

def vocabulary(name, *words):
    file = os.path.join(folder, name)
    with open(file, "w") as f:
        f.writelines(w + "\\n" for w in words)
    return file

def var(name, shape=(4, 2), **kwargs):
    return tf.get_variable(name, list(shape), initializer=tf.zeros_initializer(), **kwargs)

def values(*variables):
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        return [s.run(tf.convert_to_tensor(v)).tolist() for v in variables or tf.global_variables()]

old = vocabulary("old", "a", "b", "c", "d")
new = vocabulary("new", "c", "x", "a")
"""

PROGRAMS = {
    "9.4": {
        "all": "var('a/w'), var('b/w', trainable=False); tf.train.warm_start(path); out = values()",
        "directory": "var('a/w'); tf.train.warm_start(folder); out = values()",
        "regex": "var('a/w'), var('a/b'), var('b/w'); tf.train.warm_start(path, 'a/'); "
        "out = values()",
        "regexes": "var('a/w'), var('a/b'), var('b/w', trainable=False); "
        "tf.train.warm_start(path, ['.*/w', 'nothing']); out = values()",
        "variables": "a, b = var('a/w'), var('b/w'); tf.train.warm_start(path, [b]); "
        "out = values()",
        "none": "var('a/w'); tf.train.warm_start(path, None); out = values()",
        "resource": "var('a/w', use_resource=True); tf.train.warm_start(path); out = values()",
        "partitioned": "v = var('parts', partitioner=tf.fixed_size_partitioner(2)); "
        "tf.train.warm_start(path); out = values(v)",
        "partitioned otherwise": "v = var('a/w', partitioner=tf.fixed_size_partitioner(4)); "
        "tf.train.warm_start(path); out = values(v)",
        "other names": "var('n'), var('m'); "
        "tf.train.warm_start(path, var_name_to_prev_var_name={'n': 'a/w', 'm': 'a/w'}); "
        "out = values()",
        "rows": "var('words', (3, 2)); tf.train.warm_start(path, var_name_to_vocab_info={'words': "
        "tf.train.VocabInfo(new, 3, 0, old)}); out = values()",
        "rows and buckets": "var('words', (5, 2)); "
        "tf.train.warm_start(path, None, {'words': tf.train.VocabInfo("
        "new, 3, 2, old, backup_initializer=tf.constant_initializer(0.5))}); out = values()",
        "rows of fewer words": "var('words', (3, 2)); "
        "tf.train.warm_start(path, '.*', {'words': tf.train.VocabInfo("
        "new, 3, 0, old, 2, tf.ones_initializer())}); out = values()",
        "rows in parts": "v = var('words', (5, 2), partitioner=tf.fixed_size_partitioner(2)); "
        "tf.train.warm_start(path, '.*', {'words': tf.train.VocabInfo("
        "new, 3, 2, old, backup_initializer=tf.ones_initializer())}); out = values(v)",
        "columns": "var('columns', (2, 3)); tf.train.warm_start(path, '.*', {'columns': "
        "tf.train.VocabInfo(new, 3, 0, old, axis=1)}); out = values()",
        "columns and buckets": "var('columns', (2, 4)); tf.train.warm_start(path, '.*', {'columns':"
        " tf.train.VocabInfo(new, 3, 1, old, -1, tf.ones_initializer(), 1)}); out = values()",
        "renamed rows": "var('n', (3, 2)); tf.train.warm_start(path, '.*', "
        "{'n': tf.train.VocabInfo(new, 3, 0, old)}, {'n': 'words'}); out = values()",
        "information": "v = tf.train.VocabInfo('a', 3, 1, 'b'); "
        "out = tuple(v), v._fields, kind(lambda: tf.train.VocabInfo('a', 3, 1, 'b', axis=2))",
        "what is not meant": """
v = var("a/w")
info = tf.train.VocabInfo(new, 3, 0, old)
out = [kind(lambda: tf.train.warm_start(path, *a)) for a in (
    (3,), ([v, "a"],), ([3],), (".*", {"zz": info}), (".*", None, {"zz": "a/w"}),
    ([var("missing")],), ([var("b/w", (2, 2))],))]
""",
        "init by scope": "var('s/w'), var('s/b'); "
        "tf.train.init_from_checkpoint(path, {'a/': 's/'}); out = values()",
        "init by root": "var('a/w'), var('b/w'); "
        "tf.train.init_from_checkpoint(path, {'/': '/'}); out = values()",
        "init by names": "var('n'); v = var('m'); p = var('p', "
        "partitioner=tf.fixed_size_partitioner(2)); "
        "tf.train.init_from_checkpoint(folder, {'a/w': 'n', 'a/b': v, 'parts': p}); "
        "out = values(*tf.global_variables())",
        "init of a list": "p = var('p', partitioner=tf.fixed_size_partitioner(2)); "
        "tf.train.init_from_checkpoint(path, {'parts': list(p)}); out = values(p)",
        "init of what is not": """
v = var("n")
out = [kind(lambda: tf.train.init_from_checkpoint(path, m)) for m in (
    {"zz": v}, {"a/w": "zz"}, {"a/w": "zz/"}, {"zz/": "/"}, {"a/w": var("o", (2, 2))}, {"a/w": 3})]
out += [kind(lambda: tf.train.init_from_checkpoint(path + "no", {"a/w": v}))]
""",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_variables_begin_as_in_tensorflow(assert_same, program):
    assert_same(PRELUDE, program)
