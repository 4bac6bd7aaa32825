"""The names of a model function's modes, which programs without estimators use, too."""

from __future__ import annotations

from typing import Final

from tfsession.core.exports import export


@export("estimator.ModeKeys")
class ModeKeys:
    """`tf.estimator.ModeKeys`: what a model is built for."""

    TRAIN: Final = "train"
    EVAL: Final = "eval"
    PREDICT: Final = "infer"


@export("contrib.learn.ModeKeys")
class LearnModeKeys:
    """`tf.contrib.learn.ModeKeys`, with an older name of the third."""

    TRAIN: Final = "train"
    EVAL: Final = "eval"
    INFER: Final = "infer"
