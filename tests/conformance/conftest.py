"""What the tests against real TensorFlow share."""

import warnings

import pytest


@pytest.fixture(scope="session")
def tf():
    """Real TensorFlow's compat.v1 in the mode that tfsession follows."""
    pytest.importorskip("tensorflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow.compat.v1 as real  # noqa: PLC0415

        real.disable_v2_behavior()
    return real
