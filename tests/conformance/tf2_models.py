"""Writes SavedModels and a checkpoint of objects by TensorFlow 2: `tf2_models.py DIRECTORY`.

A process of its own: eager execution, which writing them takes, is off where tests compare.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

keras = tf.keras
FLOATS, TEXTS = tf.TensorSpec([None, 4], name="x"), tf.TensorSpec([None], tf.string, name="t")


class Perceptron(tf.Module):
    def __init__(self):
        super().__init__()
        self.w1 = tf.Variable(tf.random.normal([4, 8]), name="w1")
        self.b1 = tf.Variable(tf.zeros([8]), name="b1")
        self.w2 = tf.Variable(tf.random.normal([8, 3]), name="w2")

    @tf.function(input_signature=[FLOATS])
    def hidden(self, x):
        return {"h": tf.nn.relu(x @ self.w1 + self.b1)}

    @tf.function(input_signature=[FLOATS])
    def probabilities(self, x):
        return {"p": tf.nn.softmax(self.hidden(x)["h"] @ self.w2), "x": x}


class Words(tf.Module):
    """Tables that are filled from a file and from the graph."""

    def __init__(self, folder):
        super().__init__()
        (folder / "words.txt").write_text("cat\ndog\nbird\n")
        self.file = tf.saved_model.Asset(str(folder / "words.txt"))
        words = tf.lookup.TextFileInitializer(
            self.file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
        )  # fmt: skip
        self.table = tf.lookup.StaticVocabularyTable(words, 2)
        letters = tf.lookup.KeyValueTensorInitializer(["a", "cat"], tf.constant([1, 2], tf.int64))
        self.letters = tf.lookup.StaticHashTable(letters, -1)
        self.vectors = tf.Variable(tf.random.normal([5, 6]))

    @tf.function(input_signature=[TEXTS])
    def ids(self, t):
        t = tf.strings.regex_replace(tf.strings.lower(t), "[^a-z]", "")
        ids = self.table.lookup(t)
        vectors = tf.nn.embedding_lookup(self.vectors, ids)
        return {"ids": ids, "vectors": vectors, "letters": self.letters.lookup(t), "t": t}


class Flow(tf.Module):
    """Loops in branches, branches in loops, and a variable that counts the calls."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0, dtype=tf.int64)
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32), tf.TensorSpec([None])])
    def run(self, n, x):
        self.count.assign_add(1)
        i = tf.constant(0)
        while i < n:
            x = x - 1.0 if tf.reduce_sum(x) > 10.0 else x * self.factor
            i += 1
        sums = tf.TensorArray(tf.float32, size=n)
        for j in tf.range(n):
            sums = sums.write(j, tf.reduce_sum(x) + tf.cast(j, tf.float32))
        y = tf.switch_case(n % 3, [lambda k=k: x + k for k in (1.0, 2.0, 3.0)])
        return {"x": x, "sums": sums.stack(), "y": y, "count": self.count.read_value()}


class Types(tf.Module):
    def __init__(self):
        super().__init__()
        numbers = tf.constant([[0, 1, 2], [3, 4, 5]])
        names = "half bfloat16 double int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool"
        types = [tf.as_dtype(name) for name in [*names.split(), "complex64", "complex128"]]
        self.values = {dtype.name: tf.Variable(tf.cast(numbers, dtype)) for dtype in types}
        self.values["string"] = tf.Variable(["a", "bc"])

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="i")])
    def row(self, i):
        return {name: tf.gather(value, i) for name, value in self.values.items()}


def _image_net():
    layers = keras.layers
    net = keras.Sequential([
        keras.Input((16, 16, 3)), layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(),
        layers.ReLU(6.0), layers.MaxPool2D(), layers.DepthwiseConv2D(3),
        layers.Conv2DTranspose(4, 3, strides=2), layers.UpSampling2D(interpolation="bilinear"),
        layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    net.compile("adam", "sparse_categorical_crossentropy")
    images = np.random.RandomState(0).rand(32, 16, 16, 3)
    net.fit(images, np.arange(32) % 5, epochs=1, verbose=0)
    return net


def _recurrent_net():
    layers = keras.layers
    ids = keras.Input((12,), dtype="int32")
    h = layers.Embedding(50, 16, mask_zero=True)(ids)
    h = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(h)
    h = layers.MultiHeadAttention(2, 8)(h, h)
    h = layers.GRU(4)(layers.LayerNormalization()(h))
    return keras.Model(ids, layers.Dense(3)(h))


def _text_net():
    layers = keras.layers
    return keras.Sequential([
        keras.Input((1,), dtype="string"),
        layers.TextVectorization(vocabulary=["the", "cat", "the cat"], ngrams=2,
                                 output_sequence_length=6),
        layers.Embedding(9, 4), layers.Flatten(), layers.Dense(2),
    ])  # fmt: skip


def write(folder):
    """All of them, each in a directory of its name."""
    tf.random.set_seed(1)
    keras.utils.set_random_seed(3)
    perceptron, words, flow, types = Perceptron(), Words(folder), Flow(), Types()
    for name, module, signatures in (
        ("perceptron", perceptron, {"hidden": perceptron.hidden, "p": perceptron.probabilities}),
        ("words", words, words.ids),
        ("flow", flow, flow.run),
        ("types", types, types.row),
    ):
        tf.saved_model.save(module, str(folder / name), signatures=signatures)
    # The asset is found in the model, and no longer where it came from.
    (folder / "words.txt").unlink()
    for name, net in (
        ("image", _image_net()), ("recurrent", _recurrent_net()), ("text", _text_net()),
    ):  # fmt: skip
        net.export(str(folder / name), verbose=False)
    step = tf.Variable(7, dtype=tf.int64, name="step")
    tf.train.Checkpoint(model=perceptron, step=step).save(str(folder / "objects" / "ck"))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
