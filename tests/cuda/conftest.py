"""Where the tests of a run keep what they compile for the host."""

import os

import pytest
from host_code import HostCode


@pytest.fixture(scope="session")
def host_code(tmp_path_factory):
    """One for all processes of the run, so that each text is compiled once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "host_code"
    folder.mkdir(exist_ok=True)
    return HostCode(folder)
