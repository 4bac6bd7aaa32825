"""The command line as a whole: commands, help, mistakes, what ends it."""

import json
import subprocess
import sys

import pytest


def test_version(tfsession):
    version = json.loads(tfsession("env", "--json")[0])["versions"]["tfsession"]
    assert tfsession("--version")[0] == f"tfsession {version}\n"


@pytest.mark.parametrize("args", [(), ("no-such-command",), ("devices", "--no-such-option")])
def test_misuse_shows_the_usage(tfsession, args):
    out, err = tfsession(*args, code=2)
    assert out == ""
    assert err.startswith("usage: tfsession")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("devcies", "did you mean 'devices'?"),
        ("device", "did you mean 'devices'?"),
        ("environment", "did you mean 'env'?"),
        ("plcae", "did you mean 'place'?"),
        ("qqqqqq", "there are run, check, devices, env, place"),
    ],
)
def test_an_unknown_command_names_the_nearest(tfsession, word, hint):
    assert hint in tfsession(word, code=2)[1]


def test_help_has_a_line_for_each_command(tfsession):
    lines = [line.split(maxsplit=1) for line in tfsession("--help")[0].splitlines()]
    told = {words[0]: words[1] for words in lines if len(words) == 2}
    assert {"run", "check", "devices", "env", "place"} <= set(told)


@pytest.mark.parametrize("command", ["check", "devices", "env", "place", "inspect"])
def test_each_command_has_help(tfsession, command):
    assert "--json" in tfsession(command, "--help")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's pipe")
def test_a_reader_that_leaves_early_is_no_error(environ):
    script = (
        "import sys; from tfsession.cli.main import main\n"
        "sys.stdin.readline(); sys.exit(main(['devices']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script], env=environ(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        process.stdout.close()
        process.stdin.write(b"the reader is gone\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
