"""What the tests against real TensorFlow share."""

import inspect
import re
import threading
import warnings

import numpy as np
import pytest

import tfsession


@pytest.fixture(scope="session")
def tf():
    """Real TensorFlow's compat.v1 in the mode that tfsession follows."""
    pytest.importorskip("tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow.compat.v1 as real  # noqa: PLC0415

        real.disable_v2_behavior()
        # The first session decides for the whole process how many threads share an op, and that
        # shows in some values: with one thread they do not depend on the order of the tests.
        with (
            real.Graph().as_default(),
            real.Session(config=real.ConfigProto(intra_op_parallelism_threads=1)) as session,
        ):
            session.run(real.constant(0))
    return real


# Real TensorFlow keeps pointers to the code of a graph's creators: it must not be freed.
_codes = []
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_MODULE = re.compile(r"\b(?:tensorflow|tfsession)(?:\.\w+)*\.(\w+)")
_LOCAL_FUNCTION = re.compile(r"[\w.<>]+\(\) (?=takes|got)")
_CONFIG_TEXT = re.compile(r"config: .*\} Registered")


def _plain(text):
    """A text without what differs by nature: addresses, module names."""
    text = _MODULE.sub(r"\1", _ADDRESS.sub("", text))
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
    # The class of a real graph tensor has a name of its own.
    return type(value).__name__.replace("SymbolicTensor", "Tensor"), _plain(repr(value))


def _outcome(module, prelude, program):
    """What `out` is after the program, or the error it ends with, in comparable form."""
    names = {"tf": module}
    try:
        for text in (prelude, program):
            code = compile(text, "program.py", "exec")
            _codes.append(code)
            exec(code, names)
        return _described(names["out"])
    except Exception as error:
        message = getattr(error, "message", None) or str(error)
        return "raised", type(error).__name__, _plain(message)


@pytest.fixture(scope="session")
def outcomes(tf):
    """A function that gives the outcomes of a program under real TensorFlow and tfsession."""

    def run(*texts):
        found = []
        for module in (tf, tfsession):
            # Its own thread: with it come an empty default graph and empty stacks.
            def target(module=module):
                found.append(_outcome(module, *texts))

            with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
                warnings.simplefilter("ignore")
                # Real TensorFlow, of the CPU build, sees no GPU either.
                patch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)
                patch.setenv("CUDA_VISIBLE_DEVICES", "")
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
        return found

    return run
