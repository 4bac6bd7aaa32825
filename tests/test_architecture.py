"""The house keeps its plan: who imports whom, what ships, how long things are, what is named."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW_SESSION = {"core", "graph", "runtime", "devices", "resources"}
BELOW_TRAIN = BELOW_SESSION | {"session", "ops", "gradients"}
MAY_IMPORT = {
    "core": set(),
    "checkpoint": {"core"},
    "devices": {"core"},
    "graph": {"core"},
    "resources": {"core", "devices"},
    "ops": {"core", "graph"},
    "kernels": {"core", "checkpoint", "devices", "resources"},
    "gradients": {"core", "graph", "ops"},
    "runtime": {"core", "graph", "devices", "resources"},
    "session": BELOW_SESSION,
    "train": BELOW_TRAIN | {"checkpoint", "tracing"},
    "tracing": BELOW_TRAIN,
    "distributed": BELOW_TRAIN,
    "program": BELOW_TRAIN | {"testing", "train"},
    "contrib": BELOW_TRAIN | {"train"},
}  # a room that is not named here (cli, testing, examples, __init__) may import all
# An ops family imports families to its left only.
DOWNWARDS = [
    *("constant", "elementwise", "shape", "slice", "join", "compare", "reduce", "matmul"),
    *("random", "nn", "initializers", "state", "variable_scope"),
]
LIBRARIES = {
    "contrib": {"scipy"},
    "core": {"google", "google_crc32c"},
    "devices": {"scipy", "threadpoolctl"},
    "examples": {"sklearn", "matplotlib", "rich"},
    "testing": {"pytest"},
    "cli": {"rich"},
    "kernels": {"PIL"},
    "program": {"absl", "google"},
    "train": {"rich"},
}
GPU_LIBRARIES = {
    "contrib": {"scipy"},
    "devices/cublaslt.py": {"cuda"},
    "devices/cuda.py": {"cupy", "cupyx", "cuda"},
    "devices/cudnn.py": {"cudnn"},
    "devices/native.py": {"llvmlite"},
    "devices/nvml.py": {"pynvml"},
    "kernels/cuda/": {"cupy", "cupyx", "cuda"},
}
IMPORTED_LATE = {"hashlib", "cupy", "cupyx", "cuda", "cudnn", "pynvml", "sklearn", "matplotlib"}
IMPORTED_LATE |= {"rich", "llvmlite"}
IMPORTED_LATE |= {"PIL", "scipy", "threadpoolctl"}
# These load modules by name: families at their first look-up, a command when it is asked for.
LOADERS = {
    *(f"{room}/__init__.py" for room in ("tfsession", "tfsession/ops", "tfsession/gradients")),
    *("kernels/__init__.py", "tfsession/core/protos/__init__.py", "tfsession/cli/main.py"),
    *("tfsession/testing/__init__.py", "tfsession/program/__init__.py"),
    "tfsession/imports/finder.py",
}
REFUSED_NAMES = {"util", "utils", "misc", "helper", "helpers", "common", "basic"}
# Written so that this file does not hold what it looks for.
FORBIDDEN = re.compile(
    r"\b(?:pypi|pythonhosted|anaconda|github|gitlab|huggingface|npmjs|debian)\.(?:org|com|io|co)\b"
    r"|(?<![\w.:*)\]}-])/(?:opt|work|tmp|root|home|mnt)(?=[/\"'\s]|$)",
    re.IGNORECASE | re.MULTILINE,
)


def git_files(*patterns):
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


SOURCES = git_files("tfsession/*.py", "kernels/*.py", "devices/*.py")


def room_of(module):
    """`tfsession.graph.tensor` and `tfsession/graph/tensor.py` are of the room `graph`."""
    parts = module.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if parts[0] == "tfsession" and len(parts) > 1 else parts[0]


def imports(tree, package):
    """(line, module, whether in a function) of each import; type-only imports count too."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) + 1 - node.level], *base.split()])
            own = base.split(".")[0] == "tfsession"
            modules = [f"{base}.{alias.name}" for alias in node.names] if own else [base]
        else:
            continue
        yield from ((node.lineno, module, id(node) in late) for module in modules)


def goes_down(family, other=""):
    ranked = family in DOWNWARDS and other in DOWNWARDS
    return not ranked or DOWNWARDS.index(other) < DOWNWARDS.index(family)


def wrong_imports(name, source):
    """What `name` may not import, as lines of text."""
    room, family = room_of(name), Path(name).stem
    full = name if name.startswith("tfsession/") else f"tfsession/{name}"
    libraries = {"numpy", "ml_dtypes"} | LIBRARIES.get(room, set())
    for place, allowed in GPU_LIBRARIES.items():
        libraries |= allowed if name.startswith(place) else set()
    for line, module, late in imports(ast.parse(source), Path(full).parent.parts):
        root, target = module.split(".")[0], room_of(module)
        if root == "tfsession":
            if late:
                yield f"{name}:{line} hides the import of {module} in a function"
            if target not in MAY_IMPORT.get(room, {target}) | {room}:
                yield f"{name}:{line} {room} may not import {target}"
            elif room == target == "ops" and not goes_down(family, *module.split(".")[2:3]):
                yield f"{name}:{line} {family} imports upwards, {module}"
        elif root not in libraries and root not in sys.stdlib_module_names:
            yield f"{name}:{line} may not import {root}"
        elif late and root not in IMPORTED_LATE:
            yield f"{name}:{line} hides the import of {root} in a function"
    if re.search(r"\b(import_module|__import__)\(", source) and name not in LOADERS:
        yield f"{name} loads modules by name"


PLANTED = [
    (
        "tfsession/core/a.py",
        "from tfsession.graph.tensor import Tensor",
        "core may not import graph",
    ),
    ("tfsession/core/a.py", "from ..graph import tensor", "core may not import graph"),
    ("tfsession/core/a.py", "from tfsession import graph", "core may not import graph"),
    ("tfsession/core/a.py", "import tfsession", "core may not import tfsession"),
    ("tfsession/core/a.py", "import scipy.special", "may not import scipy"),
    ("tfsession/graph/a.py", "import google.protobuf", "may not import google"),
    ("tfsession/graph/a.py", "if X:\n    import tfsession.ops.nn", "graph may not import ops"),
    ("tfsession/ops/nn.py", "from tfsession.ops.state import x", "nn imports upwards"),
    ("tfsession/ops/nn.py", "def f():\n    from tfsession.ops import shape", "hides the import of"),
    ("tfsession/ops/nn.py", "def f():\n    import json", "hides the import of json"),
    ("tfsession/ops/nn.py", "m = importlib.import_module('cupy')", "loads modules by name"),
    ("tfsession/runtime/a.py", "import tfsession.kernels.nn", "runtime may not import kernels"),
    ("kernels/nn.py", "import cupy", "may not import cupy"),
    ("kernels/nn.py", "from tfsession.ops import nn", "kernels may not import ops"),
    ("kernels/nn.py", "from ..graph import tensor", "kernels may not import graph"),
    ("devices/manager.py", "import pynvml", "may not import pynvml"),
    ("devices/cuda.py", "from tfsession.runtime import plan", "devices may not import runtime"),
]
WELCOME = [
    ("tfsession/core/a.py", "import numpy as np\nfrom google.protobuf import message"),
    ("tfsession/ops/nn.py", "from tfsession.ops.matmul import matmul\nfrom . import shape"),
    ("tfsession/train/a.py", "from tfsession.gradients.engine import gradients"),
    ("tfsession/examples/a.py", "import tfsession as tf\ndef f():\n    import sklearn.datasets"),
    ("tfsession/testing/rows.py", "from tfsession.ops import nn\nfrom tfsession.kernels import nn"),
    ("devices/cuda.py", "def f():\n    import cupy"),
    ("kernels/cuda/nn.py", "import cupy\nfrom tfsession.resources import variable"),
]


@pytest.mark.parametrize(("name", "source", "complaint"), PLANTED)
def test_a_wrong_import_is_noticed(name, source, complaint):
    assert complaint in "\n".join(wrong_imports(name, source))


@pytest.mark.parametrize(("name", "source"), WELCOME)
def test_a_right_import_is_let_through(name, source):
    assert list(wrong_imports(name, source)) == []


def test_rooms_import_only_what_the_table_allows():
    assert len(SOURCES) > 10
    wrong = [w for name in SOURCES for w in wrong_imports(name, (ROOT / name).read_text("utf-8"))]
    assert wrong == []


def test_families_have_one_name_in_all_three_rooms():
    families = {room: {path.stem for path in (ROOT / room).glob("[a-z]*.py")}
                for room in ("tfsession/ops", "tfsession/gradients", "kernels")}  # fmt: skip
    # A family's kernels may stand in several files: random.py, random_math.py.
    parts = {k for k in families["kernels"] if k.rpartition("_")[0] in families["kernels"]}
    assert families["kernels"] - parts - families["tfsession/ops"] == set()
    assert families["tfsession/gradients"] - {"engine"} - families["tfsession/ops"] == set()


def test_every_folder_ships_and_every_data_file():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {Path(name).parent for name in SOURCES}
    packages = {".".join(folder.parts) for folder in folders}
    packages = {p if p.startswith("tfsession") else f"tfsession.{p}" for p in packages}
    assert sorted(packages) == setup["packages"]
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []
    data = {name for name in git_files("tfsession", "kernels", "devices") if name[-3:] != ".py"}
    for package, patterns in setup["package-data"].items():
        for pattern in patterns:
            folder = ROOT / package.replace(".", "/")
            data -= {str(path.relative_to(ROOT)) for path in folder.glob(pattern)}
    assert data == set()


def size_of(*files):
    environment = os.environ | {"PYTHON": sys.executable}
    return subprocess.run(
        ["bash", str(ROOT / "ci/size"), *map(str, files)],
        capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def test_files_and_functions_are_short():
    result = size_of()
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1\n" * 600, 0),
        ("x = 1\n" * 601, 1),
        ("def f():\n" + "    x = 1\n" * 79, 0),
        ("class C:\n  def f():\n" + "    x = 1\n" * 80, 1),
    ],
)
def test_a_long_file_or_function_is_noticed(tmp_path, text, code):
    (tmp_path / "planted.py").write_text(text)
    assert size_of(tmp_path / "planted.py").returncode == code


def is_export(decorator):
    return isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "export"


def refused(name, source=""):
    """File and definition names that say nothing; public names are TensorFlow's."""
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = [*Path(name).with_suffix("").parts]
    defined = [n for n in ast.walk(ast.parse(source)) if isinstance(n, definitions)]
    names += [n.name for n in defined if not any(map(is_export, n.decorator_list))]
    words = {name: re.split(r"_|(?<=[a-z])(?=[A-Z])", name) for name in names}
    return [n for n, parts in words.items() if {p.lower() for p in parts} & REFUSED_NAMES]


def test_names_say_what_a_thing_is():
    assert refused("tfsession/graph_utils.py", "def misc(): pass") == ["graph_utils", "misc"]
    assert refused("ops/nn.py", "class ShapeHelper: pass\ndef commonly(): pass") == ["ShapeHelper"]
    assert refused("ops/nn.py", '@export("nn.BasicCell")\nclass BasicCell: pass') == []
    sources = {name: (ROOT / name).read_text("utf-8") for name in git_files("*.py")}
    assert {n: bad for n, text in sources.items() if (bad := refused(n, text))} == {}


def test_no_machine_or_package_host_is_named():
    planted = ["see PyPI" + ".org/x", *(f'open("/{top}/a")' for top in ("work", "tmp", "root"))]
    assert all(FORBIDDEN.search(text) for text in planted)
    fine = ["/job:worker/task:0", "/workers", "a/opt/b", "the PyPI name", "$OUT/opt"]
    assert not any(FORBIDDEN.search(text) for text in fine)
    found = []
    for name in git_files():
        text = (ROOT / name).read_bytes().decode("utf-8", "replace")
        found += [f"{name}: {hit.group()}" for hit in FORBIDDEN.finditer(text)]
    assert found == []
