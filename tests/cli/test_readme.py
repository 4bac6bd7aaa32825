"""What the README shows of the command line is what the commands print."""

import re
import runpy
from pathlib import Path

import pytest

import tfsession as tf

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SIMULATED = re.search(r"TFSESSION_SIMULATED_GPUS=([^`\s]+)", README)[1]


def shown():
    """(command line, what the README shows below it)."""
    block = re.search(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1]
    return re.findall(r"^\$ (tfsession .*?)\n(.*?)(?=^\$ |\Z)", block, re.DOTALL | re.MULTILINE)


def structure(text):
    """`text` without what differs from machine to machine: versions, numbers, the CPU's name."""
    text = re.sub(r"^tfsession \d.*", "tfsession", text, flags=re.MULTILINE)
    text = re.sub(r" +", " ", text)
    text = re.sub(r"^(/device:CPU:0) .+? (?=\d[\d.]* \w+ /)", r"\1 CPU ", text, flags=re.MULTILINE)
    text = re.sub(r"[\d.]+ [KMG]iB / [\d.]+ [KMG]iB none", "0 / 0 none", text)
    return re.sub(r"PASS in [\d.]+ s", "PASS", text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where graph.pb is, which holds the README's first program."""
    program = tmp_path_factory.mktemp("readme") / "program.py"
    program.write_text(re.search(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[1])
    with tf.Graph().as_default() as graph:
        runpy.run_path(str(program))
    (program.parent / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    return program.parent


@pytest.mark.parametrize(("command", "output"), shown(), ids=lambda text: text.split("\n")[0])
def test_the_readme_s_commands(command, output, tfsession, folder, monkeypatch):
    monkeypatch.chdir(folder)
    out, _ = tfsession(*command.split()[1:], TFSESSION_SIMULATED_GPUS=SIMULATED)
    assert structure(out) == structure(output)


def test_there_are_three_commands():
    assert len(shown()) == 3
    assert structure("/device:GPU:0 Simulated GPU 0 B / 8.0 GiB") != structure("/device:GPU:0 x")
