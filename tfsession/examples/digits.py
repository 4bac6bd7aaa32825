"""Handwritten digits: a TF1 program that trains a small network on scikit-learn's real scans.

Run it with `python -m tfsession.examples.digits [--device /gpu:0] [--steps 1500]`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tfsession as tf

IMAGE_SIDE = 8
CLASSES = 10
LEARNING_RATE = 2e-3
SLOTS = ("/Adam", "/Adam_1", "_power")  # what Adam keeps beside each variable


def load_data() -> list[Any]:
    """Images for training and for the test, then their labels: 1,797 real scans, a quarter last."""
    digits = load_digits()
    images = (digits.data / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    return train_test_split(images, labels, test_size=0.25, random_state=1, stratify=labels)


def dense(x: tf.Tensor, units: int, name: str) -> tf.Tensor:
    """A fully connected layer."""
    with tf.variable_scope(name):
        width = x.shape.as_list()[1]
        weights = tf.get_variable(
            "weights", [width, units], initializer=tf.truncated_normal_initializer(stddev=0.1)
        )
        biases = tf.get_variable("biases", [units], initializer=tf.zeros_initializer())
        return tf.nn.bias_add(tf.matmul(x, weights), biases)


class Model:
    """The network, its loss and its training step."""

    def __init__(self, hidden: Sequence[int]) -> None:
        self.images = tf.placeholder(tf.float32, [None, IMAGE_SIDE * IMAGE_SIDE], name="images")
        self.labels = tf.placeholder(tf.int64, [None], name="labels")
        self.keep = tf.placeholder_with_default(1.0, [], name="keep")
        self.rate = tf.placeholder_with_default(LEARNING_RATE, [], name="rate")
        layer = self.images
        for number, units in enumerate(hidden):
            layer = tf.nn.relu(dense(layer, units, f"hidden{number}"))
        layer = tf.nn.dropout(layer, keep_prob=self.keep)
        self.logits = dense(layer, CLASSES, "logits")
        self.predictions = tf.argmax(self.logits, axis=1, name="predictions")
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=self.labels, logits=self.logits
        )
        self.loss = tf.reduce_mean(losses, name="loss")
        correct = tf.equal(self.predictions, self.labels)
        self.accuracy = tf.reduce_mean(tf.cast(correct, tf.float32), name="accuracy")
        self.train = tf.train.AdamOptimizer(self.rate).minimize(self.loss)


def batches(images: Any, labels: Any, size: int) -> Iterator[tuple[Any, Any]]:
    """Endless random batches, each moved by up to a pixel: a digit that moves is still the same."""
    rng = np.random.default_rng(0)
    framed = np.pad(images.reshape(-1, IMAGE_SIDE, IMAGE_SIDE), ((0, 0), (1, 1), (1, 1)))
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            down, right = rng.integers(0, 3, 2)
            moved = framed[chosen, down : down + IMAGE_SIDE, right : right + IMAGE_SIDE]
            yield moved.reshape(size, -1), labels[chosen]


def print_devices(console: Console, session: tf.Session) -> None:
    """The devices of the session."""
    table = Table("device", "type", "memory limit", title="Devices")
    for device in session.list_devices():
        limit = f"{device.memory_limit_bytes / 2**20:,.0f} MiB"
        table.add_row(device.name, device.device_type, limit)
    console.print(table)


def print_placement(console: Console, session: tf.Session) -> None:
    """Where the model's variables and its largest operations were placed."""
    placement = session.placement()
    table = Table("operation", "type", "device", title=f"Some of {len(placement):,} placements")
    for op in session.graph.get_operations():
        shown = op.type in ("Placeholder", "VariableV2", "MatMul", "ArgMax", "ApplyAdam")
        if shown and not op.name.startswith("gradients/") and not op.name.endswith(SLOTS):
            table.add_row(op.name, op.type, placement[op.name].rsplit("/", 1)[-1])
    console.print(table)


def fit(
    console: Console, session: tf.Session, model: Model, images: Any, labels: Any, steps: int
) -> list[float]:
    """Train; gives the loss of each step."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.fields[pace]:,.0f} steps/s"),
        TimeElapsedColumn(),
    )
    losses: list[float] = []
    feeds = [model.images, model.labels, model.keep, model.rate]
    step = session.make_callable([model.train, model.loss], feeds)
    start = time.perf_counter()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=steps, loss=float("nan"), pace=0.0)
        for x, y in batches(images, labels, 128):
            rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * len(losses) / steps))
            losses.append(float(step(x, y, 0.7, rate)[1]))
            if len(losses) % 20 == 0 or len(losses) == steps:
                pace = len(losses) / (time.perf_counter() - start)
                recent = sum(losses[-20:]) / len(losses[-20:])
                progress.update(task, completed=len(losses), loss=recent, pace=pace)
            if len(losses) == steps:
                return losses
    return losses


def save_picture(
    path: Path, losses: Sequence[float], images: Any, labels: Any, predictions: Any
) -> None:
    """Draw the loss curve, and scans that the network misread."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  (only after the backend is chosen)

    wrong = np.flatnonzero(predictions != labels)[:8]
    figure = plt.figure(figsize=(9, 5), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[3, 2])
    axes = upper.subplots()
    axes.semilogy(losses, linewidth=0.6, color="tab:blue", alpha=0.5, label="each step")
    window = min(25, len(losses))
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    last = range(window - 1, len(losses))
    axes.semilogy(last, smooth, color="tab:blue", label=f"mean of {window}")
    axes.set(xlabel="step", ylabel="cross-entropy", title="Training loss")
    axes.legend()
    lower.suptitle("Misread digits: what was read, and what it is")
    for cell, index in zip(lower.subplots(1, 8).flat, [*wrong, *[None] * 8], strict=False):
        cell.axis("off")
        if index is not None:
            cell.imshow(images[index].reshape(IMAGE_SIDE, IMAGE_SIDE), cmap="gray_r")
            cell.set_title(f"{predictions[index]}, is {labels[index]}", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> float:
    """Run the program; gives the accuracy on the test scans."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", help="such as /cpu:0 or /gpu:0 (default: automatic)")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--picture", type=Path, default=Path("digits.png"))
    options = parser.parse_args(arguments)
    console = Console()
    train_images, test_images, train_labels, test_labels = load_data()

    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        with tf.device(options.device):
            model = Model(hidden=(256, 128))
            initialize = tf.global_variables_initializer()
        config = tf.ConfigProto(allow_soft_placement=options.device is None)
        with tf.Session(graph=graph, config=config) as session:
            print_devices(console, session)
            session.run(initialize)
            print_placement(console, session)
            losses = fit(console, session, model, train_images, train_labels, options.steps)
            accuracy, predictions = session.run(
                [model.accuracy, model.predictions],
                {model.images: test_images, model.labels: test_labels},
            )
    save_picture(options.picture, losses, test_images, test_labels, predictions)
    wrong = int((predictions != test_labels).sum())
    console.print(
        f"Test accuracy [bold]{accuracy:.4f}[/bold]: {wrong} of {len(test_labels)} scans misread. "
        f"Picture: {options.picture}"
    )
    return float(accuracy)


if __name__ == "__main__":
    if main() < 0.97:
        raise SystemExit("the accuracy is below 0.97")
