"""Kernels that hold texts against patterns, on the host."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel


@kernel("StaticRegexFullMatch", device="CPU")
def static_regex_full_match(xp: Any, input: Any, *, pattern: bytes) -> Any:
    """Whether each text as a whole fits the pattern."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidArgumentError(
            None, None, f"Invalid pattern: {pattern!r}, error: {error}"
        ) from None
    found = [compiled.fullmatch(text) is not None for text in input.reshape(-1).tolist()]
    return np.array(found, np.bool_).reshape(input.shape)
