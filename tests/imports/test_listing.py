"""The lists: the page of names is true, every name has a status, every pattern fits something."""

import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import tfsession
from tfsession.core import exports
from tfsession.imports import listing

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def loaded():
    dir(tfsession)


def everything():
    return listing.names() | listing.names("names_of_programs.txt")


def api(*options):
    return subprocess.run(
        ["bash", "ci/api", "--check", *options], cwd=ROOT, capture_output=True, text=True,
        check=False, env=os.environ | {"PYTHON": sys.executable}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_page_is_true():
    done = api()
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nci/api writes it anew"


@pytest.mark.oracle
@pytest.mark.spec("signatures")
def test_the_names_are_tensorflow_s():
    done = api("--names")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_name_has_a_status():
    assert len(listing.names()) > 3500
    for name in everything():
        kind, reason = listing.status(name)
        assert kind in (listing.PRESENT, listing.PLANNED, listing.REFUSED), name
        assert (reason == "") == (kind == listing.PRESENT), name


def test_what_is_present_is_there():
    found = [name for name in listing.names() if listing.present(name) is not None]
    assert len(found) > 800
    for name in found:
        value = tfsession
        for part in name.split("."):
            value = getattr(value, part)


def test_public_names_are_present():
    assert {n for n in exports.names if listing.status(n).kind != listing.PRESENT} == set()


def test_lists_do_not_overlap():
    assert listing.names() & listing.names("names_of_programs.txt") == set()


@pytest.mark.parametrize(
    ("name", "near"),
    [("placehold", "placeholder"), ("layer.dense", "layers.dense"), ("zzzzz", None),
     ("contrib.zz.relu", "nn.relu"), ("NN.Relu", "nn.relu")],
)  # fmt: skip
def test_nearest(name, near):
    assert listing.nearest(name) == near


def test_reasons_are_each_for_something():
    rules = listing._reasons()
    assert {kind for _, (kind, _) in rules} == {listing.PLANNED, listing.REFUSED}
    known = everything() | listing._known_modules()
    for patterns, status in rules:
        assert any(fnmatchcase(name, p) for name in known for p in patterns), status
