"""What the tests against real TensorFlow share, and the count of what they compare.

A test says which section of the specification it proves: `@pytest.mark.spec("2.4")`. Programs
stand in tables: `@pytest.mark.rows("program", ROWS)` runs a test with each, where ROWS maps a
section to programs, named or not. `@pytest.mark.choices(CHOICES)` does so for programs that are
meant to end differently, each under the name of its row in docs/differences.md.
"""

import difflib
import gc
import inspect
import os
import pprint
import re
import threading
import warnings
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import tfsession

# What the report calls each section of the specification.
SECTIONS = {
    "0.1": "modes",
    "0.2": "names",
    "0.3": "equality",
    "0.4": "repr and str",
    "1.1": "Session",
    "1.2": "InteractiveSession",
    "1.3": "default stacks",
    "1.4": "close",
    "1.5": "graph evolution",
    "1.6": "mixing graphs",
    "2.1": "order of work",
    "2.2": "fetch leaves",
    "2.3": "fetch structures",
    "2.4": "feeds",
    "2.5": "fetchability",
    "2.6": "runtime errors",
    "3.1": "make_callable",
    "3.2": "callables from options",
    "3.3": "partial runs",
    "3.4": "reset",
    "3.5": "list_devices",
    "3.6": "session handles",
    "4": "protocol messages",
    "5.1": "device grammar",
    "5.2": "DeviceSpec",
    "5.3": "device scopes",
    "5.4": "colocate_with",
    "5.5": "device names at run time",
    "6.1": "placement",
    "6.2": "wildcards",
    "6.3": "soft placement",
    "6.4": "log_device_placement",
    "7.1": "pruning",
    "7.2": "order of ops",
    "7.3": "state",
    "7.4": "transfers",
    "7.5": "seeds",
    "7.6": "random kernels",
    "7.7": "timeouts, threads",
    "8.1": "RunMetadata",
    "8.2": "step_stats",
    "8.3": "cost_graph",
    "8.4": "timeline",
    "9.1": "GraphDef",
    "9.2": "import_graph_def",
    "9.3": "MetaGraph",
    "9.4": "Saver",
    "9.5": "bundles",
    "9.6": "saved slices",
    "9.7": "SavedModel",
    "9.8": "freezing",
    "10": "error classes",
    "11.1": "control flow at run time",
    "11.2": "cond and while_loop",
    "11.3": "functions, and control flow made of them",
    "11.4": "gradients of control flow",
    "12.1": "queues",
    "12.2": "readers",
    "12.3": "TFRecord",
    "12.4": "queue runners",
    "ConfigProto": "",
    "GPUOptions": "",
    "GraphOptions": "",
    "OptimizerOptions": "",
    "RewriterConfig": "",
    "RunOptions": "",
    "accumulators": "accumulators and staging areas",
    "composites": "sparse and ragged tensors",
    "datasets": "datasets and iterators",
    "dtypes": "element types",
    "graph": "Graph, Operation, Tensor",
    "ops": "values and gradients",
    "op_defs": "definitions of ops",
    "programs": "whole programs",
    "shapes": "TensorShape, Dimension",
    "signatures": "public names",
    "summaries": "summaries and event files",
    "training": "trainings with hooks",
    "variables": "variables and scopes",
}

_FATES = ("equal", "by choice", "different")
_count = Counter()  # by (section, fate)
_rows_of_item = pytest.StashKey[int]()
# What a report carries from the process of a test to the one that counts.
_COMPARED = "compared with real TensorFlow"


def pytest_generate_tests(metafunc):
    """Turn tables into tests: each program with the section that it stands under."""
    for mark in metafunc.definition.iter_markers("rows"):
        name, table = mark.args
        params = []
        for section, programs in table.items():
            named = programs if isinstance(programs, dict) else {text: text for text in programs}
            proves = pytest.mark.spec(section)
            params += [pytest.param(text, id=id, marks=proves) for id, text in named.items()]
        metafunc.parametrize(name, params)
    for mark in metafunc.definition.iter_markers("choices"):
        params = []
        for section, choices in mark.args[0].items():
            for row, program, ours in choices:
                proves = pytest.mark.spec(section, choice=row)
                params.append(pytest.param((row, program, ours), id=row, marks=proves))
        metafunc.parametrize("choice", params)


def pytest_collection_modifyitems(items):
    """Refuse a test against real TensorFlow that does not say what it proves."""
    for item in items:
        if item.get_closest_marker("oracle"):
            mark = item.get_closest_marker("spec")
            if mark is None or not set(mark.args) <= set(SECTIONS):
                raise pytest.UsageError(f"{item.nodeid}: no such section: {mark and mark.args}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    mark = item.get_closest_marker("spec")
    # Without a section: about the tests themselves, no comparison.
    if mark and mark.args:
        found = None
        if hasattr(report, "wasxfail") or (report.failed and report.when != "teardown"):
            found = [mark.args[0], "different", 1]
        elif report.passed and report.when == "call":
            fate = "by choice" if "choice" in mark.kwargs else "equal"
            found = [mark.args[0], fate, item.stash.get(_rows_of_item, 1)]
        if found:
            report.user_properties = [*report.user_properties, (_COMPARED, found)]
    return report


def pytest_runtest_logreport(report):
    """Count what was compared, in whatever process."""
    for name, value in report.user_properties:
        if name == _COMPARED:
            section, fate, rows = value
            _count[section, fate] += rows


def pytest_terminal_summary(terminalreporter):
    """Print how many rows were tried, by section, and what came of them."""
    count = _count
    if not count:
        return
    terminalreporter.section("compared with real TensorFlow, by section of the specification")
    terminalreporter.write_line(_line("", "tried", *_FATES))
    for section in SECTIONS:
        fates = [count[section, fate] for fate in _FATES]
        if any(fates):
            name = f"{section} {SECTIONS[section]}"
            terminalreporter.write_line(_line(name, sum(fates), *fates))
    sums = [sum(n for (_, fate), n in count.items() if fate == wanted) for wanted in _FATES]
    terminalreporter.write_line(_line("total", sum(sums), *sums))


def _line(name, *cells):
    return f"{name:<32}" + "".join(f"{cell:>11}" for cell in cells)


@pytest.fixture
def rows_compared(request):
    """A function for tests that compare many rows at once: how many, if not one."""

    def tell(rows):
        request.node.stash[_rows_of_item] = rows

    return tell


# Real TensorFlow keeps pointers to the code of a graph's creators: it must not be freed.
_codes = []
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_MODULE = re.compile(r"\b(?:tensorflow|tfsession)(?:\.\w+)*\.(\w+)")
_LOCAL_FUNCTION = re.compile(r"[\w.<>]+\(\) (?=takes|got)")
# What real TensorFlow says when not it, but the program is at fault.
_MISTAKE = re.compile(
    r"(?:name|variable) '\w+' is not (?:defined|associated)|module '[\w.]+' has no attribute|"
    "No module named"
)
_CONFIG_TEXT = re.compile(r"config: .*\} Registered")


def _plain(text):
    """A text without what differs by nature: addresses, module names."""
    # The class of a real graph tensor has a name of its own.
    text = _MODULE.sub(r"\1", _ADDRESS.sub("", text)).replace("SymbolicTensor", "Tensor")
    return _CONFIG_TEXT.sub("config: } Registered", _LOCAL_FUNCTION.sub("f() ", text))


def _described(value):
    if isinstance(value, np.ndarray | np.generic):
        return type(value).__name__, str(value.dtype), value.shape, repr(value.tolist())
    if isinstance(value, dict):
        pairs = [(_plain(repr(key)), _described(item)) for key, item in value.items()]
        return type(value).__name__, pairs
    if isinstance(value, list | tuple):
        return type(value).__name__, [_described(item) for item in value]
    if isinstance(value, str):
        return _plain(value)
    if inspect.isfunction(value):
        return "a function"
    return _plain(type(value).__name__), _plain(repr(value))


def _err(function):
    """What a program's call gives, or the class and the text of its error."""
    try:
        return "ok", function()
    except BaseException as error:
        return type(error).__name__, getattr(error, "message", None) or str(error)


def _failure(function):
    """The error of a program's call."""
    try:
        function()
    except Exception as error:
        return error


def _text(function):
    """The class of the error of a call, and its text without the lines of creation."""
    error = _failure(function)
    lines = getattr(error, "message", str(error)).split("\n")
    return type(error).__name__, [x for x in lines if not x.startswith(("    File", "Detected"))]


def _trace(error):
    """The text of an error, of the frames only those of the program."""
    lines = str(error).splitlines()
    return [x for x in lines if "program.py" in x or not x.startswith(("    ", "  File"))]


# What every program may use beside `tf`.
_NAMES = {"np": np, "err": _err, "failure": _failure, "text": _text, "trace": _trace}


def _outcome(module, prelude, program):
    """What `out` is after the program, or the error it ends with, in comparable form."""
    names = {"tf": module, **_NAMES}
    codes = [compile(text, "program.py", "exec") for text in (prelude, program)]
    _codes.extend(codes)
    try:
        for code in codes:
            exec(code, names)
        return _described(names["out"])
    except Exception as error:
        message = getattr(error, "message", None) or str(error)
        return "raised", type(error).__name__, _plain(message)


def _outcome_on(gpus, module, texts):
    """The outcome in a thread of its own: with it come an empty default graph and empty stacks."""
    found = []
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        # Real TensorFlow, of the CPU build, sees no GPU.
        patch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)
        if gpus:
            patch.setenv("TFSESSION_SIMULATED_GPUS", gpus)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        # The finalizer of an interactive session takes a lock that making one holds.
        gc.disable()
        thread = threading.Thread(target=lambda: found.append(_outcome(module, *texts)))
        thread.start()
        thread.join()
        gc.enable()
    return found[0]


# Programs that end otherwise with a GPU, as with TensorFlow's own, by the test's name.
_SHOWS_GPUS = Path(__file__).with_name("shows_gpus.txt")


@pytest.fixture(scope="session")
def outcomes(tf):
    """A function that gives the outcomes of a program under real TensorFlow and tfsession.

    With TFSESSION_CONFORMANCE_GPUS=1 in the environment it holds tfsession to the same outcome
    where what can be computed on a GPU is, a simulated one; but for the tests in shows_gpus.txt.
    """
    gpus = "1:256MiB" if os.environ.get("TFSESSION_CONFORMANCE_GPUS") else ""
    lines = _SHOWS_GPUS.read_text(encoding="utf-8").splitlines()
    excepted = {line for line in lines if line and not line.startswith("#")}

    def run(*texts):
        real, ours = (_outcome_on("", module, texts) for module in (tf, tfsession))
        mistake = _MISTAKE.search(repr(real))
        assert mistake is None, f"the program itself is wrong: {mistake[0]}"
        test = os.environ["PYTEST_CURRENT_TEST"].partition("conformance/")[2].rpartition(" ")[0]
        if gpus and test not in excepted:
            there = _outcome_on(gpus, tfsession, texts)
            _fail_if_different(texts, ("on the CPU", ours), ("on a GPU", there))
        return [real, ours]

    return run


def _fail_if_different(texts, first, second):
    """Show where two outcomes are not the same; each has a title."""
    lines = [pprint.pformat(found, width=100).splitlines() for _, found in (first, second)]
    if lines[0] != lines[1]:
        found = difflib.unified_diff(*lines, first[0], second[0], lineterm="")
        pytest.fail("\n".join([texts[-1], *found]), pytrace=False)


@pytest.fixture(scope="session")
def assert_same(outcomes):
    """A function that holds a program to one outcome, and shows where there are two."""

    def check(*texts):
        real, ours = outcomes(*texts)
        _fail_if_different(texts, ("TensorFlow", real), ("tfsession", ours))

    return check


# For programs that write files: a directory, models to save, what they leave.
_FILES = """
import os, re, shutil, time
from pathlib import Path
shutil.rmtree(d, ignore_errors=True)
os.makedirs(d)
os.chdir(d)

def files(where="."):
    return sorted(p.name for p in Path(where).iterdir())

def model(resource=False, more=()):
    with tf.variable_scope("", use_resource=resource):
        v = [tf.get_variable("v", initializer=tf.constant([1.0, 2.0]))]
        v.append(tf.get_variable("w", initializer=tf.constant([[1, 2], [3, 4]])))
        return v + [tf.get_variable(name, initializer=tf.constant(value)) for name, value in more]

def started(*args, **kwargs):
    model(*args, **kwargs)
    return fresh()

def fresh():
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return session

def values(session):
    return {v.op.name: session.run(v).tolist() for v in tf.global_variables()}

def text(f):
    error = failure(f)
    lines = getattr(error, "message", str(error)).split("\\n")
    kept = []
    for line in lines:
        if line.startswith(("Errors may have originated", "Input Source", "Original stack")):
            break
        if not line.startswith(("    File", "Detected", "  File", "    ")):
            kept.append(line)
    return type(error).__name__, kept

def saved(name="m", **options):
    "A checkpoint of another graph."
    with tf.Graph().as_default(), started() as session:
        return tf.train.Saver(**options).save(session, d + "/" + name)

def state(where="."):
    lines = Path(where, "checkpoint").read_text()
    return re.sub(r"(timestamps?): [0-9.e+]+", r"\\1: T", lines)
"""


@pytest.fixture
def assert_same_files(assert_same, tmp_path, monkeypatch):
    """As `assert_same`, for a program that works in an empty directory `d`."""
    monkeypatch.chdir(tmp_path)

    def check(program):
        assert_same(f"d = {str(tmp_path / 'd')!r}\n{_FILES}", program)

    return check


@pytest.fixture(scope="session")
def differences():
    """The first cells of the table in docs/differences.md."""
    text = resources.files(tfsession).joinpath("docs/differences.md").read_text(encoding="utf-8")
    return {line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if " | " in line}


# Differences that are there where TensorFlow uses oneDNN.
OF_ONEDNN = {
    "`softmax` of a scalar of unknown rank",
    "step stats: the name of the CPU's allocator",
}


@pytest.fixture
def assert_by_choice(outcomes, differences, tensorflow_has_onednn):
    """A function that holds a documented difference: still there, and ours as the row says."""

    def check(prelude, choice):
        row, program, ours = choice
        assert row in differences
        real, mine = outcomes(prelude, program)
        assert mine == _described(ours)
        is_different = mine != real or (row in OF_ONEDNN and not tensorflow_has_onednn)
        assert is_different, "no longer different: strike the row"

    return check


@pytest.fixture
def graphs_of(tf, monkeypatch):
    """The nodes of a program here and in TensorFlow, whose values `f`, fed `F`, are alike."""
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)

    def run(module, program):
        with module.Graph().as_default() as graph:
            names = {"tf": module}
            exec(program, names)
            config = module.ConfigProto()
            # The default optimizers make dead values of some loops.
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            with module.Session(graph=graph, config=config) as session:
                session.run(module.global_variables_initializer())
                found = session.run(names["f"], names["F"])
        return found, [
            (node.name, node.op, list(node.input), list(node.attr["_class"].list.s))
            for node in graph.as_graph_def().node
        ]

    def compare(program):
        (theirs, their_nodes), (ours, our_nodes) = run(tf, program), run(tfsession, program)
        for mine, wanted in zip(ours, theirs, strict=True):
            if isinstance(wanted, bytes):
                assert mine == wanted
            else:
                assert np.asarray(mine).dtype == np.asarray(wanted).dtype
                np.testing.assert_allclose(mine, wanted, rtol=2e-5, atol=1e-5)
        return our_nodes, their_nodes

    return compare
