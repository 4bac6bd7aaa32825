"""Every work of the bench builds and gives TensorFlow's answers, with small sizes; its tables."""

import importlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bench
import checkpoints
import kernel_times
import numpy as np
import overhead
import pytest
import table
from works import ROWS

import tfsession as tf

WORKS = list({id(row.work): row.work for row in ROWS}.values())
SMALL = {name: (work, sizes) for work in WORKS for name, sizes in work.small.items()}


@pytest.fixture(scope="module")
def libraries():
    return bench.libraries()


@pytest.mark.oracle
@pytest.mark.spec("programs")
@pytest.mark.filterwarnings("ignore")  # TensorFlow's, of what is deprecated
@pytest.mark.parametrize("name", SMALL)
def test_a_work_gives_tensorflows_answer(tf, libraries, name):
    work, sizes = SMALL[name]
    bench.agree(name, [work.build(module, *sizes) for module in libraries.values()])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", bench.OTHERS)
def test_works_in_other_libraries_give_our_answers(library):
    name, works = bench.OTHERS[library]
    module = pytest.importorskip(name, reason=f"{library} is not installed here")
    importlib.import_module(works)
    for name, (work, sizes) in SMALL.items():
        if library in work.others:
            steps = [work.build(tf, *sizes), work.others[library](module, *sizes)]
            bench.agree(name, steps)


def test_rows_have_names_of_their_own():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) < table.WIDTH


@pytest.mark.parametrize("theirs", [[1.0, [2.0, 3.5]], [1.0, [2.0]], [1.0, [2.0, np.nan]]])
def test_answers_that_differ_are_not_timed(theirs):
    with pytest.raises(AssertionError):
        bench.agree("row", [lambda: [1.0, [2.0, 3.0]], lambda: theirs])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux counts so")
def test_checkpoints_are_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoints, "forget", lambda prefix: None)
    options = ["--gigabytes", "0.001", "--layouts", "1", "3", "--rounds", "1"]
    options += ["--only", "tfsession", "--directory", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["checkpoints.py", *options])
    checkpoints.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [count, what] for count in "13" for what in ("peak", "cold", "warm", "save")
    ]
    assert not list(tmp_path.iterdir())


def _result(name, ours, theirs):
    return bench.Result(name, {table.OURS: ours, table.THEIRS: theirs}).figures()


def test_ratios_are_of_medians_and_span_the_rounds():
    found = _result("row", [1.0, 2.0, 9.0], [4.0, 4.0, 6.0])
    assert found["ratios"][table.THEIRS] == (0.5, 0.25, 1.5)
    assert "0.500" in table.line(found, [])
    assert "0.25..1.50" in table.line(found, [])


def test_kept_figures_stay_beside_new_ones(tmp_path):
    path, about = tmp_path / "figures.json", {"machine": "a machine", "date": "a day"}
    table.keep(path, about, [_result("a", [1.0], [1.0]), _result("b", [2.0], [1.0])])
    table.keep(path, about, [_result("a", [0.5], [1.0])])
    assert [row["name"] for row in json.loads(path.read_text())["rows"]] == ["a", "b"]
    text = table.markdown(path)
    assert text.startswith("a machine, a day.")
    assert "| a | 500.00 ms | 1.00 s | 0.50 | 0.50..0.50 |" in text
    assert "**geometric mean of 2** |  |  | **1.00**" in text


@pytest.mark.parametrize("row", overhead.ROWS, ids=lambda row: row[0].strip())
def test_rows_of_overhead_give_what_their_kernels_give(row):
    _, program, config, kernels = row
    run, call = (work() for work in overhead._works(tf, program, config))
    assert str(run) == str(call)
    expected = kernels()
    if expected is not None and not isinstance(run, dict):
        np.testing.assert_allclose(run, expected, rtol=1e-6)


def test_what_holds_is_a_multiple_and_a_percentage():
    with ThreadPoolExecutor(2) as pool:
        assert overhead.tail(lambda: None, 200) >= 1
        assert overhead.shared(lambda: None, pool, threads=2, rounds=1) > 0


def test_the_time_of_a_row_is_told_by_operation():
    (row,) = (row for row in ROWS if row.name == "MLP inference, batch 1")
    found, numbers = kernel_times.times(row, tf, 2)
    assert numbers["MatMul"] == 3
    assert len(found["MatMul"]) == 2
    assert min(found["MatMul"]) > 0
