"""What reads checkpoints without a Saver, and MetaGraphs: each program under both libraries.

Each sees `d`, an empty directory of one name under both, where it works, too.
"""

import pytest

pytestmark = pytest.mark.oracle

READING = {
    "a reader": """
path = saved()
reader = tf.train.NewCheckpointReader(path)
out = [sorted(reader.get_variable_to_shape_map().items()),
    str(sorted(reader.get_variable_to_dtype_map().items())), reader.debug_string()]
out += [reader.has_tensor(n) for n in ("v", b"v", "x", "v:0")]
out += [reader.get_tensor(n) for n in ("v", b"w")]
out += [err(lambda: reader.get_tensor(n)) for n in ("x", "v:0")]
out += [err(lambda: reader.get_tensor(n))[0] for n in (None, 3)]
out += [err(lambda: tf.train.NewCheckpointReader(n))[0] for n in ("x", "", None, 3)]
out += [type(tf.train.NewCheckpointReader(path.encode())).__name__, type(reader).__name__]
""",
    "scalars, empty tensors, texts": """
contents = {"zero": np.float64(0), "empty": np.zeros([0, 3], np.int8), "text": b"one",
    "texts": [b"", b"a" * 70000, bytes(range(256))],
    "many": [str(i).encode() for i in range(3000)], "none": np.zeros([2, 0], object),
    "true": True, "unicode": "é中", "complex": np.complex64(1 + 2j),
    "deep": np.zeros([1, 1, 1, 1, 2], np.uint16), "half": np.float16(0.1)}
with tf.Graph().as_default(), tf.Session() as s:
    for name, value in contents.items():
        tf.get_variable(name, initializer=tf.constant(value,
            tf.string if name == "none" else None))
    s.run(tf.global_variables_initializer())
    path = tf.train.Saver().save(s, d + "/m")
    first = tf.train.Saver([v for v in tf.global_variables() if v.op.name not in ("half",
        "deep", "complex")], write_version=1).save(s, d + "/n")
def digest(data):
    return len(data), hash(data)
out = [(p, digest(Path(p).read_bytes())) for p in files() if not p.endswith("meta")]
for reader in (tf.train.NewCheckpointReader(path), tf.train.NewCheckpointReader(first)):
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    for name in sorted(shapes):
        value = reader.get_tensor(name)
        found = np.asarray(value).tolist()
        out += [(name, type(value).__name__, shapes[name], dtypes[name].name)]
        out += [digest(repr(found).encode())]
""",
    "list_variables and load_variable": """
path = saved()
out = [tf.train.list_variables(p) for p in (path, d, ".", Path(path), Path(d))]
out += [tf.train.load_variable(p, n) for p in (path, d) for n in ("v", "v:0", "w")]
out += [err(lambda: tf.train.load_variable(path, n))[0] for n in ("x", "v:1")]
out += [err(lambda: tf.train.list_variables(p))[0] for p in ("none", "/none/m", d + "/m.data")]
os.makedirs("e")
out += [err(lambda: tf.train.list_variables("e")), err(lambda: tf.train.load_checkpoint("e"))]
out += [type(tf.train.load_checkpoint(d)).__name__]
""",
    "state files": """
def made(*args, **kwargs):
    kind, found = err(lambda: tf.train.generate_checkpoint_state_proto(*args, **kwargs))
    return kind, str(found)
out = [made("x", "x/m"), made("x", "m"), made("/a", "/a/m"), made("/a", "m"), made("a", "/a/m"),
    made("", "m")]
out += [made("x", "x/m", ["x/n"]), made("x", "x/m", ["x/m", "x/n"]), made("x", "x/m", ["x/n",
    "x/m"])]
out += [made("x", "x/m", ["x/n", "x/m"], [1.5, 2.0], 3.25), made("x", "x/m", ["x/m"], [1.0,
    2.0])]
out += [made("x", "x/m", ["x/n"], [1.0, 2.0]), made("x", "x/m", last_preserved_timestamp=0.0)]
for args, kwargs in [((d, d + "/m"), {}), ((d, "m"), {"latest_filename": "s"}), (("x", "x/m"),
    {}),
    ((d, d + "/checkpoint"), {}), ((".", "m", ["l", "m"]),
        {"all_model_checkpoint_timestamps": [1.0, 2.5], "last_preserved_timestamp": 1.0})]:
    os.makedirs("x", exist_ok=True)
    out += [err(lambda: tf.train.update_checkpoint_state(*args, **kwargs))]
    out += [[(str(p), p.read_text()) for p in sorted(Path(".").rglob("*")) if p.is_file()]]
    out += [str(tf.train.get_checkpoint_state(args[0], **{k: v for k,
        v in kwargs.items() if k[0] == "l" and k[1] == "a" and k[2] == "t"}))]
""",
    "reading state files": """
out = []
for content in ("", "x", "model_checkpoint_path: 'm'",
    "model_checkpoint_path: '/a/m' "
    "all_model_checkpoint_paths: 'b' all_model_checkpoint_paths: '/c'",
    "all_model_checkpoint_paths: 'b'", "unknown: 3",
        "model_checkpoint_path: 'm' last_preserved_timestamp: 3", "model_checkpoint_path: ''"):
    Path("checkpoint").write_text(content, encoding="latin-1")
    for where in (d, ".", "", Path(".")):
        kind, found = err(lambda: tf.train.get_checkpoint_state(where))
        out += [kind, str(found), err(lambda: tf.train.latest_checkpoint(where))]
os.remove("checkpoint")
out += [tf.train.get_checkpoint_state(d), tf.train.latest_checkpoint(d),
    tf.train.get_checkpoint_state("none")]
os.makedirs("checkpoint")
out += [err(lambda: tf.train.get_checkpoint_state(d)),
    err(lambda: tf.train.latest_checkpoint(d))]
""",
    "what is there": """
path, first = saved(), saved("n", write_version=1)
os.makedirs("s")
shards = saved("s/q", write_version=1, sharded=True)
out = [shards] + [tf.train.checkpoint_exists(p) for p in (path, "m", "m.index", "m.data", first,
    "n", "s/q", shards, "none", "", "?", "s/*")]
out += [len(tf.train.get_checkpoint_mtimes(p)) for p in ([], [path], [path, "none", first],
    [shards])]
tf.train.remove_checkpoint(first)
out += [files(), files("s")]
tf.train.remove_checkpoint(path)
tf.train.remove_checkpoint("none")
tf.train.remove_checkpoint(first, checkpoint_format_version=tf.train.SaverDef.V1,
    meta_graph_suffix="meta")
tf.train.remove_checkpoint(shards, tf.train.SaverDef.V1)
out += [files(), files("s")]
""",
}

INITIALIZING = {
    "forms of maps": """
path = saved()
maps = [{"v": "a"}, {"v": "a", "w": "b"}, {"v": "in/a"}, {"/": "/"}, {"/": "in/"}, {"v": 3},
    {"v": None}, {"x": "a"}, {"v": "x"}, {"v": "b"},
    {"v": "r"}, [("v", "a"), ("v", "in/a")], [("v", "a")], {"in/": "in/"}, {"v": "in/"},
        {"v/": "a"}, {}, [], {"v": "a:0"}, {"/": "none/"}, {"w": "a"}]
out = []
for m in maps:
    with tf.Graph().as_default(), tf.Session() as s:
        tf.get_variable("a", [2])
        tf.get_variable("b", [2, 2], tf.int32)
        tf.get_variable("r", [2], use_resource=True)
        with tf.variable_scope("in"):
            tf.get_variable("a", [2])
        tf.get_variable("in/v", [2])
        zeros = [v.initializer for v in tf.global_variables()]
        kind, found = err(lambda: tf.train.init_from_checkpoint(path, m))
        if kind == "ok":
            s.run(tf.global_variables_initializer())
            changed = [v.op.name for v, z in zip(tf.global_variables(),
                zeros) if v.initializer is not z]
            out += [(str(m), found, changed,
                [s.run(v).tolist() for v in tf.global_variables() if v.op.name in changed])]
        else:
            out += [(str(m), kind)]
""",
    "scopes, objects, partitions": """
with tf.Graph().as_default(), tf.Session() as s:
    for scope in ("one", "one/two"):
        with tf.variable_scope(scope):
            tf.get_variable("v", initializer=tf.constant([1.0 + len(scope), 2.0]))
            tf.get_variable("p", [5, 2], partitioner=tf.fixed_size_partitioner(2),
                initializer=tf.ones_initializer())
    tf.get_variable("one/q", initializer=tf.ones([6]))
    s.run(tf.global_variables_initializer())
    path = tf.train.Saver().save(s, d + "/m")
out = []
for m in ("{'one/': 'x/'}", "{'one/two/': 'x/'}", "{'one/v': x, 'one/q': q}",
    "{'one/p': 'x/p'}", "{'one/p': list(p)}",
    "{'one/': 'one/'}"):
    with tf.Graph().as_default(), tf.Session() as s:
        with tf.variable_scope("x"):
            x = tf.get_variable("v", [2])
            p = tf.get_variable("p", [5, 2], partitioner=tf.fixed_size_partitioner(3))
        q = tf.get_variable("q", [6], use_resource=True)
        r = tf.get_variable("r", [6], partitioner=tf.fixed_size_partitioner(2))
        zeros = [v.initializer for v in tf.global_variables()]
        kind, found = err(lambda: tf.train.init_from_checkpoint(d, eval(m)))
        if kind == "ok":
            s.run(tf.global_variables_initializer())
            changed = [v.op.name for v, z in zip(tf.global_variables(),
                zeros) if v.initializer is not z]
            out += [(m, changed,
                [s.run(v).tolist() for v in tf.global_variables() if v.op.name in changed])]
        else:
            out += [(m, kind)]
""",
    "errors": """
path = saved()
v = tf.get_variable("v", [3])
w = tf.get_variable("w", [2, 2])
def shown(f):
    kind, found = err(f)
    return kind, re.sub("<tf.Variable.*?>", "V", str(found))
out = [shown(lambda: tf.train.init_from_checkpoint(p, {"v": "v"})) for p in (path,)]
out += [shown(lambda: tf.train.init_from_checkpoint(path, m)) for m in ({"v": "in/"},)]
out += [shown(lambda: tf.train.init_from_checkpoint(p, {"none": "v"}))[0] for p in (path,
    "none")]
""",
}

META_GRAPHS = {
    "exports": """
with tf.device("/cpu:0"):
    model()
with tf.name_scope("s"):
    c = tf.constant([1.0], name="c")
    tf.add_to_collection("tensors", tf.square(c, name="q"))
tf.add_to_collection("numbers", 3); tf.add_to_collection("floats", 1.5)
tf.add_to_collection("bytes", b"b")
tf.add_to_collection("objects", object()); tf.add_to_collection("ops", c.op)
tf.add_to_collection(("t", 1), 3)
saver = tf.train.Saver()
def shown(m):
    kinds = {k: str(v) for k,
        v in sorted(m.collection_def.items()) if k not in ("trainable_variables", "variables")}
    nodes = [(n.name, n.op, list(n.input), n.device, sorted(n.attr)) for n in m.graph_def.node]
    info = m.meta_info_def
    return [kinds, nodes, str(m.saver_def), [o.name for o in info.stripped_op_list.op],
        info.tensorflow_version, list(info.tags), info.stripped_default_attrs,
            str(m.graph_def.versions)]
out = []
for options in ({}, {"clear_devices": True}, {"collection_list": ["numbers", "none",
    "variables"]}, {"collection_list": []}, {"export_scope": "s/"},
        {"strip_default_attrs": True}):
    out += [options, shown(tf.train.export_meta_graph(**options)),
        shown(saver.export_meta_graph(**options))]
    saver.export_meta_graph("m.meta", **options)
    saver.export_meta_graph("t.pbtxt", as_text=True, **options)
    out += [shown(tf.MetaGraphDef.FromString(Path("m.meta").read_bytes())),
        Path("t.pbtxt").read_text().startswith("meta_info_def {")]
info = tf.MetaGraphDef.MetaInfoDef(tags=["x"], meta_graph_version="9")
out += [str(tf.train.export_meta_graph(meta_info_def=info).meta_info_def.tags),
    shown(tf.train.export_meta_graph(graph_def=tf.GraphDef(), saver_def=saver.saver_def))[1:3]]
out += [err(lambda: tf.train.export_meta_graph(meta_info_def=3))[0],
    err(lambda: tf.train.export_meta_graph(graph_def=3))[0],
        err(lambda: tf.train.export_meta_graph(saver_def=3))[0]]
""",
    "extraneous savers": """
model()
one, two = tf.train.Saver(name="one"), tf.train.Saver(name="two")
tf.add_to_collection(tf.GraphKeys.SAVERS, one)
tf.add_to_collection(tf.GraphKeys.SAVERS, two)
out = []
for clear in (False, True):
    m = two.export_meta_graph(clear_extraneous_savers=clear)
    out += [[n.name for n in m.graph_def.node], m.collection_def["savers"].bytes_list.value,
        str(m.saver_def)]
""",
    "imports": """
with tf.Graph().as_default(), tf.Session() as s:
    with tf.device("/cpu:1"):
        x = tf.placeholder_with_default(tf.constant([1.0, 1.0]), [2], name="x")
    model()
    y = tf.add(x, tf.global_variables()[0], name="y")
    tf.add_to_collection("y", y)
    s.run(tf.global_variables_initializer())
    path = tf.train.Saver(max_to_keep=7).save(s, d + "/m")
out = []
for options in ({}, {"clear_devices": True}, {"import_scope": "s"}, {"import_scope": "a/b"},
    {"input_map": {"x:0": 3}}, {"import_scope": "s", "input_map": {"x:0": 3}},
        {"return_elements": ["y:0"]}, {"input_map": {"none:0": 3}}, {"what": 1}):
    with tf.Graph().as_default() as g, tf.Session() as s:
        if "input_map" in options:
            options["input_map"] = {k: tf.constant([5.0, 5.0]) for k in options["input_map"]}
        kind, saver = err(lambda: tf.train.import_meta_graph(path + ".meta", **options))
        if kind != "ok":
            out += [kind]
            continue
        saver.restore(s, path)
        out += [[(o.name, o.device) for o in g.get_operations()], str(saver.saver_def),
            [v.name for v in tf.global_variables()], s.run(tf.get_collection("y"))]
        out += [saver.save(s, d + "/again"), saver.last_checkpoints,
            tf.train.list_variables(d + "/again")]
with tf.Graph().as_default() as g, tf.name_scope("outer"):
    saver = tf.train.import_meta_graph(path + ".meta", import_scope="in")
    out += [[v.name for v in tf.global_variables()], str(saver.saver_def)]
message = tf.MetaGraphDef.FromString(Path(path + ".meta").read_bytes())
before = message.SerializeToString(deterministic=True)
message.ClearField("saver_def")
with tf.Graph().as_default():
    out += [str(tf.train.import_meta_graph(message).saver_def),
        str(tf.train.import_meta_graph(message, import_scope="s").saver_def)]
with tf.Graph().as_default():
    out += [tf.train.import_meta_graph(tf.MetaGraphDef())]
for where in ("none", d, path + ".index"):
    kind, found = err(lambda: tf.train.import_meta_graph(where))
    out += [kind, str(found).split(":")[0] if where != "none" else found]
""",
    "a scope with inputs from outside": """
x = tf.placeholder(tf.float32, [], name="x")
with tf.name_scope("s"):
    y = tf.square(x, name="y")
    with tf.colocate_with(x.op):
        tf.negative(y, name="z")
m = tf.train.export_meta_graph(export_scope="s/")
nodes = [(n.name, list(n.input), list(n.attr["_class"].list.s)) for n in m.graph_def.node]
out = [nodes, list(m.collection_def["unbound_inputs"].bytes_list.value)]
with tf.Graph().as_default(), tf.Session() as s:
    out += [err(lambda: tf.train.import_meta_graph(m))]
    names = {"$unbound_inputs_x": tf.constant(3.0)}
    out += [err(lambda: tf.train.import_meta_graph(m, input_map=names, import_scope="t"))]
    out += [s.run("t/z:0")]
""",
    "a graph twice": """
with tf.Graph().as_default(), started() as s:
    path = tf.train.Saver().save(s, d + "/m")
one = tf.train.import_meta_graph(path + ".meta")
two = tf.train.import_meta_graph(path + ".meta", import_scope="two")
with tf.Session() as s:
    one.restore(s, path)
    out = [text(lambda: s.run(tf.global_variables()[2]))[0]]
    two.restore(s, path)
    out += [values(s)]
kind, found = err(lambda: tf.train.import_meta_graph(path + ".meta"))
out += [kind, [v.name for v in tf.global_variables()]]
""",
    "what a save writes beside it": """
s = started()
with tf.device("/cpu:0"):
    tf.get_variable("r", [2], use_resource=True, initializer=tf.zeros_initializer())
s.run(tf.global_variables_initializer())
tf.add_to_collection("c", tf.matmul(tf.ones([1, 1]), tf.ones([1, 1])))
saver = tf.train.Saver(sharded=True)
saver.save(s, "m", strip_default_attrs=True)
out = []
for name in ("m.meta",):
    m = tf.MetaGraphDef.FromString(Path(name).read_bytes())
    out += [[(n.name, n.op, list(n.input), sorted((k, str(v)) for k,
        v in n.attr.items())) for n in m.graph_def.node], str(m.saver_def),
            str(m.meta_info_def.stripped_op_list)]
    out += [{k: v.SerializeToString(deterministic=True) for k,
        v in sorted(m.collection_def.items())}]
""",
}


@pytest.mark.rows("program", {"9.3": META_GRAPHS, "9.4": READING | INITIALIZING})
def test_checkpoint_files(assert_same_files, program):
    assert_same_files(program)
