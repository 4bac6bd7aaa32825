"""`tf.contrib.tensorboard.plugins.projector`: what TensorBoard's projector is to show."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from tfsession.core import protos
from tfsession.core.exports import Deferred, export, export_value
from tfsession.core.file_system import file_errors, local_path
from tfsession.train.checkpoint_state import write_whole

_ROOM = "contrib.tensorboard.plugins.projector"
_FILE = "projector_config.pbtxt"  # the name that TensorBoard looks for

for _name in ("EmbeddingInfo", "ProjectorConfig", "SpriteMetadata"):
    export_value(Deferred(partial(getattr, protos, _name)), f"{_ROOM}.{_name}")


@export(f"{_ROOM}.visualize_embeddings")
def visualize_embeddings(summary_writer: Any, config: Any) -> None:
    """Write the projector's configuration into the directory of a writer's summaries.

    Args:
        summary_writer: a `tf.summary.FileWriter`, or the directory itself.
        config: a ProjectorConfig message.

    Raises:
        ValueError: the writer has no directory.
        TypeError: `config` is another message, or none.
    """
    get_logdir = getattr(summary_writer, "get_logdir", None)
    logdir = get_logdir() if get_logdir else summary_writer
    if logdir is None:
        raise ValueError("Summary writer must have a logdir")
    text = protos.text_format.MessageToString(protos.coerce(config, protos.ProjectorConfig))
    with file_errors():
        Path(local_path(logdir)).mkdir(parents=True, exist_ok=True)
    write_whole(os.path.join(os.fspath(logdir), _FILE), text.encode())  # noqa: PTH118 (keeps "./")
