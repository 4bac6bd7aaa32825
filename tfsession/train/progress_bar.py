"""What is shown while a large checkpoint is written or read: a bar, its bytes, speed and end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfsession.core.file_system import local_path
from tfsession.core.progress import watched


@contextmanager
def shown(progress: bool | Callable[[int, int], None], what: str, prefix: Any) -> Iterator[None]:
    """Show how far the files of a checkpoint are within the block.

    Args:
        progress: whether to; or a function that is told instead, of the bytes done and of all.
        what: is done.
        prefix: the checkpoint's name.
    """
    if not progress:
        yield
    elif callable(progress):
        with watched(local_path(prefix), progress):
            yield
    else:
        name = Path(local_path(prefix)).name
        with _bar(f"{what} {name}") as tell, watched(local_path(prefix), tell):
            yield


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal's standard error, or in a notebook; gives who moves it."""
    from rich import progress as rich  # noqa: PLC0415  only for who watches
    from rich.console import Console  # noqa: PLC0415

    columns = [
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    ]
    with rich.Progress(*columns, console=Console(file=sys.stderr)) as bar:
        task = bar.add_task(title, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tell
