"""SavedModels of the first kind: what builders write, loaders take, and signatures hold."""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
import os, tempfile
sm = tf.saved_model
d = os.path.join(tempfile.mkdtemp(), "m")
x = tf.placeholder(tf.float32, [None, 2], name="x")
w = tf.get_variable("w", [2, 3], initializer=tf.ones_initializer())
y = tf.matmul(x, w, name="y")
s = tf.Session()
s.run(tf.global_variables_initializer())
sig = sm.predict_signature_def({"x": x}, {"y": y})

def tree(path):
    return sorted(os.path.join(r, f)[len(path):] for r, _, fs in os.walk(path) for f in fs)

def kind(function):
    return err(function)[0]

def file_of(name, text):
    path = os.path.join(tempfile.mkdtemp(), name)
    with open(path, "w") as file:
        file.write(text)
    return path

def loaded(path, tags=("serve",), scope=None, **kwargs):
    with tf.Graph().as_default() as g, tf.Session() as session:
        m = sm.loader.load(session, list(tags), path, scope, **kwargs)
        names = sorted(op.name for op in g.get_operations() if not op.name.startswith("save"))
        keys = sorted(g.get_all_collection_keys())
        values = session.run(tf.global_variables())
        return names, keys, [v.tolist() for v in values], sorted(m.meta_info_def.tags)

def built(*tags, **kwargs):
    b = sm.Builder(d)
    b.add_meta_graph_and_variables(s, list(tags) or ["serve"], {"serving_default": sig}, **kwargs)
    return b
"""

PROGRAMS = {
    "9.7": {
        "simple": "sm.simple_save(s, d, {'x': x}, {'y': y}); out = tree(d), loaded(d)",
        "simple twice": "sm.simple_save(s, d, {'x': x}, {'y': y}); "
        "out = kind(lambda: sm.simple_save(s, d, {'x': x}, {'y': y})), tree(d)",
        "path": "built().save(); out = sm.Builder(d + '1').save()[-15:], "
        "sm.Builder(d + '2').save(as_text=True)[-17:], tree(d + '1'), tree(d + '2')",
        "text": "built().save(as_text=True); out = tree(d), loaded(d), "
        "sm.maybe_saved_model_directory(d), sm.contains_saved_model(d), "
        "sm.maybe_saved_model_directory(d + 'no')",
        "directory that is empty": "os.mkdir(d); built().save(); out = tree(d)",
        "directory that is not": "os.mkdir(d); open(d + '/f', 'w').close(); "
        "out = kind(lambda: sm.Builder(d))",
        "variables twice": "b = built(); "
        "out = kind(lambda: b.add_meta_graph_and_variables(s, ['other']))",
        "graph before variables": "out = kind(lambda: sm.Builder(d).add_meta_graph(['a']))",
        "several graphs": """
b = built("train", "gpu")
with tf.Graph().as_default():
    tf.get_variable("w", [2, 3])
    tf.get_variable("local", [1], collections=["local_variables"])
    b.add_meta_graph(["serve"], {"a": sig, "b": sig})
b.save()
out = loaded(d), loaded(d, ["gpu", "train"]), [
    (sorted(m.signature_def), m.saver_def.save_tensor_name, m.saver_def.sharded,
     m.meta_info_def.stripped_default_attrs)
    for m in [sm.loader.load(tf.Session(graph=tf.Graph()), t, d)
              for t in (["serve"], {"gpu", "train"})]]
""",
        "tags": "built('a', 'b').save(); out = [kind(lambda: loaded(d, tags)) for tags in "
        "(['a'], [], ['a', 'b', 'c'], ['b', 'a'], ['a', 'a', 'b'])]",
        "tags text": "built('a', 'b').save(); "
        "out = err(lambda: sm.load(s, ['zz', 'a'], d))[1].split(', with')[0]",
        "no variables": """
with tf.Graph().as_default(), tf.Session() as other:
    c = tf.constant(1.0, name="c")
    sm.simple_save(other, d, {"c": c}, {"o": c + 1.0})
out = tree(d), loaded(d)
""",
        "scopes": """
sm.simple_save(s, d, {"x": x}, {"y": y})
out = loaded(d, scope="a"), loaded(d, scope="a/b")
with tf.Graph().as_default() as g, tf.Session() as t, tf.name_scope("outer"):
    m = sm.load(t, ["serve"], d, "in")
    out += (sorted(o.name for o in g.get_operations() if "save" not in o.name), tree(d))
""",
        "input_map": """
sm.simple_save(s, d, {"x": x}, {"y": y})
with tf.Graph().as_default(), tf.Session() as t:
    c = tf.constant([[1.0, 5.0]])
    sm.load(t, ["serve"], d, input_map={"x:0": c})
    out = t.run("y:0")
""",
        "devices": """
with tf.Graph().as_default(), tf.Session() as t:
    with tf.device("/cpu:0"):
        v = tf.get_variable("v", [1])
    t.run(v.initializer)
    out = []
    for clear in (False, True):
        b = sm.Builder(d + str(clear))
        b.add_meta_graph_and_variables(t, ["serve"], clear_devices=clear)
        b.save()
        m = sm.load(tf.Session(graph=tf.Graph()), ["serve"], d + str(clear))
        out.append([n.device for n in m.graph_def.node if n.name == "v"])
""",
        "default attributes": """
b = built(strip_default_attrs=True)
m = (b._model if hasattr(b, "_model") else b._saved_model).meta_graphs[0]
b.save()
out = (m.meta_info_def.stripped_default_attrs, loaded(d),
       sorted(next(n for n in m.graph_def.node if n.name == "y").attr))
""",
        "a saver of its own": "built(saver=tf.train.Saver([w], name='mine')).save(); "
        "m = sm.load(tf.Session(graph=tf.Graph()), ['serve'], d); "
        "out = m.saver_def.restore_op_name, tree(d)",
        "main op": """
v = tf.get_variable("v", [], initializer=tf.zeros_initializer())
s.run(v.initializer)
built(main_op=tf.assign(v, 7.0).op).save()
out = loaded(d)
""",
        "legacy init op": """
v = tf.get_variable("v", [], initializer=tf.zeros_initializer())
s.run(v.initializer)
built(legacy_init_op=tf.assign(v, 7.0).op).save()
out = loaded(d), tf.get_collection("legacy_init_op"), len(tf.get_collection("saved_model_main_op"))
""",
        "main ops that are none": """
b = sm.Builder(d)
add = lambda op: kind(lambda: b.add_meta_graph_and_variables(s, ["a"], main_op=op))
tf.add_to_collection("legacy_init_op", y.op)
out = add(y), add("y"), add(y.op)
""",
        "main ops of signatures": """
v = tf.get_variable("v", [], initializer=tf.zeros_initializer())
s.run(v.initializer)
op = tf.assign(v, 7.0).op
b = built()
path = b.save().decode()
m = sm.load(tf.Session(graph=tf.Graph()), ["serve"], d)
m.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = op.name
model = b._model if hasattr(b, "_model") else b._saved_model
del model.meta_graphs[:]
model.meta_graphs.append(m)
b.save()
out = loaded(d), loaded(d, scope="a"), kind(lambda: sm.Builder(d + "1")
    .add_meta_graph_and_variables(s, ["a"], {"__saved_model_init_op": sig}))
""",
        "several main ops": """
tf.add_to_collection("saved_model_main_op", y.op)
tf.add_to_collection("saved_model_main_op", w.op)
b = built()
b.save()
out = kind(lambda: loaded(d))
""",
        "initializing": """
local = tf.get_local_variable("l", [], initializer=tf.ones_initializer())
v = tf.get_variable("v", [], initializer=tf.zeros_initializer())
with tf.Session() as t:
    t.run(sm.main_op.main_op())
    out = t.run([local, v, w])
# No initializer is run for this one: the order of restoring and initializing is nobody's promise.
r = tf.get_variable("r", [], collections=["others"])
with tf.Session() as t:
    t.run(sm.main_op_with_restore(tf.assign(r, 3.0).op))
    out += t.run([local, r])
""",
        "assets": """
one, two = file_of("a.txt", "one"), file_of("a.txt", "two")
names = [tf.constant(p, name="n") for p in (one, two, one)]
got = tf.get_variable("got", [3], tf.string, initializer=tf.constant_initializer(""))
s.run(got.initializer)
built(assets_collection=names, main_op=tf.assign(got, names).op).save()
out = tree(d), [p.decode()[len(d):] for p in loaded(d)[2][0]]
""",
        "assets that are none": """
b = sm.Builder(d)
add = lambda *a: kind(lambda: b.add_meta_graph_and_variables(s, ["a"], assets_collection=list(a)))
out = (add("a.txt"), add(tf.constant([1])), add(tf.constant(["a", "b"])), add(tf.constant("")),
       add(tf.placeholder(tf.string, [])))
""",
        "signatures that are not complete": """
b = sm.Builder(d)
I, S = tf.TensorInfo, sm.build_signature_def
def add(info):
    return kind(lambda: b.add_meta_graph_and_variables(s, ["a"], {"k": S({"a": info})}))
out = (add(I()), add(I(name="x")), add(I(dtype=1)), add(I(name="x", dtype=1)), tree(d))
""",
        "files that are none": """
os.mkdir(d)
none = kind(lambda: loaded(d))
with open(d + "/saved_model.pbtxt", "w") as file:
    file.write("a: b")
text = kind(lambda: loaded(d))
with open(d + "/saved_model.pb", "wb") as file:
    file.write(b"\\xff" * 9)
out = none, text, kind(lambda: loaded(d)), kind(lambda: loaded(d + "no"))
""",
        "no variables files": """
import shutil
built().save()
shutil.rmtree(d + "/variables")
out = kind(lambda: loaded(d))
""",
        "tensor infos": """
info = [sm.build_tensor_info(t) for t in (
    x, w, tf.sparse_placeholder(tf.int64, [3, 4], name="sp"), tf.placeholder(tf.bool),
    tf.constant("a"), tf.get_variable("r", [2], use_resource=True))]
again = [sm.get_tensor_from_tensor_info(i) for i in info]
with tf.name_scope("a"):
    x2 = tf.placeholder(tf.float32, [None, 2], name="x")
out = (info, again, sm.get_tensor_from_tensor_info(info[0], import_scope="a"),
       kind(lambda: sm.get_tensor_from_tensor_info(info[0], import_scope="b")),
       kind(lambda: sm.get_tensor_from_tensor_info(tf.TensorInfo())),
       kind(lambda: sm.get_tensor_from_tensor_info(info[0], tf.Graph())))
""",
        "signatures": """
t, f = tf.constant(["a"]), tf.placeholder(tf.float32, [None], name="f")
u = sm.signature_def_utils
out = [sig, u.regression_signature_def(t, f), u.classification_signature_def(t, t, f),
       u.classification_signature_def(t, t, None), u.classification_signature_def(t, None, f)]
valid = [u.is_valid_signature(o) for o in out]
out += [valid, u.is_valid_signature(None), u.is_valid_signature(sm.build_signature_def()),
        u.is_valid_signature(sm.build_signature_def(sig.inputs, sig.outputs, "other")),
        u.is_valid_signature(sm.build_signature_def(
            sig.inputs, sig.outputs, "tensorflow/serving/regress")),
        sm.build_signature_def(sig.inputs, None, "m", {"x": tf.constant([1.5])}),
        kind(lambda: sm.build_signature_def(None, None, "m", {"x": x}))]
""",
        "signatures that are none": """
t, f = tf.constant(["a"]), tf.placeholder(tf.float32, [None])
u = sm.signature_def_utils
out = [kind(lambda: make(*args)) for make, args in (
    (u.predict_signature_def, ({}, {"y": y})), (u.predict_signature_def, (None, None)),
    (u.predict_signature_def, ({"x": x}, {})), (u.regression_signature_def, (None, f)),
    (u.regression_signature_def, (t, None)), (u.regression_signature_def, (f, f)),
    (u.regression_signature_def, (t, t)), (u.regression_signature_def, ("a", f)),
    (u.classification_signature_def, (None, t, f)),
    (u.classification_signature_def, (t, None, None)),
    (u.classification_signature_def, (t, f, f)), (u.classification_signature_def, (t, t, t)))]
""",
        "constants": "out = {g: {n: getattr(getattr(sm, g), n) for n in dir(getattr(sm, g)) "
        "if n.isupper()} for g in ('constants', 'tag_constants', 'signature_constants')}",
    },
}


@pytest.mark.rows("program", PROGRAMS)
def test_saved_models_are_those_of_tensorflow(assert_same, program):
    assert_same(PRELUDE, program)
