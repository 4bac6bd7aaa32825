"""`tf.summary`, its writers and readers: each program under both libraries.

Each sees `d`, an empty directory of one name under both, where it works, too.
"""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
import glob
def ran(*tensors, feeds=None):
    with tf.Session() as s:
        s.run(tf.global_variables_initializer())
        return [str(tf.Summary.FromString(x)) for x in s.run(list(tensors), feeds)]

def events(pattern="*"):
    found = []
    for path in sorted(glob.glob(d + "/" + pattern)):
        if os.path.isfile(path):
            for event in tf.train.summary_iterator(path):
                event.ClearField("wall_time")
                event.source_metadata.ClearField("writer")
                kind = event.WhichOneof("what")
                large = kind in ("graph_def", "meta_graph_def", "tagged_run_metadata")
                found.append((kind, event.step) if large else str(event))
    return found
"""

VALUES = {
    "tags and nodes": """
with tf.name_scope("a"):
    x = tf.constant([1.0, 2.0])
    tf.summary.scalar("s", x[0])
    tf.summary.scalar("s", x[1], family="f")
    tf.summary.histogram("h h", x)
    tf.summary.scalar("b/c", x[0], collections=["mine"])
    tf.summary.text("t", tf.constant(["x", "y"]))
    tf.summary.tensor_summary("ts", x, summary_description="d", display_name="n")
    tf.summary.image("i", tf.zeros([2, 2, 2, 1]), max_outputs=1)
    tf.summary.image("i", tf.zeros([2, 2, 2, 3]), max_outputs=5, family="f")
    tf.summary.audio("au", tf.zeros([2, 4]), 8000.0, max_outputs=2)
m = tf.summary.merge_all()
n = tf.summary.merge_all("mine")
g = tf.get_default_graph()
out = [[(o.name, o.type, [i.name for i in o.inputs]) for o in g.get_operations()], m.name,
    n.name]
out += [[x.name for x in g.get_collection(k)] for k in (tf.GraphKeys.SUMMARIES, "mine")]
with tf.Session() as s:
    for one in s.run([m, n]):
        out += [[(v.tag, v.WhichOneof("value"),
            str(v.metadata)) for v in tf.Summary.FromString(one).value]]
""",
    "scalars": """
out = []
for dtype in ("float32", "float64", "int32", "int64", "uint8", "float16", "int8", "uint16",
    "bfloat16"):
    out += [err(lambda: ran(tf.summary.scalar("s", tf.cast(tf.constant(3), dtype))))]
for value in (True, "text", [1.0], 1 + 2j, None, [], np.nan, np.inf, 3, 2.5, np.float64(1e300)):
    out += [err(lambda: ran(tf.summary.scalar("s", value)))[0]]
for name in ("a b", "a/b", "", "/a", "a:0", "\\u00e9", 3):
    out += [err(lambda: ran(tf.summary.scalar(name, 1.0)))]
x = tf.placeholder(tf.float32)
s = tf.summary.scalar("p", x)
out += [err(lambda: ran(s, feeds={x: 1.0}))[0], err(lambda: ran(s, feeds={x: [1.0]}))[0]]
""",
    "histograms": """
rng = np.random.RandomState(3)
sets = [[], [0.0], [1.0], [-1.0], [1.0] * 7, [0.0, 1e-13, -1e-13], [1e300, -1e300],
    rng.normal(size=200), rng.normal(size=50) * 1e9,
    [1.7976931348623157e308 / 10], np.arange(20), np.arange(-5, 5), [np.float32(3.4e38)], [[1.0,
        2.0], [3.0, 4.0]], 5.0]
x = tf.placeholder(tf.float64)
h = tf.summary.histogram("h", x)
out = [ran(h, feeds={x: v}) for v in sets]
for bad in ([np.nan], [1.0, np.inf], [-np.inf]):
    out += [text(lambda: ran(h, feeds={x: bad}))]
for dtype in ("float32", "float16", "int32", "uint8", "int64", "int8", "uint16", "bfloat16",
    "bool"):
    out += [err(lambda: ran(tf.summary.histogram("i", tf.cast(tf.constant([0, 1, 1, 3]),
        dtype))))[0]]
out += [ran(tf.summary.histogram("i", tf.cast(tf.constant([0, 1, 1, 3]),
    dtype))) for dtype in ("float32", "int64", "uint8")]
""",
    "audio": """
rng = np.random.RandomState(3)
out = []
for shape, most in (([1, 8], 3), ([3, 8], 3), ([3, 8], 1), ([2, 8, 2], 5), ([1, 5, 1], 1)):
    data = np.clip(rng.normal(size=shape), -2, 2).astype(np.float32)
    with tf.Session() as s:
        found = tf.Summary.FromString(s.run(tf.summary.audio("a", data, 16000,
            max_outputs=most)))
    out += [[(v.tag, v.audio.sample_rate, v.audio.num_channels, v.audio.length_frames,
        v.audio.content_type, v.audio.encoded_audio_string) for v in found.value]]
rate = tf.placeholder(tf.float32, [])
a = tf.summary.audio("a", np.zeros([1, 2], np.float32), rate)
out += [ran(a, feeds={rate: 44100.5}), text(lambda: ran(a, feeds={rate: 0.0})),
    text(lambda: ran(a, feeds={rate: -1.0}))]
out += [err(lambda: tf.summary.audio("a", x, 8000))[0] for x in (np.zeros([2], np.float32),
    np.zeros([1, 2, 3, 4], np.float32), np.zeros([1, 2], np.int32))]
out += [err(lambda: tf.summary.audio("a", np.zeros([1, 2], np.float32), 8000,
    max_outputs=m))[0] for m in (0, -1)]
""",
    "images": """
out = []
def shown(found):
    return [(v.tag, v.image.height, v.image.width,
        v.image.colorspace) for v in tf.Summary.FromString(found).value]
for shape, most in (([1, 2, 3, 1], 3), ([4, 2, 3, 3], 3), ([4, 2, 3, 4], 1), ([0, 2, 3, 1], 2)):
    with tf.Session() as s:
        out += [shown(s.run(tf.summary.image("i", np.zeros(shape, np.float32),
            max_outputs=most)))]
for shape in ([1, 2, 3, 2], [2, 3, 1], [1, 2, 3, 5], [1, 0, 3, 1]):
    out += [text(lambda: ran(tf.summary.image("i", np.zeros(shape, np.float32))))[0]]
out += [err(lambda: tf.summary.image("i", np.zeros([1, 2, 2, 1], t)))[0] for t in (np.int32,
    np.int8, np.complex64)]
out += [err(lambda: tf.summary.image("i", np.zeros([1, 2, 2, 1], np.float32),
    max_outputs=m))[0] for m in (0, -1)]
""",
    "text and tensors": """
out = [err(lambda: ran(tf.summary.text("t", tf.constant(v)))) for v in ("a", ["a", "b"], [["a"],
    ["b"]], [], 3, [1.0])]
out += [ran(tf.summary.tensor_summary("t", tf.constant(v))) for v in (1.0, [1, 2], "x", [True],
    [[1.5]], np.zeros([0, 3]))]
m = tf.SummaryMetadata(display_name="x")
m.plugin_data.plugin_name, m.plugin_data.content = "p", b"c"
out += [ran(tf.summary.tensor_summary("t", 1.0, summary_metadata=m)),
    ran(tf.summary.tensor_summary("t", 1.0, summary_metadata=m, display_name="y",
        summary_description="z"))]
out += [ran(tf.summary.tensor_summary("u", 1.0, family="f", collections=[]))]
""",
    "merging": """
a, b = tf.summary.scalar("a", 1.0), tf.summary.scalar("b", 2.0)
out = [ran(tf.summary.merge([a, b]))]
out += [tf.summary.merge_all(key="none"), tf.summary.merge_all(scope="none"),
    tf.summary.merge_all(scope="a").op.inputs[0].name]
same = tf.summary.scalar("a", 3.0)
out += [ran(tf.summary.merge([a, same])), text(lambda: ran(tf.summary.merge([a, a])))]
out += [err(lambda: tf.summary.merge(x))[0] for x in ([], a, None, [1.0])]
out += [ran(tf.summary.merge([a, b], collections=["c"], name="n")),
    [x.name for x in tf.get_collection("c")]]
out += [err(lambda: tf.summary.get_summary_description(tf.summary.tensor_summary("t", 1.0,
    summary_description="d", display_name="e").op.node_def))[0]]
out += [str(tf.summary.get_summary_description(tf.summary.tensor_summary("t", 1.0,
    summary_description="d", display_name="e").op.node_def))]
out += [err(lambda: tf.summary.get_summary_description(a.op.node_def))]
""",
}

WRITERS = {
    "all that is added": """
g = tf.get_default_graph()
x = tf.constant(1.0)
summary = tf.summary.scalar("s", x)
w = tf.summary.FileWriter(d, g, filename_suffix=".x")
with tf.Session() as s:
    w.add_summary(s.run(summary), 1)
    w.add_summary(s.run(summary))
    w.add_summary(tf.Summary.FromString(s.run(summary)), np.int64(3))
    w.add_summary(s.run(summary), 2.9)
out = [w.get_logdir()]
w.add_event(tf.Event(step=9, file_version="mine"))
w.add_session_log(tf.SessionLog(status=tf.SessionLog.STOP, msg="m"), 4)
w.add_run_metadata(tf.RunMetadata(), "tag", 5)
out += [err(lambda: w.add_run_metadata(tf.RunMetadata(), "tag", 6)),
    err(lambda: w.add_run_metadata(tf.RunMetadata(), "other"))]
w.add_graph(g, 7)
w.add_graph(g.as_graph_def(), 8)
w.add_graph(graph_def=g.as_graph_def(), graph=None)
w.add_meta_graph(tf.train.export_meta_graph(), 9)
out += [err(lambda: w.add_graph(graph="x"))[0], err(lambda: w.add_meta_graph("x"))[0]]
w.flush()
out += [len(files())]
w.close()
out += events()
out += [re.sub(r"tfevents[.][0-9]+[.].*[.]x", "E", f) for f in files()]
""",
    "closed, opened again": """
with tf.summary.FileWriter(d + "/a") as w:
    w.add_summary(tf.Summary(value=[tf.Summary.Value(tag="t", simple_value=1.0)]), 1)
out = events("a/*")
with tf.summary.FileWriter(d + "/b", filename_suffix=".1") as w:
    pass
out += events("b/*")
w = tf.summary.FileWriter(d + "/c")
w.close()
w.close()
out += [err(lambda: w.flush())[0], err(lambda: w.reopen())]
w.reopen()
w.close()
out += [type(tf.summary.FileWriter(d + "/x/y/z")).__name__, os.path.isdir("x/y/z")]
""",
    "with": """
w = tf.summary.FileWriter(d)
with w as v:
    out = [v is w]
out += [err(lambda: w.__enter__())]
""",
    "metadata of a tag once": """
m = tf.SummaryMetadata(display_name="x")
w = tf.summary.FileWriter(d)
for tag in "aabb":
    w.add_summary(tf.Summary(value=[tf.Summary.Value(tag=tag, metadata=m, simple_value=1.0)]),
        1)
w.close()
out = events()
""",
    "the cache": """
a, b = tf.summary.FileWriterCache.get(d + "/a"), tf.summary.FileWriterCache.get(d + "/a")
out = [a is b, a is tf.summary.FileWriterCache.get(d + "/b")]
tf.summary.FileWriterCache.clear()
out += [a is tf.summary.FileWriterCache.get(d + "/a")]
tf.summary.FileWriterCache.clear()
""",
    "directories that are none": """
Path("f").write_text("")
out = [err(lambda: tf.summary.FileWriter(d + "/f"))[0],
    err(lambda: tf.summary.FileWriter(d + "/f/g"))[0]]
""",
    "reading": """
w = tf.summary.FileWriter(d)
for n in range(3):
    w.add_summary(tf.Summary(value=[tf.Summary.Value(tag="t", simple_value=n)]), n)
w.close()
(path,) = Path(".").iterdir()
whole = path.read_bytes()
def steps():
    found = []
    try:
        for event in tf.train.summary_iterator(str(path)):
            found.append(event.step)
    except Exception as error:
        found.append(type(error).__name__)
    return found
out = [steps()]
for cut in (0, 5, 12, 30, len(whole) - 1, len(whole) - 20):
    path.write_bytes(whole[:cut])
    out += [steps()]
for place in (0, 8, 15, len(whole) - 1, len(whole) - 10):
    data = bytearray(whole)
    data[place] ^= 1
    path.write_bytes(bytes(data))
    out += [steps()]
out += [err(lambda: list(tf.train.summary_iterator("none")))[0]]
""",
}


@pytest.mark.rows("program", {"summaries": VALUES | WRITERS})
def test_summaries(assert_same_files, program):
    assert_same_files(PRELUDE + program)
