"""`tf.contrib.learn.preprocessing`: numbers of words as TensorFlow 1.15 gave them."""

import os
import pickle
import pickletools

import numpy as np
import pytest

import tfsession as tf

learn = tf.contrib.learn.preprocessing
TEXTS = ["the cat saw the dog", "The dog-cat isn't XMLParser", "a b"]


def test_words_are_numbered_as_they_come():
    processor = learn.VocabularyProcessor(4)
    rows = list(processor.fit_transform(TEXTS))
    assert [row.tolist() for row in rows] == [[1, 2, 3, 1], [5, 6, 7, 8], [10, 11, 0, 0]]
    assert (rows[0].dtype, len(processor.vocabulary_)) == (np.int64, 12)
    # What comes later gets no number any more.
    assert next(processor.transform(["dog bird cat"])).tolist() == [4, 0, 2, 0]
    assert list(processor.reverse([[4, 0, 2, 0], [8, 9]])) == ["dog <UNK> cat <UNK>", "XML Parser"]


def test_rare_words_are_left_out():
    processor = learn.VocabularyProcessor(3, min_frequency=1)
    processor.fit(["b b a a c", "d d d e"])
    # Frequent ones first, equally frequent ones by the alphabet.
    assert next(processor.transform(["d a b"])).tolist() == [1, 2, 3]
    assert next(processor.transform(["c e x"])).tolist() == [0, 0, 0]
    assert list(processor.reverse([[1, 2, 3]])) == ["d a b"]


def test_a_vocabulary_of_ones_own():
    vocabulary = learn.CategoricalVocabulary(unknown_token="?", support_reverse=False)
    vocabulary.add("x", 3)
    vocabulary.add("?")
    vocabulary.freeze()
    processor = learn.VocabularyProcessor(
        2, vocabulary=vocabulary, tokenizer_fn=lambda t: map(list, t)
    )
    assert [row.tolist() for row in processor.fit_transform(["xy", "yx"])] == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match="support_reverse"):
        vocabulary.reverse(1)
    vocabulary.freeze(False)
    assert [vocabulary.get(c) for c in ("y", 7, "y")] == [2, 3, 2]


def test_the_most_frequent_can_be_left_out():
    vocabulary = learn.CategoricalVocabulary()
    for category, count in {"a": 1, "b": 5, 3: 2, "c": 2, "d": 9}.items():
        vocabulary.add(category, count)
    vocabulary.trim(1, max_frequency=9)
    assert [vocabulary.reverse(i) for i in range(len(vocabulary))] == ["<UNK>", "b", 3, "c"]
    vocabulary.add("c", 9)
    vocabulary.trim(1)
    assert vocabulary.get("c") == 1


def test_saved_and_restored(tmp_path):
    processor = learn.VocabularyProcessor(5)
    rows = np.array(list(processor.fit_transform(TEXTS)))
    processor.save(str(tmp_path / "vocab"))
    again = learn.VocabularyProcessor.restore(str(tmp_path / "vocab"))
    np.testing.assert_array_equal(list(again.transform(TEXTS)), rows)
    assert again.max_document_length == 5
    with pytest.raises(tf.errors.NotFoundError, match="nowhere"):
        learn.VocabularyProcessor.restore(tmp_path / "nowhere")
    (tmp_path / "other").write_bytes(b"some text")
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        learn.VocabularyProcessor.restore(tmp_path / "other")


class Runs:
    """What would run code when it is made of a file."""

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_file_runs_no_code(tmp_path, protocol):
    planted = Runs()
    planted.path = str(tmp_path / "made")
    (tmp_path / "vocab").write_bytes(pickle.dumps(planted, protocol=protocol))
    with pytest.raises(pickle.UnpicklingError, match="not trusted"):
        learn.VocabularyProcessor.restore(tmp_path / "vocab")
    assert not (tmp_path / "made").exists()


def test_what_tensorflow_saved_is_restored(tmp_path):
    processor = learn.VocabularyProcessor(3).fit(["one two"])
    there = b"ctensorflow.contrib.learn.python.learn.preprocessing."
    content = pickle.dumps(processor, protocol=0)
    for module, names in {"text": ["VocabularyProcessor", "tokenizer"],
                          "categorical_vocabulary": ["CategoricalVocabulary"]}.items():  # fmt: skip
        for name in names:
            ours = f"ctfsession.contrib.vocabulary\n{name}\n".encode()
            assert ours in content
            content = content.replace(ours, there + f"{module}\n{name}\n".encode())
    assert "tfsession" not in str([argument for _, argument, _ in pickletools.genops(content)])
    (tmp_path / "vocab").write_bytes(content)
    again = learn.VocabularyProcessor.restore(tmp_path / "vocab")
    assert next(again.transform(["two one three"])).tolist() == [2, 1, 0]


def test_bytes():
    processor = learn.ByteProcessor(3)
    rows = list(processor.fit_transform(["ab", "äbc", b"\xff"]))
    assert [row.tolist() for row in rows] == [[97, 98, 0], [195, 164, 98], [255, 0, 0]]
    assert rows[0].dtype == np.uint8
    assert list(processor.reverse(rows)) == ["ab", "äb", "\ufffd"]


def test_modes():
    assert (tf.estimator.ModeKeys.TRAIN, tf.contrib.learn.ModeKeys.INFER) == ("train", "infer")
    assert tf.estimator.ModeKeys.PREDICT == tf.contrib.learn.ModeKeys.INFER
