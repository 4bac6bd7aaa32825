"""`tf.contrib.learn.preprocessing`: words of texts as numbers, for classifiers of text.

An object's attributes are those of TensorFlow 1.15's, so that a vocabulary that was saved there is
restored here.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path

_TOKEN: Final = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z][a-z]+(?=[A-Z])|[\'\w\-]+")
_PREPROCESSING: Final = "contrib.learn.preprocessing"
_THERE: Final = "contrib.learn.python.learn.preprocessing"  # the module's place in TensorFlow 1.15


@export(f"{_PREPROCESSING}.CategoricalVocabulary",
        f"{_THERE}.categorical_vocabulary.CategoricalVocabulary")  # fmt: skip
class CategoricalVocabulary:
    """Numbers of categories, in the order in which they are first seen; 0 is the unknown one.

    Args:
        unknown_token: what `reverse` gives for 0.
        support_reverse: whether `reverse` can be asked.
    """

    def __init__(self, unknown_token: Any = "<UNK>", support_reverse: bool = True) -> None:
        self._unknown_token = unknown_token
        self._mapping = {unknown_token: 0}
        self._support_reverse = support_reverse
        self._reverse_mapping = [unknown_token] if support_reverse else []
        self._freq: dict[Any, int] = defaultdict(int)
        self._freeze = False

    def __len__(self) -> int:
        """How many numbers there are, with that of the unknown one."""
        return len(self._mapping)

    def freeze(self, freeze: bool = True) -> None:
        """Give categories that are not there yet 0 from now on; False undoes it."""
        self._freeze = freeze

    def get(self, category: Any) -> int:
        """The number of a category: a new one if it is not there and the vocabulary not frozen."""
        if category not in self._mapping:
            if self._freeze:
                return 0
            self._mapping[category] = len(self._mapping)
            if self._support_reverse:
                self._reverse_mapping.append(category)
        return self._mapping[category]

    def add(self, category: Any, count: int = 1) -> None:
        """Count a category, which gets a number as by `get`."""
        if self.get(category) > 0:
            self._freq[category] = self._freq.get(category, 0) + count

    def trim(self, min_frequency: int, max_frequency: int = -1) -> None:
        """Number anew those that were counted more than `min_frequency` times, frequent ones first.

        Args:
            min_frequency: the largest count that is left out.
            max_frequency: the least count that is left out, too; none if not positive.
        """
        # Equally frequent ones stand in alphabetical order, numbers before texts.
        ordered = sorted(self._freq.items(), key=lambda item: (isinstance(item[0], str), item[0]))
        ordered.sort(key=lambda item: item[1], reverse=True)
        kept = [
            (category, count) for category, count in ordered
            if count > min_frequency and not 0 < max_frequency <= count
        ]  # fmt: skip
        self._freq = dict(kept)
        known = [self._unknown_token, *self._freq]
        self._mapping = {category: number for number, category in enumerate(known)}
        if self._support_reverse:
            self._reverse_mapping = known

    def reverse(self, class_id: int) -> Any:
        """The category of a number.

        Raises:
            ValueError: the vocabulary was made without `support_reverse`.
            IndexError: there is no such number.
        """
        if not self._support_reverse:
            raise ValueError("This vocabulary wasn't initialized with support_reverse to support "
                             "reverse() function.")  # fmt: skip
        return self._reverse_mapping[class_id]


@export(f"{_PREPROCESSING}.tokenizer", f"{_PREPROCESSING}.text.tokenizer",
        f"{_THERE}.text.tokenizer")  # fmt: skip
def tokenizer(iterator: Iterable[str]) -> Iterator[list[str]]:
    """The words of each text: letters, digits, `_`, `-` and `'`; capitals begin a new one."""
    for value in iterator:
        yield _TOKEN.findall(value)


@export(f"{_PREPROCESSING}.VocabularyProcessor", f"{_PREPROCESSING}.text.VocabularyProcessor",
        f"{_THERE}.text.VocabularyProcessor")  # fmt: skip
class VocabularyProcessor:
    """Documents as rows of word numbers, all of one length.

    Args:
        max_document_length: words of a document; longer ones are cut, shorter ones end in zeros.
        min_frequency: `fit` leaves words out that occur this often or less; 0 keeps all.
        vocabulary: a CategoricalVocabulary; a new one if None.
        tokenizer_fn: gives for an iterable of documents one of lists of words.
    """

    def __init__(
        self,
        max_document_length: int,
        min_frequency: int = 0,
        vocabulary: CategoricalVocabulary | None = None,
        tokenizer_fn: Callable[[Iterable[str]], Iterable[Iterable[str]]] | None = None,
    ) -> None:
        self.max_document_length = max_document_length
        self.min_frequency = min_frequency
        # An empty vocabulary is one, too, and has a length above 0.
        self.vocabulary_ = vocabulary or CategoricalVocabulary()
        self._tokenizer = tokenizer_fn or tokenizer

    def fit(self, raw_documents: Iterable[str], unused_y: Any = None) -> VocabularyProcessor:
        """Number the words of documents and freeze the vocabulary; gives itself."""
        for tokens in self._tokenizer(raw_documents):
            for token in tokens:
                self.vocabulary_.add(token)
        if self.min_frequency > 0:
            self.vocabulary_.trim(self.min_frequency)
        self.vocabulary_.freeze()
        return self

    def fit_transform(
        self, raw_documents: Iterable[str], unused_y: Any = None
    ) -> Iterator[np.ndarray]:
        """`fit`, and then `transform` of the same documents."""
        self.fit(raw_documents)
        return self.transform(raw_documents)

    def transform(self, raw_documents: Iterable[str]) -> Iterator[np.ndarray]:
        """For each document its row: int64 of [max_document_length]."""
        for tokens in self._tokenizer(raw_documents):
            word_ids = np.zeros(self.max_document_length, np.int64)
            for place, token in zip(range(self.max_document_length), tokens, strict=False):
                word_ids[place] = self.vocabulary_.get(token)
            yield word_ids

    def reverse(self, documents: Iterable[Iterable[int]]) -> Iterator[str]:
        """For each row its words, with blanks between."""
        for row in documents:
            yield " ".join(self.vocabulary_.reverse(word_id) for word_id in row)

    def save(self, filename: Any) -> None:
        """Write the processor to a file, by `pickle`: its tokenizer must be importable.

        Errors are those of `tf.gfile.GFile` and of `pickle`; after one of `pickle` a file that was
        there is as it was.
        """
        content = pickle.dumps(self)
        with file_errors():
            Path(local_path(filename)).write_bytes(content)

    @classmethod
    def restore(cls, filename: Any) -> VocabularyProcessor:
        """The processor that `save` wrote, here or in TensorFlow 1.

        A file is not trusted: nothing but vocabularies, their processors and plain containers is
        made of it. A processor with a tokenizer of the program's own has to be made anew.

        Raises:
            NotFoundError: there is no such file.
            UnpicklingError: it holds something else.
        """
        with file_errors():
            content = Path(local_path(filename)).read_bytes()
        return _Reader(io.BytesIO(content)).load()


_PICKLED: Final = {
    *((__name__, name) for name in ("VocabularyProcessor", "CategoricalVocabulary", "tokenizer")),
    ("collections", "defaultdict"),
    *(("builtins", name) for name in ("int", "float", "str", "bytes", "list", "dict", "set")),
    # As protocols before the third write what has no state of its own.
    *(("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor")),
    *((module, "object") for module in ("builtins", "__builtin__")),
    *(("__builtin__", name) for name in ("int", "long", "unicode", "str", "list", "dict", "set")),
}


class _Reader(pickle.Unpickler):
    """Takes TensorFlow's classes as those of this module, and refuses what could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith(f"tensorflow.{_THERE}."):
            module = __name__
        if (module, name) not in _PICKLED:
            raise pickle.UnpicklingError(
                f"{module}.{name} is not made of a file that is not trusted. If it is a tokenizer, "
                "make the processor anew with it, and fit it again."
            )
        return super().find_class(module, name)


@export(f"{_PREPROCESSING}.ByteProcessor", f"{_PREPROCESSING}.text.ByteProcessor",
        f"{_THERE}.text.ByteProcessor")  # fmt: skip
class ByteProcessor:
    """Documents as rows of the bytes of their UTF-8 text, all of one length.

    Args:
        max_document_length: bytes of a document; longer ones are cut, shorter ones end in zeros.
    """

    def __init__(self, max_document_length: int) -> None:
        self.max_document_length = max_document_length

    def fit(self, x: Any) -> ByteProcessor:
        """Nothing is to be learned; gives itself."""
        return self

    def fit_transform(self, x: Iterable[Any]) -> Iterator[np.ndarray]:
        """`transform`."""
        return self.transform(x)

    def transform(self, x: Iterable[Any]) -> Iterator[np.ndarray]:
        """For each document, str or bytes, its row: uint8 of [max_document_length]."""
        for document in x:
            content = document.encode("utf-8") if isinstance(document, str) else bytes(document)
            row = np.frombuffer(content[: self.max_document_length], np.uint8)
            yield np.pad(row, (0, self.max_document_length - len(row)))

    def reverse(self, x: Iterable[Any]) -> Iterator[str]:
        """For each row its text without the zeros at the end; what is no UTF-8 is marked."""
        for row in x:
            yield np.asarray(row, np.uint8).tobytes().rstrip(b"\0").decode("utf-8", "replace")
