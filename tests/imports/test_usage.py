"""What `tfsession check` reads from sources: names through aliases, scopes and assignments."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession
from tfsession.cli.main import main
from tfsession.imports.usage import uses

USES = [
    ("import tensorflow as tf\ntf.nn.relu(tf.data.Dataset.range(3))",
     [(2, "data.Dataset"), (2, "nn.relu")]),
    ("import tensorflow.compat.v1 as tf\ntf.compat.v1.nn.relu", [(2, "nn.relu")]),
    ("import tensorflow.compat.v1\ntensorflow.compat.v1.nn.relu", [(2, "nn.relu")]),
    ("from tensorflow import nn, keras\nnn.zz(keras.layers.Dense(1))",
     [(1, "keras"), (1, "nn"), (2, "keras.layers.Dense"), (2, "nn.zz")]),
    ("from tensorflow.contrib import rnn as r\nr.ZZCell.call", [(1, "contrib.rnn"),
                                                                (2, "contrib.rnn.ZZCell")]),
    ("import tensorflow as tf\nslim = tf.contrib.slim\ndef f():\n  return slim.conv2d",
     [(2, "contrib.slim"), (4, "contrib.slim.conv2d")]),
    ("import tensorflow.contrib.slim as slim\nwith slim.arg_scope([slim.conv2d]): pass",
     [(1, "contrib.slim"), (2, "contrib.slim.arg_scope"), (2, "contrib.slim.conv2d")]),
    ("from tensorflow.python.ops import *", [(1, "python.ops")]),
    ("from tensorflow.examples.tutorials.mnist import input_data\n"
     "mnist = input_data.read_data_sets('d', one_hot=True)\nmnist.train.images",
     [(1, "examples.tutorials.mnist.input_data"),
      (2, "examples.tutorials.mnist.input_data.read_data_sets")]),
    ("import tensorflow as tf\ntf.train.Saver.from_proto", [(2, "train.Saver")]),
    ("import tensorflow as tf\ntf.__version__, tf.VERSION", [(2, "VERSION")]),
    ("import tensorflow as tf\ntf.logging.mine = 3", []),
    ("import tensorflow as tf\ndef f(tf): tf.zz\nlambda tf: tf.zz", []),
    ("import tensorflow as tf\ndef f():\n  for tf in x: tf.zz\n  tf = 3\ntf.yy", [(5, "yy")]),
    ("import tensorflow as tf\nclass C:\n  tf = 3\n  x: tf.yy\ntf.zz", [(5, "zz")]),
    ("def f():\n  import tensorflow as tf\n  tf.zz\ntf.yy", [(3, "zz")]),
    ("import tensorflow as tf\ndef f(x=tf.zz) -> None: return tf.yy", [(2, "yy"), (2, "zz")]),
    ("import numpy as tf\ntf.zz", []),
    ("from .tensorflow import nn\nfrom . import tensorflow as tf\ntf.zz, nn.zz", []),
    ("import tensorflow as tf\nimport numpy as tf\ntf.zz", []),
    ("import tensorflow as tf\ntf.zz.\\\nyy(tf\n.xx)", [(3, "zz.yy"), (4, "xx")]),
    ("import tensorflow_probability as tfp\ntfp.zz", []),
    ("import tensorflow as tf\n@tf.zz\nasync def f(*a: tf.yy, **b): pass", [(2, "zz"), (3, "yy")]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), USES)
def test_uses(source, expected):
    dir(tfsession)
    assert uses(source) == expected


@pytest.mark.parametrize("source", ["print 'x'", "x = = 1", b"\xff\xfe", "a\0b", "exec 'x'"])
def test_what_is_no_python(source):
    with pytest.raises(SyntaxError):
        uses(source)


@given(st.text(alphabet="tf. =()\n:import asdelmbr,", max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        found = uses(f"import tensorflow as tf\n{text}")
    except SyntaxError:
        return
    assert all(line >= 1 and symbol for line, symbol in found)


@pytest.fixture
def check(capsys, monkeypatch, tmp_path):
    """What `tfsession check ARGS` prints in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def check(*args, code=0):
        assert main(["check", *args]) == code
        return capsys.readouterr()

    return check


def test_nothing_is_missing(check, tmp_path):
    (tmp_path / "a.py").write_text("import tensorflow as tf\ntf.nn.relu(tf.constant(1.0))\n")
    assert check("a.py").out == "1 file, 2 uses of 2 symbols\nNothing is missing\n"


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "x.py").write_text("import tensorflow as tf; tf.keras")
    (folder / "old.py").write_text("import tensorflow as tf\nprint tf.VERSION\n")
    (folder / "net.py").write_text(
        "import tensorflow as tf\nx = tf.placehold(tf.float32)\nk = tf.keras.layers.Dense(1)\n"
    )
    return folder


def test_a_folder(check, project):
    lines = check("project", code=1).out.splitlines()
    assert lines[0].split() == ["File", "Line", "Symbol", "Status", "Why", "Nearest"]
    rows = [line.split("  ") for line in lines[1:3]]
    rows = [[cell.strip() for cell in row if cell] for row in rows]
    why = "no public name of TensorFlow 1 or of tf.compat.v1"
    assert rows[0] == ["project/net.py", "2", "tf.placehold", "refused", why, "tf.placeholder"]
    assert rows[1][:4] == ["project/net.py", "3", "tf.keras.layers.Dense", "refused"]
    assert rows[1][5] == "tf.layers.Dense"
    assert lines[4].startswith("project/old.py:2 is no Python of today: ")
    assert lines[5] == "2 files, 3 uses of 3 symbols"
    assert lines[6].startswith("2 symbols missing in 2 uses: 0 planned, 2 refused; all names: tfs")


def test_json(check, project):
    found = json.loads(check("project", "--json", code=1).out)
    assert found["schema_version"] == 1
    assert found["files"] == 2
    assert found["uses"] == 3
    assert found["symbols"] == {"present": 1, "planned": 0, "refused": 2}
    assert found["missing"][0] == {
        "file": "project/net.py",
        "line": 2,
        "symbol": "tf.placehold",
        "status": "refused",
        "reason": "no public name of TensorFlow 1 or of tf.compat.v1",
        "nearest": "tf.placeholder",
    }
    (unreadable,) = found["unreadable"]
    assert (unreadable["file"], unreadable["line"]) == ("project/old.py", 2)


def test_a_file_that_is_not_there(check):
    assert check("nothing.py", code=2).err == (
        "tfsession: nothing.py cannot be read: No such file or directory\n"
    )
