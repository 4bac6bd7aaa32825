"""The same programs on a GPU and on a simulated one, with equal answers.

Each process has one kind of device, so answers go through files: `--write FILE` runs the programs
where the environment says; without it, two such processes run, and their answers are compared. Each
program runs several times: a step's first run, and those that replay it, give the same. Random
numbers are the same bits on all devices, but for those that pass through a logarithm or the like.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# How far numbers may be apart: of one another, and of the greatest in their array.
RELATIVE, OF_GREATEST = 2e-4, 2e-5
RUNS = 4
Program = Callable[[], list[Any]]


def _environment(simulated: str) -> dict[str, str]:
    return {**os.environ, "TFSESSION_SIMULATED_GPUS": simulated}


ENVIRONMENTS: dict[str, Callable[[], dict[str, str]]] = {
    "simulated": lambda: _environment("1:2GiB"),
    "cuda": lambda: _environment(""),
}

# Draws, and how many units in the last place they may be off: those of 0 are the same bits.
DRAWS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "uniform": (lambda tf: tf.random.uniform([1000], seed=7), 0),
    "uniform, float64": (lambda tf: tf.random.uniform([1000], seed=7, dtype=tf.float64), 0),
    "integers": (lambda tf: tf.random.uniform([1000], 0, 1 << 20, dtype=tf.int64, seed=7), 0),
    "shuffle": (lambda tf: tf.random.shuffle(tf.range(100.0), seed=7), 0),
    "stateless": (lambda tf: tf.random.stateless_uniform([1000], [3, 4]), 0),
    "dropout": (lambda tf: tf.nn.dropout(tf.ones([1000]), rate=0.25, seed=7), 0),
    "normal": (lambda tf: tf.random.normal([1000], seed=7), 64),
    "truncated normal": (lambda tf: tf.random.truncated_normal([1000], seed=7), 64),
    "stateless normal": (lambda tf: tf.random.stateless_normal([1000], [3, 4]), 64),
}


def _leaves(answer: Any) -> list[Any]:
    if isinstance(answer, (list, tuple)):
        return [leaf for part in answer for leaf in _leaves(part)]
    return [] if answer is None else [np.asarray(answer)]


def _draws(tf: Any) -> Iterator[tuple[str, Program]]:
    for name, (draw, _) in DRAWS.items():
        with tf.Graph().as_default() as graph, tf.device("/gpu:0"):
            drawn = draw(tf)
            session = tf.Session(graph=graph, config=tf.ConfigProto(allow_soft_placement=True))
        call = session.make_callable([drawn])
        yield f"draw: {name}", call


def _done(step: Any) -> Program:
    def program() -> list[Any]:
        if hasattr(step, "prepare"):
            step.prepare()
        return [step()]

    return program


def programs(tf: Any) -> Iterator[tuple[str, Callable[[], Program]]]:
    """The works of the bench with small sizes, and draws of random numbers."""
    from works import ROWS

    for work in {id(row.work): row.work for row in ROWS}.values():
        for name, sizes in work.small.items():
            yield f"work: {name}", lambda work=work, sizes=sizes: _done(work.build(tf, *sizes))
    for name, call in _draws(tf):
        yield name, lambda call=call: call


def answers(tf: Any, until: float) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """What each program gives, run by run; and why one gave nothing."""
    found: dict[str, list[Any]] = {}
    causes: dict[str, str] = {}
    for name, build in programs(tf):
        if time.monotonic() > until:
            causes[name] = "no time was left"
            continue
        try:
            program = build()
            leaves = [leaf for _ in range(RUNS) for leaf in _leaves(program())]
        except Exception as error:
            causes[name] = f"{type(error).__name__}: {str(error)[:300]}"
        else:
            if leaves:  # some only build a graph
                found[name] = leaves
    return found, causes


def write(path: Path, seconds: float) -> None:
    """Run the programs here, and keep what they give."""
    import tfsession as tf

    found, causes = answers(tf, time.monotonic() + seconds)
    arrays = {
        f"{number:03}/{place:03}": array
        for number, leaves in enumerate(found.values())
        for place, array in enumerate(leaves)
        if array.dtype.kind not in "OSU"
    }
    about = json.dumps({"names": list(found), "causes": causes})
    np.savez(path, about=np.array(about), **arrays)
    print(f"{len(found)} programs, {len(causes)} failed: {causes}", flush=True)


def read(path: Path) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """What `write` has kept."""
    with np.load(path) as kept:
        about = json.loads(str(kept["about"]))
        found: dict[str, list[Any]] = {name: [] for name in about["names"]}
        for key in sorted(kept.files):
            if key != "about":
                found[about["names"][int(key.split("/")[0])]].append(kept[key])
    return found, about["causes"]


def difference(name: str, one: Any, other: Any) -> str:
    """How two arrays differ; empty if they are equal enough."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{one.dtype}{list(one.shape)} and {other.dtype}{list(other.shape)}"
    if not one.size or np.array_equal(one, other):
        return ""
    draw = DRAWS.get(name.removeprefix("draw: "))
    if draw is not None and name.startswith("draw: "):
        units = np.abs(one - other) / np.spacing(np.maximum(np.abs(one), np.abs(other)))
        worst = float(np.nanmax(units))
        return "" if worst <= draw[1] else f"{worst:.0f} units in the last place"
    if one.dtype.kind not in "fcV":
        return f"{np.count_nonzero(one != other)} of {one.size} differ"
    one, other = one.astype(np.complex128), other.astype(np.complex128)
    greatest = np.nanmax(np.abs(one), initial=0)
    near = np.isclose(one, other, RELATIVE, OF_GREATEST * greatest, equal_nan=True)
    return "" if near.all() else f"up to {np.nanmax(np.abs(one - other)):.3g} of {greatest:.3g}"


def compare(paths: list[Path]) -> dict[str, Any]:
    """The programs that are equal, those that differ and how, those that failed and why."""
    (first, causes), (second, more) = map(read, paths)
    differences = {}
    for name in first.keys() & second.keys():
        pairs = zip(first[name], second[name], strict=False)
        if len(first[name]) != len(second[name]):
            differences[name] = f"{len(first[name])} and {len(second[name])} arrays"
        elif told := [text for pair in pairs if (text := difference(name, *pair))]:
            differences[name] = told[0]
    return {
        "equal": len(first.keys() & second.keys()) - len(differences),
        "differ": dict(sorted(differences.items())),
        "failed": {paths[0].name: causes, paths[1].name: more},
        "tolerance": {"relative": RELATIVE, "of_greatest": OF_GREATEST},
        "units_in_the_last_place": {name: units for name, (_, units) in DRAWS.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    """1 if anything differs or failed on one device only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--seconds", type=float, default=60, help="of each process")
    parser.add_argument("--kinds", nargs=2, choices=ENVIRONMENTS, default=["simulated", "cuda"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.write:
        write(options.write, options.seconds)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{n}-{kind}.npz") for n, kind in enumerate(options.kinds)]
        for kind, path in zip(options.kinds, paths, strict=True):
            command = [sys.executable, __file__, "--write", str(path)]
            command += ["--seconds", str(options.seconds)]
            subprocess.run(command, env=ENVIRONMENTS[kind](), check=True)
        found = compare(paths)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    causes, more = found["failed"].values()
    return int(bool(found["differ"]) or causes.keys() != more.keys())


if __name__ == "__main__":
    sys.exit(main())
