"""`tf.gfile`, `tf.nest`, `tf.flags`, `tf.test` under real TensorFlow and here."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("programs")]

# Each sees `g`, tf.gfile, and `d`, an empty directory.
FILES = """
[g.MakeDirs(d + "/a/b"), g.Exists(d + "/a"), g.IsDirectory(d + "/a/b"), g.Exists(d + "/z")]
g.GFile(d + "/f", "w").write("é\\nb\\n")
write("f", "one\\ntwo\\r\\nthree") or list(g.GFile(d + "/f"))
write("f", "one\\ntwo\\n") or g.GFile(d + "/f", "rb").readlines()
write("f", "one\\ntwo\\n") or [g.GFile(d + "/f").readline(), g.FastGFile(d + "/f", "rb").read(3)]
write("f", "é\\n") or [g.GFile(d + "/f").read(), g.GFile(d + "/f", "rb").read()]
write("f", "é\\n") or g.Stat(d + "/f").length
write("f", "abcdef") or seeks(g.GFile(d + "/f"))
write("f", "abc") or append("f", "def") or g.GFile(d + "/f").read()
write("f", "abc") or g.GFile(d + "/f").size()
write("f", "") or [g.GFile(d + "/f").read(), list(g.GFile(d + "/f"))]
g.GFile(d + "/none").read()
g.GFile(d + "/f", "w").read()
write("f", "") or g.GFile(d + "/f", "r").write("a")
g.GFile(d + "/f", "x")
write("f", "a") or g.Copy(d + "/f", d + "/h") or sorted(g.ListDirectory(d))
write("f", "a") or write("h", "b") or g.Copy(d + "/f", d + "/h")
write("f", "a") or write("h", "b") or g.Copy(d + "/f", d + "/h", True) or g.GFile(d + "/h").read()
write("f", "a") or g.Rename(d + "/f", d + "/h") or sorted(g.ListDirectory(d))
write("f", "a") or write("h", "b") or g.Rename(d + "/f", d + "/h")
write("f", "a") or g.Remove(d + "/f") or g.ListDirectory(d)
g.Remove(d + "/none")
g.ListDirectory(d + "/none")
g.Stat(d + "/none")
g.Copy(d + "/none", d + "/h")
g.Rename(d + "/none", d + "/h")
g.DeleteRecursively(d + "/none")
g.MkDir(d + "/a") or g.MkDir(d + "/a")
g.MkDir(d + "/a/b/c")
g.MakeDirs(d + "/a") or g.MakeDirs(d + "/a")
tree() or sorted(map(tuple, (map(str, [p, sorted(x), sorted(y)]) for p, x, y in g.Walk(d))))
tree() or [len(list(g.Walk(d, in_order=False))), list(g.Walk(d + "/none"))]
tree() or [sorted(g.Glob(d + "/*")), g.Glob(d + "/zz*")]
tree() or sorted(g.Glob([d + "/a/*", d + "/[b-z]?"]))
tree() or g.DeleteRecursively(d + "/a") or sorted(g.ListDirectory(d))
tree() or [g.Stat(d + "/a").is_directory, g.Stat(d + "/c1").is_directory]
""".strip().splitlines()


def _in_directory(tf, text, directory):
    d, g = str(directory), tf.gfile

    def write(name, content):
        with g.GFile(f"{d}/{name}", "w") as file:
            file.write(content)

    def append(name, content):
        with g.Open(f"{d}/{name}", "a") as file:
            file.write(content)

    def seeks(file):
        file.seek(2)
        found = [file.read(1), file.tell()]
        file.seek(-1, 2)
        found.append(file.read())
        file.seek(position=1)
        return [*found, file.read(2), file.seekable(), file.mode]

    def tree():
        g.MakeDirs(d + "/a/x")
        for name in ("a/f1", "a/f2", "c1", ".hidden"):
            write(name, name)

    try:
        value = eval(text)
    except Exception as error:
        return type(error).__name__
    return repr(value).replace(d, "D")


@pytest.mark.parametrize("text", FILES)
def test_files(tf, tmp_path, text):
    found = []
    for number, module in enumerate((tf, tfsession)):
        directory = tmp_path / f"d{number}"
        directory.mkdir()
        found.append(_in_directory(module, text, directory))
    assert found[1] == found[0]


NESTS = """
n.flatten({"b": [1, (2, 3)], "a": None})
n.flatten(5), n.flatten([]), n.is_nested([1]), n.is_nested(1), n.is_nested({})
n.pack_sequence_as({"b": [0, (0, 0)], "a": 0}, [1, 2, 3, 4])
n.pack_sequence_as([0, 0], [1])
n.pack_sequence_as(0, [1, 2])
n.pack_sequence_as([0], 5)
n.map_structure(lambda x, y: x + y, [1, {"a": 2}], [10, {"a": 20}])
n.map_structure(lambda x, y: x + y, [1, 2], (10, 20))
n.map_structure(lambda x, y: x + y, [1, 2], (10, 20), check_types=False)
n.map_structure(lambda x: x)
n.map_structure(5, [1])
n.map_structure(lambda x: x, [1], other=2)
n.assert_same_structure([1, (2, 3)], [4, (5, 6)])
n.assert_same_structure([1, (2, 3)], [4, [5, 6]])
n.assert_same_structure([1, (2, 3)], [4, [5, 6]], check_types=False)
n.assert_same_structure([1, (2, 3)], [4, 5])
n.assert_same_structure({"a": 1}, {"b": 1})
n.flatten([{"b": 1, "a": 2}.values(), {"b": 1}.items(), {"b": 1, "a": 2}.keys()])
n.map_structure(str, {"b": 1, "a": [2]}.values()), n.pack_sequence_as({"b": 1}.values(), [3])
""".strip().splitlines()


@pytest.mark.parametrize("text", NESTS)
def test_nests(tf, text):
    found = []
    for module in (tf, tfsession):
        try:
            found.append(eval(text, {"n": module.nest}))
        except Exception as error:
            found.append(type(error).__name__)
    assert found[1] == found[0]


PROGRAM = """
import sys
import MODULE as tf

flags = tf.app.flags
flags.DEFINE_integer("steps", 5, "How many.")
flags.DEFINE_string(flag_name="name", default_value="x", docstring="What.")
tf.flags.DEFINE_boolean("fast", False, "Whether.")
tf.flags.DEFINE_float("rate", 0.5, "How much.")
tf.flags.DEFINE_list("sizes", "1,2", "Some.")
tf.flags.DEFINE_enum("kind", "a", ["a", "b"], "One of them.")
FLAGS = tf.flags.FLAGS


def main(argv):
    print(argv[1:], FLAGS.steps, FLAGS.name, FLAGS.fast, FLAGS.rate, FLAGS.sizes, FLAGS.kind)
    FLAGS.steps = 7
    print(FLAGS.steps, FLAGS["steps"].value, "steps" in FLAGS, hasattr(FLAGS, "no"))
    print([FLAGS.__flags[name].value for name in ("name", "sizes")], "no" in FLAGS.__flags)
    return 3


if __name__ == "__main__":
    EXTRA
    tf.app.run()
"""
LINES = [
    ("", ["--steps=3", "--name", "y", "--fast", "rest", "--sizes=3,4", "--kind=b"]),
    ("", ["--nofast", "--rate", "1e-3", "--unknown=1", "rest"]),
    ("print(FLAGS.steps)", ["--steps=9", "rest"]),
    ("", ["--steps=many"]),
    ("", ["--kind=z"]),
]


# A process for each line, all of which find the module loaded.
FORKS = """
import json, os, runpy, sys
import MODULE

codes = []
for number, arguments in enumerate(json.loads(sys.argv[1])):
    pid = os.fork()
    if not pid:
        for place, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{number}.{name}", os.O_CREAT | os.O_WRONLY), place)
        sys.argv = ["program.py", *arguments]
        runpy.run_path(f"{number}.py", run_name="__main__")
        sys.exit()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(codes))
"""


def flags_of(module, folder):
    """The exit code, the output and the errors of each line."""
    folder.mkdir()
    for number, (extra, _) in enumerate(LINES):
        text = PROGRAM.replace("MODULE", module).replace("EXTRA", extra or "pass")
        (folder / f"{number}.py").write_text(text)
    lines = json.dumps([arguments for _, arguments in LINES])
    done = subprocess.run(
        [sys.executable, "-c", FORKS.replace("MODULE", module), lines],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True, cwd=folder,
    )  # fmt: skip
    found = {}
    for number, code in enumerate(json.loads(done.stdout)):
        out, err = [(folder / f"{number}.{name}").read_text() for name in ("out", "err")]
        errors = [x for x in err.splitlines() if x.startswith("FATAL") or "flag --" in x]
        found[" ".join(LINES[number][1])] = code, out, errors
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_flags(tf, tmp_path, rows_compared):
    rows_compared(len(LINES))
    theirs = flags_of("tensorflow.compat.v1", tmp_path / "theirs")
    assert flags_of("tfsession", tmp_path / "ours") == theirs
    assert [code for code, _, _ in theirs.values()] == [3, 3, 3, 1, 1]


# Each is the body of a test method; `out` collects what it is compared by.
CASES = """
self.assertAllClose([1.0, 2.0], [1.0, 2.0 + 1e-7])
self.assertAllClose([1.0, 2.0], [1.0, 2.1])
self.assertAllClose({"a": [1.0]}, {"a": np.ones(1)})
self.assertAllClose([1.0], [1.0, 2.0])
self.assertAllClose([np.nan], [np.nan])
self.assertAllEqual(tf.constant([1, 2]), [1, 2])
self.assertAllEqual([[1, 2]], [1, 2])
self.assertAllEqual([1, 2], [1, 3])
self.assertAllEqual(["a", "b"], np.array([b"a", b"b"]))
self.assertNotAllEqual([1], [1])
self.assertNotAllClose([1.0], [1.0])
self.assertAllGreater([1, 2], 1)
self.assertAllGreaterEqual([1, 2], 1)
self.assertAllInRange([1.0, 2.0], 1, 2, open_upper_bound=True)
self.assertAllInSet([1, 2], [1, 2, 3])
self.assertAllInSet([1, 5], [1, 2, 3])
self.assertAllCloseAccordingToType(np.float16([1.0]), np.float16([1.001]))
self.assertShapeEqual(np.ones([2, 3]), tf.ones([2, 3]))
self.assertNear(1.0, 1.1, 0.2)
self.assertArrayNear([1.0], [2.0], 0.2)
self.assertStartsWith("abc", "b")
self.assertDeviceEqual("/cpu:0", "/device:CPU:0")
self.assertProtoEquals("node { name: 'x' }", tf.GraphDef(node=[{"name": "x"}]))
self.assertLen([1], 2)
self.assertEmpty([])
with self.test_session() as s: self.assertEqual(3, tf.add(1, 2).eval())
with self.cached_session() as s: self.assertIs(s, tf.get_default_session())
with self.session(): self.assertEqual(4, self.evaluate(tf.constant(4)))
with self.session(), self.assertRaisesOpError("too many"): tf.Assert(False, ["too many"]).run()
with self.assertRaisesWithPredicateMatch(ValueError, "x"): raise ValueError("y")
self.assertEqual(tf.get_default_graph().seed, 87654321)
self.assertEqual(self.evaluate([tf.constant(1), {"a": tf.constant(2)}]), [1, {"a": 2}])
""".strip().splitlines()


def _verdict(tf, body):
    def method(self):
        exec(body, {"self": self, "tf": tf, "np": np})

    case = type("Case", (tf.test.TestCase,), {"test_it": method})("test_it")
    result = case.run()
    return result.testsRun, len(result.failures), len(result.errors), len(result.skipped)


@pytest.mark.parametrize("body", CASES)
def test_cases(tf, body):
    assert _verdict(tfsession, body) == _verdict(tf, body)


def test_gradients_against_differences(tf):
    found = []
    for module in (tf, tfsession):
        with module.Graph().as_default(), module.Session():
            x = module.placeholder(module.float64, [2, 2])
            y = module.reduce_sum(module.matmul(x, x) * [[1.0, 2.0], [3.0, 4.0]], 0)
            start = np.array([[1.0, 2.0], [3.0, 4.0]])
            both = module.test.compute_gradient(x, [2, 2], y, [2], x_init_value=start)
            error = module.test.compute_gradient_error(x, [2, 2], y, [2], x_init_value=start)
            found.append((*both, bool(error < 1e-6)))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-9)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-6)
    assert found[1][2] is found[0][2] is True
