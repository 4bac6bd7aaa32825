"""`tf.train.Saver`: each program under both libraries.

Each sees `d`, an empty directory of one name under both, where it works, too.
"""

import pytest

pytestmark = pytest.mark.oracle

SAVERS = {
    "names of the checkpoint": """
with started() as s:
    os.makedirs("x/y")
    saver = tf.train.Saver()
    out = [saver.save(s, d + "/m"), saver.save(s, "m"), saver.save(s, "./m", 3)]
    out += [saver.save(s, "x/y/m", np.int64(4))]
    out += [saver.last_checkpoints, files(), files("x/y"), state(), state("x/y")]
    out += [err(lambda: saver.save(s, "")), err(lambda: saver.save(s, "x/"))]
""",
    "steps": """
step = tf.train.get_or_create_global_step()
with fresh() as s:
    saver = tf.train.Saver(max_to_keep=0)
    out = [saver.save(s, "m", n) for n in (0, 7, np.int32(8), step, tf.constant(9, tf.int64),
        -1)]
    out += [err(lambda: saver.save(s, "m", n)) for n in (True, np.array(3), "x", 1.5, [1])]
    out += [files(), saver.last_checkpoints]
""",
    "padded steps": """
with started() as s:
    saver = tf.train.Saver(pad_step_number=True)
    out = [saver.save(s, "m", n) for n in (0, 7, 123456789, -1)], saver.save(s, "m")
""",
    "max_to_keep": """
out = []
with started() as s:
    for kept in (0, None, 1, 2, 5, -1, 2.5):
        saver = tf.train.Saver(max_to_keep=kept)
        out.append(err(lambda: [saver.save(s, f"k{kept}/m", n) for n in range(4)]))
        out.append([files(f"k{kept}"), saver.last_checkpoints, state(f"k{kept}"),
            saver.saver_def.max_to_keep])
""",
    "the same name twice is kept once": """
with started() as s:
    saver = tf.train.Saver(max_to_keep=2)
    for name in ("a", "b", "a", "c", "c"):
        saver.save(s, name)
    out = [files(), saver.last_checkpoints, state()]
""",
    "keep_checkpoint_every_n_hours": """
with started() as s:
    saver = tf.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=0.0)
    out = [saver.save(s, "m", n) for n in range(3)]
    other = tf.train.Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1e-9)
    out += [other.save(s, "n", n) for n in range(3)]
    out += [files(), state(), saver.last_checkpoints]
""",
    "write_state=False, write_meta_graph=False": """
with started() as s:
    saver = tf.train.Saver(max_to_keep=1)
    out = [saver.save(s, "m", n, write_state=False) for n in range(3)]
    out += [files(), saver.last_checkpoints]
    saver.save(s, "m", 3, write_meta_graph=False)
    out += [files(), saver.last_checkpoints]
    saver.save(s, "m", 4, latest_filename="other", meta_graph_suffix="graph")
    out += [files(), saver.last_checkpoints, Path("other").read_text()]
""",
    "latest_filename": """
with started() as s:
    saver = tf.train.Saver()
    out = [err(lambda: saver.save(s, p, latest_filename=n)) for p, n in
           [("m", "a/b"), ("m", "m"), ("checkpoint", None), ("x/checkpoint", None)]]
    out += [err(lambda: saver.save(s, "n", 1, latest_filename="n")), files()]
    sharded = tf.train.Saver(sharded=True)
    out += [err(lambda: sharded.save(s, "q", latest_filename="q"))]
    out += [tf.train.latest_checkpoint("."), tf.train.latest_checkpoint(".", "n")]
""",
    "relative paths": """
with started() as s:
    out = []
    for relative in (False, True):
        saver = tf.train.Saver(save_relative_paths=relative)
        for p in (d + "/m", "m", "./n", "x/m", d + "/x/n", "x/../x/o"):
            saver.save(s, p, int(relative))
            where = os.path.dirname(p)
            out += [state(where), saver.last_checkpoints,
                tf.train.latest_checkpoint(where or ".")]
""",
    "last checkpoints": """
with started() as s:
    saver = tf.train.Saver(max_to_keep=2)
    out = [saver.last_checkpoints]
    saver.set_last_checkpoints(["a", "b"])
    out += [saver.last_checkpoints, saver.save(s, "c"), saver.last_checkpoints]
    saver.set_last_checkpoints_with_time([("d", 5.0), ("c", 6.0)])
    out += [saver.last_checkpoints, saver.save(s, "e"), files(), saver.last_checkpoints]
    out += [text(lambda: saver.set_last_checkpoints_with_time((("d", 5.0),)))[0]]
    out += [text(lambda: saver.set_last_checkpoints(("d",)))[0], saver.last_checkpoints]
    saver.recover_last_checkpoints(["c", "gone", "e"])
    out += [saver.last_checkpoints]
    saver.recover_last_checkpoints(())
    out += [saver.last_checkpoints, err(lambda: saver.recover_last_checkpoints(None))]
""",
    "allow_empty": """
out = [err(lambda: tf.train.Saver())]
saver = tf.train.Saver(allow_empty=True)
with tf.Session() as s:
    out += [saver.save(s, "m"), files(), saver.restore(s, "nowhere"), saver.restore(s, None)]
    out += [saver.saver_def is None, saver.as_saver_def() is None, saver.last_checkpoints]
    out += [saver.save(s, "m", write_meta_graph=False)]
out += [err(lambda: tf.train.Saver([])), err(lambda: tf.train.Saver({}))]
out += [tf.train.Saver([], allow_empty=True).saver_def]
""",
    "defer_build": """
saver = tf.train.Saver(defer_build=True)
s = started()
out = [err(lambda: saver.save(s, "m")), saver.saver_def]
out += [err(lambda: saver.restore(s, "m"))]
saver.build()
saver.build()
out += [saver.save(s, "m"), len(tf.get_default_graph().get_operations())]
out += [err(lambda: tf.train.Saver(tf.global_variables(), defer_build=True))]
""",
    "var_list": """
v, w = model()
t = tf.constant(1.0)
lists = [None, [v], (v,), {v}, {"a": v, "b": w}, {"a": v, "b": v}, [v, v], v, "v", [t],
    {"a": t}, [v, 3],
    {1: v}, {"a": [v, w]}, {"a": None}, [None], {"": v}, {"a/b:c": v}, {b"a": v}]
out = [err(lambda: str(tf.train.Saver(x).saver_def)) for x in lists]
out = [(k, re.sub(r"0x[0-9a-f]+|shape=.*|dtype=.*", "", str(x))) for k, x in out]
""",
    "var_list of resources": """
v, w = model(True)
t = tf.constant(1.0)
lists = [None, [v], (v,), {"a": v, "b": w}, {"a": v, "b": v}, [v, v], {"r": v.value()},
    [v.value()], [v.handle],
    [v.read_value()], [v, w.handle]]
out = [err(lambda: str(tf.train.Saver(x).saver_def)) for x in lists]
out = [(k, re.sub(r"0x[0-9a-f]+|shape=.*|dtype=.*", "", str(x))) for k, x in out]
""",
    "names differ in graph and checkpoint": """
with started() as s:
    v, w = tf.global_variables()
    path = tf.train.Saver({"one": v, "two": w}).save(s, "m")
    s.run(v.assign([7.0, 8.0]))
    back = tf.train.Saver({"one": v})
    back.restore(s, path)
    out = [values(s), tf.train.list_variables(path)]
""",
    "nodes of a saver": """
model()
out = []
for options in ({}, {"name": "n"}, {"name": "a/b"}, {"filename": "f"},
    {"restore_sequentially": True}, {"reshape": True}, {"sharded": True}, {"write_version": 1},
                {"write_version": 1, "sharded": True}):
    with tf.Graph().as_default() as g:
        model()
        with tf.device("/cpu:1"):
            tf.Variable(1.0, name="p")
        resource = tf.get_variable("r", [2], use_resource=True)
        with tf.name_scope("outer"):
            saver = tf.train.Saver(**options)
        nodes = [n for n in g.as_graph_def(add_shapes=True).node if "outer" in n.name]
        out += [str(saver.saver_def), [(n.name, n.op, list(n.input), n.device, sorted((k,
            str(a)) for k, a in n.attr.items())) for n in nodes]]
""",
    "two savers": """
model()
out = [str(tf.train.Saver().saver_def), str(tf.train.Saver(max_to_keep=None,
    keep_checkpoint_every_n_hours=2).saver_def)]
""",
    "saver_def": """
s = started()
saver = tf.train.Saver(max_to_keep=3, write_version=tf.train.SaverDef.V1)
other = tf.train.Saver(saver_def=saver.as_saver_def())
again = tf.train.Saver.from_proto(saver.to_proto())
out = [str(other.saver_def), str(again.saver_def), other.save(s, "m"), files()]
for scope in ("save", "save/", "other", ""):
    out.append(str(saver.to_proto(scope)))
empty = tf.train.SaverDef()
out += [err(lambda: tf.train.Saver(saver_def=empty))]
empty.save_tensor_name = "x"
out += [err(lambda: tf.train.Saver(saver_def=empty))]
imported = tf.train.SaverDef.FromString(saver.saver_def.SerializeToString())
out += [str(tf.train.Saver(saver_def=imported, name="scope").saver_def)]
out += [str(tf.train.Saver.from_proto(imported, import_scope="t").saver_def)]
out += [err(lambda: tf.train.Saver(saver_def="x")), err(lambda: tf.train.Saver(saver_def=3))]
""",
    "versions": """
out = []
model()
for version in (1, 2, "2"):
    out.append(err(lambda: str(tf.train.Saver(write_version=version).saver_def)))
out.append([tf.train.SaverDef.LEGACY, tf.train.SaverDef.V1, tf.train.SaverDef.V2])
""",
    "reshape": """
with tf.Graph().as_default(), tf.Session() as s:
    v = tf.get_variable("v", initializer=tf.constant([1.0, 2, 3, 4, 5, 6]))
    r = tf.get_variable("r", initializer=tf.constant([1.0, 2, 3, 4]), use_resource=True)
    s.run(tf.global_variables_initializer())
    tf.train.Saver().save(s, d + "/m")
out = []
for shapes in ([[2, 3], [2, 2]], [[3, 2], [4, 1]], [[5], [4]], [[6], [3]], [[6], [4]], [[1, 2,
    3], [4]]):
    with tf.Graph().as_default(), tf.Session() as s:
        v = tf.get_variable("v", shapes[0])
        r = tf.get_variable("r", shapes[1], use_resource=True)
        for reshape in (True, False):
            saver = tf.train.Saver(reshape=reshape)
            found = err(lambda: saver.restore(s, d + "/m"))
            out.append(values(s) if found[0] == "ok" else found[0])
""",
    "errors of save": """
s = started()
saver = tf.train.Saver()
out = [err(lambda: saver.save(x, "m")) for x in (None, 3, "s", tf.Session)]
s.close()
out += [text(lambda: saver.save(s, "m")), files()]
with tf.Session() as unset:
    out += [text(lambda: saver.save(unset, d + "/m"))[0], files()]
with tf.Graph().as_default(), started() as other:
    pass
with tf.Session(graph=tf.Graph()) as other:
    out += [text(lambda: saver.save(other, "m"))]
""",
    "errors of restore": """
path = saved()
s = started(more=[("extra", 1.0)])
saver = tf.train.Saver()
out = [text(lambda: saver.restore(s, p)) for p in (None, "", "nowhere", d + "/m.index",
    d + "/m.meta", path)]
s.run(tf.global_variables()[0].assign([7.0, 8.0]))
out += [values(s)]
Path("text").write_text("no checkpoint, but long enough to be one: " + "-" * 60)
Path("empty").write_text("")
Path("e.index").write_text("")
out += [text(lambda: saver.restore(s, p))[0] for p in ("text", "empty", "e", "checkpoint")]
out += [err(lambda: saver.restore(x, path)) for x in (None,)][0][0]
s.close()
out += [text(lambda: saver.restore(s, path))]
""",
    "missing, of another dtype, of another shape": """
path = saved()
out = []
for use_resource in (False, True):
    for name, value in [("x", [1.0, 2.0]), ("v", [1, 2]), ("v", ["a", "b"]), ("v", [1.0, 2.0,
        3.0]), ("v", [[1.0, 2.0]]), ("v", 1.0)]:
        with tf.Graph().as_default(), tf.Session() as s:
            tf.get_variable(name, initializer=tf.constant(value), use_resource=use_resource)
            saver = tf.train.Saver()
            kind, lines = text(lambda: saver.restore(s, path))
            lines = [x for x in lines if "node" not in x and "save/" not in x]
            out.append((kind, lines[:3]))
""",
    "a data file is gone or short": """
path = saved()
with tf.Graph().as_default(), started() as s:
    saver = tf.train.Saver()
    data = Path("m.data-00000-of-00001")
    whole = data.read_bytes()
    data.write_bytes(whole + b"more")
    out = [err(lambda: saver.restore(s, path))]
    data.unlink()
    out += [text(lambda: saver.restore(s, path))[0], tf.train.checkpoint_exists(path),
        tf.train.list_variables(path)]
""",
    "partial restores and the default graph": """
path = saved()
with tf.Graph().as_default() as g:
    v = tf.get_variable("v", [2])
    saver = tf.train.Saver()
s = tf.Session(graph=g)
saver.restore(s, path)
out = [s.run(v), saver.save(s, d + "/n"), files()]
""",
    "sharded": """
with tf.Graph().as_default(), tf.Session(config=tf.ConfigProto(device_count={"CPU": 3})) as s:
    for i in range(3):
        with tf.device(f"/cpu:{i}"):
            tf.get_variable(f"v{i}", initializer=tf.constant([float(i)] * i))
    with tf.device("/job:localhost/task:0/cpu:0"):
        tf.get_variable("w", initializer=tf.constant(5), use_resource=True)
    tf.get_variable("free", initializer=tf.constant(b"text"))
    s.run(tf.global_variables_initializer())
    saver = tf.train.Saver(sharded=True, max_to_keep=1)
    out = [saver.save(s, d + "/m", n) for n in range(2)]
    out += [files(), state(),
        {p: Path(p).read_bytes() for p in files() if "-of-" in p or p.endswith("index")}]
    saver.restore(s, d + "/m-1")
    out += [values(s)]
    first = tf.train.Saver(sharded=True, write_version=1, max_to_keep=2)
    out += [first.save(s, d + "/n", n) for n in range(3)]
    out += [files(), state(), tf.train.latest_checkpoint(d), first.last_checkpoints]
    first.restore(s, tf.train.latest_checkpoint(d))
    out += [values(s), tf.train.checkpoint_exists(d + "/n-2-?????-of-00005"),
        tf.train.checkpoint_exists(d + "/n-2")]
""",
    "first format": """
with started() as s:
    saver = tf.train.Saver(write_version=tf.train.SaverDef.V1, max_to_keep=2)
    out = [saver.save(s, "m", n) for n in range(3)] + [files(), state()]
    saver.restore(s, "m-2")
    out += [values(s), tf.train.latest_checkpoint("."), tf.train.list_variables("m-2")]
    out += [tf.train.get_checkpoint_state(".").model_checkpoint_path,
        tf.train.checkpoint_exists("m-0")]
    tf.train.remove_checkpoint("m-1", checkpoint_format_version=1)
    out += [files()]
""",
    "partitioned": """
out = []
for axis in (0, 1):
    with tf.Graph().as_default(), tf.Session() as s:
        ramp = tf.reshape(tf.range(35.0), [7, 5])
        p = tf.get_variable("p", [7, 5], partitioner=tf.fixed_size_partitioner(3, axis),
            initializer=lambda shape, dtype, partition_info: tf.slice(ramp,
                partition_info.var_offset, shape))
        s.run(tf.global_variables_initializer())
        path = tf.train.Saver().save(s, f"{d}/p{axis}")
        out += [[str(v._save_slice_info.spec) for v in p], [v.name for v in p],
            Path(path + ".index").read_bytes()]
        out += [Path(path + ".data-00000-of-00001").read_bytes()]
    for parts, there in ((1, 0), (2, 1), (4, 0), (5, 1)):
        with tf.Graph().as_default(), tf.Session() as s:
            q = tf.get_variable("p", [7, 5], partitioner=tf.fixed_size_partitioner(parts,
                there))
            tf.train.Saver().restore(s, path)
            out += [s.run(tf.convert_to_tensor(q)).tolist()]
    with tf.Graph().as_default(), tf.Session() as s:
        q = tf.get_variable("p", [7, 6], partitioner=tf.fixed_size_partitioner(2))
        out += [text(lambda: tf.train.Saver().restore(s, path))[0]]
    reader = tf.train.NewCheckpointReader(path)
    out += [reader.get_tensor("p").tolist(), reader.get_variable_to_shape_map()]
""",
    "slices": """
with tf.Graph().as_default() as g, tf.Session() as s:
    parts = tf.create_partitioned_variables([4, 6], [2, 1], tf.ones_initializer(), name="q")
    s.run(tf.global_variables_initializer())
    out = [[(v.name, v._save_slice_info.spec, v._save_slice_info.full_name,
        v._save_slice_info.full_shape,
        v._save_slice_info.var_offset, v._save_slice_info.var_shape,
            str(v._save_slice_info.to_proto())) for v in parts]]
    path = tf.train.Saver({"whole": parts}).save(s, "m")
    out += [tf.train.list_variables(path),
        err(lambda: tf.train.Saver({"a": parts[0]}).saver_def.version)]
    out += [err(lambda: tf.train.Saver([parts[0]]).save(s, "n")),
        err(lambda: tf.train.list_variables("n"))]
    plain = tf.Variable(1.0)
    out += [err(lambda: tf.train.Saver({"a": [parts[0], plain]}))[0]]
""",
}


@pytest.mark.rows("program", {"9.4": SAVERS})
def test_savers(assert_same_files, program):
    assert_same_files(program)
