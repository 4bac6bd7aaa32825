"""What kernels/ calls on `xp` exists in CuPy, under that name and with those keywords.

Read from the source, because CuPy imports without a GPU but computes nothing there.
"""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install -e '.[names]'")

KERNELS = Path(__file__).parents[2] / "kernels"
FILES = sorted(path.name for path in KERNELS.glob("*.py"))
UFUNC_KEYWORDS = {"out", "dtype", "casting"}


def declared_in_doc(function):
    """The signature of a compiled function, which CuPy writes in the first line of its doc."""
    found = re.match(r"[\w.]+\((.*)\)", (function.__doc__ or "").split("\n")[0])
    if not found:
        return None
    arguments = re.sub(r"\b(?:int|bint|Py_ssize_t|_ndarray_base)\s+(?=\w)", "", found[1])
    return inspect.signature(eval(f"lambda {arguments}: None"))


def signature(function):
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return declared_in_doc(function)


def refusal(function, positional, keywords):
    """Why CuPy would not take such a call, or None."""
    method_of = getattr(function, "__self__", None)
    if isinstance(function, cupy.ufunc):
        if wrong := set(keywords) - UFUNC_KEYWORDS:
            return f"takes no {', '.join(sorted(wrong))}"
        if positional > function.nargs:
            return f"takes at most {function.nargs} arguments"
        return None
    declared = signature(function)
    if declared is None:
        return None
    if isinstance(method_of, cupy.ufunc):
        # Most ufuncs lack these methods, and say so before they look at an array.
        declared = declared.replace(parameters=list(declared.parameters.values())[1:])
        try:
            function(*[None] * len(declared.parameters))
        except NotImplementedError as error:
            return str(error)
        except (AttributeError, TypeError):
            pass
    try:
        declared.bind_partial(*[None] * positional, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return None


def xp_path(node):
    """`xp.linalg.inv` and `ctx.xp.linalg.inv` as ["linalg", "inv"]; None for anything else."""
    path = []
    while isinstance(node, ast.Attribute) and node.attr != "xp":
        path.insert(0, node.attr)
        node = node.value
    is_xp = isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id == "xp")
    return path if is_xp and path else None


def lookup(path):
    found = cupy
    for name in path:
        found = getattr(found, name, None)
        if found is None:
            return None
    return found


def is_for_cpu_only(node):
    """Whether `device="CPU"` stands in a registration, as a decorator or as a call."""
    calls = [node] if isinstance(node, ast.Call) else getattr(node, "decorator_list", [])
    keywords = [k for call in calls if isinstance(call, ast.Call) for k in call.keywords]
    return any(k.arg == "device" and ast.unparse(k.value) == "'CPU'" for k in keywords)


def gpu_nodes(node):
    """All nodes below, except those of kernels that run on the CPU only."""
    if not is_for_cpu_only(node):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from gpu_nodes(child)


def missing(source):
    """`line: what` for all that CuPy does not have."""
    for node in gpu_nodes(ast.parse(source)):
        if isinstance(node, ast.Attribute) and (path := xp_path(node)) and lookup(path) is None:
            yield f"{node.lineno}: xp.{'.'.join(path)} is not in CuPy"
        if not isinstance(node, ast.Call):
            continue
        # A name passed as text, elementwise("Mul", "multiply") or getattr(xp, "exp").
        for argument in node.args:
            text = argument.value if isinstance(argument, ast.Constant) else None
            is_name = isinstance(text, str) and text.islower()
            if is_name and callable(getattr(np, text, None)) and not hasattr(cupy, text):
                yield f"{node.lineno}: {text!r} is not in CuPy"
        path = xp_path(node.func)
        function = lookup(path) if path else None
        if path is None and isinstance(node.func, ast.Attribute):
            path = [node.func.attr]
            if callable(getattr(np.ndarray, path[0], None)) and not hasattr(list, path[0]):
                function = getattr(cupy.ndarray, path[0], None)
                if function is None:
                    yield f"{node.lineno}: arrays of CuPy have no method {path[0]}"
        if callable(function):
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            keywords = [k.arg for k in node.keywords if k.arg is not None]
            if why := refusal(function, 0 if starred else len(node.args), keywords):
                yield f"{node.lineno}: {'.'.join(path)}: {why}"


PLANTED = [
    ("xp.no_such_function(x)", "xp.no_such_function is not in CuPy"),
    ("xp.linalg.no_such(x)", "xp.linalg.no_such is not in CuPy"),
    ("ctx.xp.errstate(all='ignore')", "xp.errstate is not in CuPy"),
    ("elementwise('Nextafter', 'spacing')", "'spacing' is not in CuPy"),
    ("getattr(xp, 'spacing')(x)", "'spacing' is not in CuPy"),
    ("xp.add(x, y, where=m)", "add: takes no where"),
    ("xp.add(x, y, z, w)", "add: takes at most 3 arguments"),
    ("xp.sum(x, initial=0)", "sum: got an unexpected keyword argument 'initial'"),
    ("xp.take(x, i, axis=0, mode='clip')", "take: got an unexpected keyword argument 'mode'"),
    ("xp.concatenate(a, 0, None, 4)", "concatenate: too many positional arguments"),
    ("xp.multiply.at(x, i, y)", "multiply.at` is not supported"),
    ("xp.maximum.reduce(x, axis=0)", "maximum.reduce` is not supported"),
    ("xp.add.reduce(x, where=m)", "add.reduce: got an unexpected keyword argument 'where'"),
    ("x.sum(axis=0, where=m)", "sum: got an unexpected keyword argument 'where'"),
    ("x.setflags(write=False)", "arrays of CuPy have no method setflags"),
    ("@kernel('X', device='GPU')\ndef f(xp): return xp.no_such(1)", "xp.no_such is not in CuPy"),
]
WELCOME = [
    "e = xp.exp(x - x.max(axis=-1, keepdims=True))",
    "xp.add(x, y, out=z, dtype=d)",
    "xp.add.at(x, i, y); xp.maximum.at(x, i, y); xp.add.reduce(x, axis=0, keepdims=True)",
    "xp.linalg.cholesky(x); xp.concatenate([*a], axis=1); xp.sum(x, **options)",
    "elementwise('Mul', 'multiply')",
    "elementwise('X', 'spacing', device='CPU')",
    "@kernel('X', device='CPU')\ndef f(xp, x): return xp.spacing(x)",
    "np.spacing(x); rows.sort(key=f); x.astype(d, copy=False).reshape(2, -1)",
]


@pytest.mark.parametrize(("source", "complaint"), PLANTED)
def test_a_name_that_cupy_lacks_is_noticed(source, complaint):
    assert complaint in "\n".join(missing(source))


@pytest.mark.parametrize("source", WELCOME)
def test_a_name_that_cupy_has_is_let_through(source):
    assert list(missing(source)) == []


@pytest.mark.parametrize("name", FILES)
def test_kernels_call_what_cupy_has(name):
    assert list(missing((KERNELS / name).read_text("utf-8"))) == []
