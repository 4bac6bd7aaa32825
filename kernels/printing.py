"""Kernels that print, on the host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.control import summary


@kernel("Print", host=["data"], aliases=True, stateful=True)
def print_(ctx: Any, value: Any, *data: Any, message: Any, first_n: int, summarize: int) -> Any:
    """The input itself; the data goes to the standard error stream."""
    printed = ctx.state.get("printed", 0)
    if first_n < 0 or printed < first_n:
        ctx.state["printed"] = printed + 1
        text = message.decode(errors="replace") if isinstance(message, bytes) else message
        shown = "".join(f"[{summary(np.asarray(array), summarize)}]" for array in data)
        _write(sys.stderr, f"{text}{shown}\n")
    return value


@kernel("PrintV2", host=["input"])
def print_v2(xp: Any, text: Any, *, output_stream: Any, end: Any) -> None:
    """Nothing; the text goes to a stream of the process, a log, or a file."""
    if text.shape != ():
        raise InvalidArgumentError(None, None, "Expected the input to be scalar")
    stream = output_stream.decode() if isinstance(output_stream, bytes) else output_stream
    tail = end.decode() if isinstance(end, bytes) else end
    line = f"{text[()].decode(errors='replace')}{tail}"
    if stream.startswith("file://"):
        with Path(stream.removeprefix("file://")).open("a", encoding="utf-8") as file:
            file.write(line)
    elif stream == "stdout":
        _write(sys.stdout, line)
    elif stream in ("stderr", "log(info)", "log(warning)", "log(error)"):
        _write(sys.stderr, line)
    else:
        raise InvalidArgumentError(None, None, f"Unknown output stream: {stream}")


def _write(stream: Any, text: str) -> None:
    stream.write(text)
    stream.flush()
