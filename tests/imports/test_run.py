"""`tfsession run`: programs of TensorFlow 1 as they are, and all else as under plain `python`."""

import sys
import zipfile

import pytest

PROGRAMS = [
    (("compat_v1.py",), "[[3.0]] ['y/kernel:0', 'y/bias:0']\n"),
    (("private_modules.py",), "ValueError\n6 True [1, 2, 3]\n"),
    (("flags.py", "--steps=2", "--rate", "0.25", "more"),
     "neighbour ['--steps=2', '--rate', '0.25', 'more'] ['more'] 1.0\n"),
    (("flags.py", "--quiet"), ""),
    (("old_flags.py", "--size", "4", "--other=1", "rest"),
     "['--other=1', 'rest'] [('folder', ''), ('size', 4)]\n['x'] 5 5\n"),
    (("-m", "package.train", "--epochs", "10", "-m", "x"),
     "__main__ package ['--epochs', '10', '-m', 'x'] package.model [42.]\n"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "output"), PROGRAMS, ids=lambda words: "-".join(words[:2]))
def test_programs(words, output, tfsession_run):
    done = tfsession_run(*words)
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


# What is no business of TensorFlow's is as the interpreter has it.
SAME = {
    "main": "import sys, json, __main__\n"
    "print(json.dumps([sys.argv, __name__, __file__, sys.path[0], __package__, __spec__,\n"
    "    type(__loader__).__name__, __doc__, __main__.__dict__ is globals(),\n"
    "    sorted(set(globals()) - {'__cached__'})]))",
    "exit": "import sys; sys.exit(7)",
    "exit with text": "import sys; sys.exit('a reason')",
    "exit with nothing": "raise SystemExit",
    "raise": "# coding: latin-1\ndef f():\n    raise ValueError('é')\n\nf()\n",
    "raise from": "try:\n    {}['x']\nexcept KeyError as error:\n"
    "    raise OSError('y') from error\n",
    "broken pipe": "raise BrokenPipeError('z')",
    "syntax": "x = = 1\n",
    "coding": "# -*- coding: latin-1 -*-\nprint('caf\xe9')\n",
    "hook": "import sys\nsys.excepthook = lambda *about: print('hook', about[0].__name__)\n1 / 0\n",
    "at exit": "import atexit; atexit.register(print, 'bye'); raise KeyError(1)",
    "thread": "import threading\n"
    "threading.Timer(0.05, lambda: print('late', __name__)).start()\n",
    "future": "from __future__ import annotations\ndef f(x: int): pass\nprint(f.__annotations__)",
    "annotations": "def f(x: int): pass\nprint(f.__annotations__)",
    "pickle": "import pickle\nclass C: pass\nprint(type(pickle.loads(pickle.dumps(C()))) is C)",
    "import": "import neighbour; print(neighbour.__file__)",
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_as_under_plain_python(name, tfsession_run, plainly, tmp_path, scripts):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "script.py").write_bytes(SAME[name].encode("latin-1"))
    (tmp_path / "inner" / "neighbour.py").write_text("")
    (tmp_path / "link.py").symlink_to(tmp_path / "inner" / "script.py")
    for script in ("inner/script.py", tmp_path / "link.py"):
        words = (script, "--epochs", "10", "--", "-m", "-h", "--help")
        mine, expected = tfsession_run(*words, cwd=tmp_path), plainly(*words, cwd=tmp_path)
        assert mine.stdout == expected.stdout
        assert mine.stderr == expected.stderr
        assert mine.returncode == expected.returncode


MAINS = [("package", "x"), ("archive.zip", "x"), ("-m", "package", "x"), ("-m", "no_such_module")]


@pytest.mark.parametrize("words", MAINS, ids="-".join)
def test_folders_archives_and_modules(words, tfsession_run, plainly, tmp_path, scripts):
    (tmp_path / "package").mkdir()
    source = (scripts / "package" / "__main__.py").read_bytes()
    (tmp_path / "package" / "__main__.py").write_bytes(source)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", source)
    mine, expected = tfsession_run(*words, cwd=tmp_path), plainly(*words, cwd=tmp_path)
    assert (mine.stdout, mine.returncode) == (expected.stdout, expected.returncode)
    assert mine.stderr == expected.stderr


def test_a_module_s_traceback_is_plain(tfsession_run, plainly, tmp_path):
    (tmp_path / "fails.py").write_text("def f():\n    1 / 0\n\nf()\n")
    mine, expected = (way("-m", "fails", cwd=tmp_path) for way in (tfsession_run, plainly))
    assert mine.stderr == expected.stderr
    assert mine.returncode == expected.returncode == 1


@pytest.mark.parametrize("words", [(), ("-m",), ("no_such_file.py",), ("--no-such-option",)])
def test_misuse(words, tfsession_run):
    done = tfsession_run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "tfsession" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX signal")
def test_interrupted(tfsession_run, tmp_path):
    (tmp_path / "script.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    done = tfsession_run("script.py", cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr.endswith("KeyboardInterrupt\n")
