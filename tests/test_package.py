"""What a user gets by `import tfsession`: a light package, typed, with its names."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import tfsession
from tfsession.core import protos

ROOT = Path(__file__).parents[1]
HEAVY = ["cupy", "cuda", "pynvml", "google.protobuf", "tensorflow", "scipy", "sklearn",
         "matplotlib", "rich", "tfsession.kernels", "tfsession.gradients.engine"]  # fmt: skip
LATE = ["numpy", "ml_dtypes", "tfsession.graph", "tfsession.ops", "tfsession.session", "inspect"]
REPORT = """
import json, sys
import tfsession
first = sorted(sys.modules)
import numpy, ml_dtypes
before = set(sys.modules)
tfsession.placeholder
from tfsession.core import protos
status = open("/proc/self/status").read() if sys.platform == "linux" else ""
rss = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
new = [name for name in set(sys.modules) - before
       if hasattr(sys.modules[name], "__file__") and not name.startswith("tfsession.ops.")]
print(json.dumps({"first": first, "modules": sorted(sys.modules), "new": len(new),
                  "rss_kib": rss and rss[0], "name": tfsession.__name__}))
"""


def run(code):
    """What a fresh interpreter prints for `code`, read as JSON."""
    environment = {k: v for k, v in os.environ.items() if k != "TFSESSION_SIMULATED_GPUS"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def fresh():
    return run(REPORT)


def loaded(modules, module):
    return [name for name in modules if name == module or name.startswith(module + ".")]


@pytest.mark.parametrize("module", HEAVY)
def test_the_first_name_loads_nothing_heavy(fresh, module):
    assert loaded(fresh["modules"], module) == []


@pytest.mark.parametrize("module", HEAVY + LATE)
def test_import_loads_next_to_nothing(fresh, module):
    assert loaded(fresh["first"], module) == []


def test_the_first_name_loads_few_modules(fresh):
    # Beyond NumPy's own: mostly one module for each op family.
    assert 5 < fresh["new"] < 240


def test_the_first_name_stays_under_60_mb(fresh):
    if not fresh["rss_kib"]:
        pytest.skip("this system does not tell a process its memory")
    assert fresh["rss_kib"] * 1024 < 60e6


def test_tensorflow_and_a_gpu_library_are_not_needed():
    blocked = ["tensorflow", "cupy", "cuda", "pynvml", "scipy", "sklearn", "matplotlib", "rich"]
    code = (
        f"import sys; sys.modules |= dict.fromkeys({blocked}); import tfsession as tf\n"
        "with tf.Session() as session: print(session.run(tf.constant(6) * 7))"
    )
    assert run(code) == 42


def test_version_is_the_package_s():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert tfsession.__version__ == project["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", tfsession.__version__)


def test_the_package_says_that_it_is_typed():
    assert resources.files(tfsession).joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    "name",
    [
        *("Session", "InteractiveSession", "Graph", "Operation", "Tensor", "Variable"),
        *("TensorShape", "DType", "float32", "placeholder", "constant", "add", "matmul"),
        *("nn.softmax", "train.GradientDescentOptimizer", "train.AdamOptimizer", "gradients"),
        *("device", "name_scope", "control_dependencies", "get_default_graph", "get_variable"),
        *("variable_scope", "global_variables_initializer", "random_uniform_initializer"),
        *("errors.InvalidArgumentError", "ConfigProto", "GPUOptions", "GraphDef", "NodeDef"),
        *("AttrValue", "import_graph_def"),
    ],
)
def test_public_names_are_there(name):
    value = tfsession
    for part in name.split("."):
        value = getattr(value, part)
    assert value is not None


def test_gradients_stays_a_function():
    # The package of the same name loads late; loading it must not take the function's place.
    code = (
        "import json, tfsession as tf; x = tf.constant(3.0); y = x * x\n"
        "first = tf.gradients(y, x)[0]\n"
        "with tf.Session() as session: value = float(session.run(tf.gradients(y, x)[0] + first))\n"
        "print(json.dumps(value))"
    )
    assert run(code) == 12.0


def test_star_import_gives_public_names_only():
    names = set(dir(tfsession)) & set(getattr(tfsession, "__all__", dir(tfsession)))
    stray = {name for name in names if not name.startswith("_")} & {"np", "sys", "os", "importlib"}
    assert stray == set()


@pytest.mark.parametrize("package", ["kernels", "devices"])
def test_a_shipped_folder_refuses_to_be_loaded_under_another_name(package):
    code = f"import json, sys; sys.path.insert(0, {str(ROOT)!r})\ntry: import {package}\n"
    code += "except ImportError as error: print(json.dumps(str(error)))\nelse: print(0)"
    assert f"tfsession.{package}" in run(code)


def test_every_field_of_a_configuration_is_explained():
    text = (ROOT / "tfsession/docs/configuration.md").read_text("utf-8")
    told = set(re.findall(r"`(?:experimental\.)?(\w+)`", text))
    for name in ("ConfigProto", "GPUOptions", "GraphOptions", "OptimizerOptions", "RunOptions"):
        fields = {field.name for field in getattr(protos, name).DESCRIPTOR.fields}
        assert fields - told == set(), name
