"""Tables of vocabularies: from words to numbers, and back."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from tfsession.core.dtypes import int64, string
from tfsession.core.exports import export, export_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import not_equal, where_v2
from tfsession.ops.constant import no_op
from tfsession.ops.elementwise import add
from tfsession.ops.lookup_tables import (
    HashTable,
    KeyValueTensorInitializer,
    LookupInterface,
    StaticHashTable,
    TextFileIdTableInitializer,
    TextFileIndex,
    TextFileStringTableInitializer,
    like,
    shown_filename,
    values_of,
)
from tfsession.ops.sequence import range_
from tfsession.ops.shape import size
from tfsession.ops.string_hash import (
    string_to_hash_bucket,
    string_to_hash_bucket_fast,
    string_to_hash_bucket_strong,
)
from tfsession.ops.string_number import as_string


@export("contrib.lookup.HasherSpec", "python.ops.lookup_ops.HasherSpec")
class HasherSpec(NamedTuple):
    """A hash function by name, and its key."""

    hasher: str
    key: Any


FastHashSpec = HasherSpec("fasthash", None)
export_value(FastHashSpec, "contrib.lookup.FastHashSpec", "python.ops.lookup_ops.FastHashSpec")


@export("contrib.lookup.StrongHashSpec", "python.ops.lookup_ops.StrongHashSpec")
class StrongHashSpec(HasherSpec):
    """SipHash under a key of two numbers.

    Raises:
        ValueError: there are not two numbers.
        TypeError: they are no integers.
    """

    __slots__ = ()

    def __new__(cls, key: Any) -> StrongHashSpec:
        """The hash of this key."""
        if len(key) != 2:
            raise ValueError(f"`key` must have size 2, received {len(key)}")
        if not all(hasattr(number, "__index__") for number in key):
            raise TypeError(f"Invalid key {key}. Must be unsigned integer values.")
        return super().__new__(cls, "stronghash", key)


def _hash_function(spec: HasherSpec) -> Any:
    if not isinstance(spec, HasherSpec):
        raise TypeError(f"`hasher_spec` must be of type HasherSpec, got {type(spec)}.")
    if spec.hasher == "fasthash":
        return string_to_hash_bucket_fast
    if spec.hasher == "legacy":
        return string_to_hash_bucket
    if spec.hasher == "stronghash":
        return partial(string_to_hash_bucket_strong, key=spec.key)
    raise ValueError(f"Found unknown hasher {spec.hasher} in `hasher_spec`")


@export("contrib.lookup.IdTableWithHashBuckets", "python.ops.lookup_ops.IdTableWithHashBuckets")
class IdTableWithHashBuckets(LookupInterface):
    """A table of ids that gives keys which are not there the id of one of some more buckets.

    Args:
        table: a table with int64 values, or None for buckets alone.
        num_oov_buckets: how many buckets there are.
        hasher_spec: how keys are put into buckets.
        name: name of the table.
        key_dtype: dtype of the keys, an integer one or string.

    Raises:
        TypeError: dtypes that cannot be.
        ValueError: neither a table nor buckets.
    """

    def __init__(
        self,
        table: Any,
        num_oov_buckets: int,
        hasher_spec: HasherSpec = FastHashSpec,
        name: str | None = None,
        key_dtype: Any = None,
    ) -> None:
        name = name.rstrip("/") if name else name
        if table:
            key_dtype = table.key_dtype if key_dtype is None else key_dtype
            _check_id_table(table, key_dtype, key_dtype)
            name = name or table.name
        else:
            if num_oov_buckets <= 0:
                raise ValueError("`oov_buckets` must be > 0 if no `table` is supplied.")
            key_dtype = string if key_dtype is None else key_dtype
            name = name or "hash_bucket"
        if not key_dtype.is_integer and key_dtype != string:
            raise TypeError(f"Invalid `key_dtype`, expected integer or string, got {key_dtype}.")
        super().__init__(key_dtype, int64)
        self._table = table or None
        self._num_oov_buckets = num_oov_buckets
        self._hash = _hash_function(hasher_spec)
        self._table_name = name.rpartition("/")[2] if name else None

    @property
    def initializer(self) -> Operation:
        """The operation that fills the table, or one that does nothing."""
        if self._table is not None:
            op: Operation = self._table.initializer
            return op
        with get_default_graph().name_scope("init"):
            return no_op()

    @property
    def init(self) -> Operation:
        """Older name of `initializer`."""
        return self.initializer

    @property
    def resource_handle(self) -> Tensor | None:
        """The handle of the table; None for buckets alone."""
        return None if self._table is None else self._table.resource_handle

    def size(self, name: str | None = None) -> Tensor:
        """The number of ids, int64: entries and buckets."""
        with self._scope(name, "Size"):
            table = self._table
            entries = convert_to_tensor(0, int64) if table is None else table.size()
            total: Tensor = entries + self._num_oov_buckets
            return total

    def lookup(self, keys: Any, name: str | None = None) -> Any:
        """The ids of keys, as a Tensor, a SparseTensor or a RaggedTensor as the keys are.

        Raises:
            TypeError: keys of another dtype.
        """
        keys = self._checked(keys)
        values = values_of(keys)
        if self._table is not None and self._table.key_dtype.base_dtype == int64:
            values = cast(values, int64)
        if self._num_oov_buckets == 0:
            return like(keys, self._table.lookup(values, name=name))
        with self._scope(name, "Lookup", values):
            texts = values if values.dtype.base_dtype == string else as_string(values)
            ids = self._hash(texts, num_buckets=self._num_oov_buckets, name="hash_bucket")
            if self._table is not None:
                found = self._table.lookup(values)
                ids = add(ids, self._table.size())
                ids = where_v2(not_equal(found, self._table.default_value), found, ids)
        return like(keys, ids)


def _check_id_table(table: Any, key_dtype: Any, lookup_dtype: Any) -> None:
    """Raise TypeError unless the table, or what fills it, goes from words or numbers to ids."""
    supported = (int64, string)
    if table.key_dtype not in supported:
        raise TypeError(f"Invalid `key_dtype`, expected one of {supported}, received {key_dtype}.")
    if table.key_dtype.is_integer != lookup_dtype.is_integer:
        expected = "integer" if lookup_dtype.is_integer else "non-integer"
        raise TypeError(f"Invalid `key_dtype`, expected {expected} but got {table.key_dtype}.")
    if table.value_dtype != int64:
        raise TypeError(f"Invalid `value_dtype`: expected int64 but got {table.value_dtype}.")


@export("lookup.StaticVocabularyTable")
class StaticVocabularyTable(IdTableWithHashBuckets):
    """A table from words to ids that gives other words the id of one of some more buckets.

    Args:
        initializer: what fills the table, with int64 values; None for buckets alone.
        num_oov_buckets: how many buckets there are, at least one.
        lookup_key_dtype: dtype of the keys that are looked up.
        name: name of the table.
        experimental_is_anonymous: as of StaticHashTable.

    Raises:
        ValueError: no bucket.
        TypeError: dtypes that cannot be.
    """

    def __init__(
        self,
        initializer: Any,
        num_oov_buckets: int,
        lookup_key_dtype: Any = None,
        name: str | None = None,
        experimental_is_anonymous: bool = False,
    ) -> None:
        if num_oov_buckets <= 0:
            raise ValueError("`num_oov_buckets` must be > 0; use StaticHashTable.")
        table = None
        if initializer:
            key_dtype = initializer.key_dtype if lookup_key_dtype is None else lookup_key_dtype
            _check_id_table(initializer, initializer.key_dtype, key_dtype)
            table = StaticHashTable(initializer, -1)
        else:
            key_dtype = string
        super().__init__(table, num_oov_buckets, FastHashSpec, name, key_dtype)


# --- tables of vocabularies -----------------------------------------------------------------------


def _names(name: str) -> tuple[str, str]:
    return (f"python.ops.lookup_ops.{name}", f"contrib.lookup.{name}")


def _check_size(vocab_size: int | None, filename: Any) -> None:
    if vocab_size is not None and vocab_size < 1:
        raise ValueError(
            f"`vocab_size` must be greater than 0, got {vocab_size} for vocabulary_file: "
            f"{shown_filename(filename)}."
        )


def _check_file(filename: Any) -> None:
    if filename is None or (isinstance(filename, str) and not filename):
        raise ValueError("`vocabulary_file` must be specified and must not be empty.")


def _check_buckets(num_oov_buckets: int) -> None:
    if num_oov_buckets < 0:
        raise ValueError(
            f"`num_oov_buckets` must be greater or equal than 0, got {num_oov_buckets}."
        )


def _with_buckets(table: Any, num_oov_buckets: int, hasher_spec: HasherSpec, dtype: Any) -> Any:
    if not num_oov_buckets:
        return table
    return IdTableWithHashBuckets(table, num_oov_buckets, hasher_spec, key_dtype=dtype)


@export(*_names("index_table_from_file"))
def index_table_from_file(
    vocabulary_file: Any = None,
    num_oov_buckets: int = 0,
    vocab_size: int | None = None,
    default_value: Any = -1,
    hasher_spec: HasherSpec = FastHashSpec,
    key_dtype: Any = string,
    name: str | None = None,
    key_column_index: int = TextFileIndex.WHOLE_LINE,
    value_column_index: int = TextFileIndex.LINE_NUMBER,
    delimiter: str = "\t",
) -> Any:
    """A table from the lines of a file to their numbers.

    Args:
        vocabulary_file: the path, a text or a string scalar.
        num_oov_buckets: how many more ids there are for other words; none when 0.
        vocab_size: how many lines to read; all when None.
        default_value: the id of other words where there are no buckets.
        hasher_spec: how other words are put into buckets.
        key_dtype: dtype of the words, string or an integer one.
        name: name scope of the operations.
        key_column_index: the column of the words, or one of TextFileIndex.
        value_column_index: the column of the ids, or one of TextFileIndex.
        delimiter: the byte between columns.

    Raises:
        ValueError: sizes that cannot be, or no file.
        TypeError: another `key_dtype`.
    """
    _check_file(vocabulary_file)
    _check_buckets(num_oov_buckets)
    _check_size(vocab_size, vocabulary_file)
    if not key_dtype.is_integer and key_dtype.base_dtype != string:
        raise TypeError("Dtype for `keys` should be either integer or string.")
    graph = get_default_graph()
    with graph.name_scope("string_to_index" if name is None else name):
        with graph.name_scope("hash_table"):
            init = TextFileIdTableInitializer(
                vocabulary_file, key_column_index, value_column_index, vocab_size, delimiter,
                "table_init", int64 if key_dtype.is_integer else key_dtype,
            )  # fmt: skip
            table = HashTable(init, default_value)
        return _with_buckets(table, num_oov_buckets, hasher_spec, key_dtype)


def _numbers(texts: Tensor) -> Tensor:
    return cast(range_(size(texts)), int64)


@export("python.ops.lookup_ops.index_table_from_tensor")
def index_table_from_tensor(
    vocabulary_list: Any,
    num_oov_buckets: int = 0,
    default_value: Any = -1,
    hasher_spec: HasherSpec = FastHashSpec,
    dtype: Any = string,
    name: str | None = None,
) -> Any:
    """A table from words to their places in a list.

    Args:
        vocabulary_list: a vector of texts or integers, none twice.
        num_oov_buckets: how many more ids there are for other words; none when 0.
        default_value: the id of other words where there are no buckets.
        hasher_spec: how other words are put into buckets.
        dtype: dtype of the words, string or an integer one.
        name: name scope of the operations.

    Raises:
        ValueError: no list, a negative number of buckets, or words of another dtype.
        TypeError: another `dtype`.
    """
    if vocabulary_list is None:
        raise ValueError("`vocabulary_list` must be specified.")
    _check_buckets(num_oov_buckets)
    if not dtype.is_integer and dtype.base_dtype != string:
        raise TypeError("`dtype` must either be integer or string.")
    graph = get_default_graph()
    with graph.name_scope("string_to_index" if name is None else name):
        keys = convert_to_tensor(vocabulary_list)
        if keys.dtype.is_integer != dtype.is_integer:
            expected = "integer" if dtype.is_integer else "non-integer"
            raise ValueError(f"Invalid `dtype`: Expected {expected}, got {keys.dtype}.")
        if not dtype.is_integer and keys.dtype.base_dtype != dtype:
            raise ValueError(f"Invalid `dtype`: Expected {dtype}, got {keys.dtype}.")
        values = _numbers(keys)
        with graph.name_scope("hash_table"):
            keys = cast(keys, int64) if keys.dtype.is_integer else keys
            init = KeyValueTensorInitializer(
                keys, values, keys.dtype.base_dtype, int64, name="table_init"
            )
            table = HashTable(init, default_value)
        return _with_buckets(table, num_oov_buckets, hasher_spec, dtype)


@export(*_names("index_to_string_table_from_file"))
def index_to_string_table_from_file(
    vocabulary_file: Any,
    vocab_size: int | None = None,
    default_value: Any = "UNK",
    name: str | None = None,
    key_column_index: int = TextFileIndex.LINE_NUMBER,
    value_column_index: int = TextFileIndex.WHOLE_LINE,
    delimiter: str = "\t",
) -> HashTable:
    """A table from numbers to the lines of a file; see `index_table_from_file`."""
    _check_file(vocabulary_file)
    _check_size(vocab_size, vocabulary_file)
    with get_default_graph().name_scope("index_to_string" if name is None else name):
        init = TextFileStringTableInitializer(
            vocabulary_file, key_column_index, value_column_index, vocab_size, delimiter,
            "table_init",
        )  # fmt: skip
        return HashTable(init, default_value)


@export("python.ops.lookup_ops.index_to_string_table_from_tensor")
def index_to_string_table_from_tensor(
    vocabulary_list: Any, default_value: Any = "UNK", name: str | None = None
) -> HashTable:
    """A table from places in a list to the words there; see `index_table_from_tensor`."""
    if vocabulary_list is None:
        raise ValueError("`vocabulary_list` must be specified.")
    with get_default_graph().name_scope("index_to_string" if name is None else name):
        texts = convert_to_tensor(vocabulary_list, string)
        keys = _numbers(texts)
        init = KeyValueTensorInitializer(keys, texts, int64, string, name="table_init")
        return HashTable(init, default_value)


@export("contrib.lookup.index_table_from_tensor")
def contrib_index_table_from_tensor(
    mapping: Any,
    num_oov_buckets: int = 0,
    default_value: Any = -1,
    hasher_spec: HasherSpec = FastHashSpec,
    dtype: Any = string,
    name: str | None = None,
) -> Any:
    """As `index_table_from_tensor`, with the names of arguments that tf.contrib had."""
    return index_table_from_tensor(
        mapping, num_oov_buckets, default_value, hasher_spec, dtype, name
    )


@export("contrib.lookup.index_to_string_table_from_tensor")
def contrib_index_to_string_table_from_tensor(
    mapping: Any, default_value: Any = "UNK", name: str | None = None
) -> HashTable:
    """As `index_to_string_table_from_tensor`, with the names of arguments that tf.contrib had."""
    return index_to_string_table_from_tensor(mapping, default_value, name)
