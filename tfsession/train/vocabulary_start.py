"""`tf.train.warm_start`: variables that begin as they were, though the vocabulary has changed."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from typing import Any, Final

from tfsession.core.dtypes import float32, int64
from tfsession.core.errors import NotFoundError
from tfsession.core.exports import export
from tfsession.core.verbosity import info
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.initializers import Zeros
from tfsession.ops.join import concat
from tfsession.ops.saveable import saveables_by_name, saveables_of
from tfsession.ops.variables import Variable
from tfsession.train.checkpoint_reader import checkpoint_name
from tfsession.train.object_checkpoint import object_graph_key_mapping
from tfsession.train.restored_start import init_from_checkpoint

_FIELDS: Final = (
    *("new_vocab", "new_vocab_size", "num_oov_buckets", "old_vocab", "old_vocab_size"),
    *("backup_initializer", "axis"),
)


@export("train.VocabInfo")
class VocabInfo(namedtuple("VocabInfo", _FIELDS)):
    """How the words of a variable of rank 2 were numbered, and how they are now.

    Args:
        new_vocab: the path of a file with the words of now, one a line.
        new_vocab_size: how many of them count.
        num_oov_buckets: how many rows or columns follow for words that are not in the vocabulary.
        old_vocab: the path of the file of then.
        old_vocab_size: how many of its words counted; -1 for all.
        backup_initializer: gives the numbers of new words; zeros when None.
        axis: 0 if a word is a row, 1 if it is a column.

    Raises:
        ValueError: another `axis`.
    """

    __slots__ = ()

    def __new__(
        cls,
        new_vocab: Any,
        new_vocab_size: int,
        num_oov_buckets: int,
        old_vocab: Any,
        old_vocab_size: int = -1,
        backup_initializer: Any = None,
        axis: int = 0,
    ) -> VocabInfo:
        """See the class."""
        if axis not in (0, 1):
            raise ValueError(
                "The only supported values for the axis argument are 0 and 1.  Provided axis: "
                f"{axis}"
            )
        return super().__new__(
            cls, new_vocab, new_vocab_size, num_oov_buckets, old_vocab, old_vocab_size,
            backup_initializer, axis,
        )  # fmt: skip


@export("train.warm_start")
def warm_start(
    ckpt_to_initialize_from: Any,
    vars_to_warm_start: Any = ".*",
    var_name_to_vocab_info: Mapping[str, VocabInfo] | None = None,
    var_name_to_prev_var_name: Mapping[str, str] | None = None,
) -> None:
    """Let the initializers of variables restore them from a checkpoint.

    Args:
        ckpt_to_initialize_from: the checkpoint, or a directory, where the latest one counts.
        vars_to_warm_start: which variables: a regex for the names of trainable ones, a list of
            regexes for any, a list of variables, or None for those with a vocabulary only.
        var_name_to_vocab_info: by the names of variables, how their words have been renumbered.
        var_name_to_prev_var_name: by the names of variables, what the checkpoint calls them.

    Raises:
        ValueError: a name in the arguments is of no variable, or the checkpoint lacks one.
        TypeError: `vars_to_warm_start` holds what is no variable.
    """
    info("Warm-starting from: %s", ckpt_to_initialize_from)
    vocabularies, known = var_name_to_vocab_info or {}, _grouped(vars_to_warm_start)
    renamed = var_name_to_prev_var_name or _keys_of_objects(ckpt_to_initialize_from, known)
    plain: dict[str, Any] = {}
    for name, variables in known.items():
        saved = renamed.get(name) or name
        if name in vocabularies:
            _start_by_vocabulary(variables, ckpt_to_initialize_from, saved, vocabularies[name])
        elif vars_to_warm_start:
            if saved in plain:  # two variables of one tensor
                init_from_checkpoint(ckpt_to_initialize_from, plain)
                plain = {}
            plain[saved] = variables[0] if len(variables) == 1 else variables
    if plain:
        init_from_checkpoint(ckpt_to_initialize_from, plain)
    for given, what in (
        (renamed, "var_name_to_prev_var_name"), (vocabularies, "var_name_to_vocab_info"),
    ):  # fmt: skip
        if unused := set(given) - set(known):
            raise ValueError(
                f"You provided the following variables in {what} that were not used: {unused}.  "
                "Perhaps you misspelled them?  Here is the list of viable variable names: "
                f"{list(known)}"
            )


def _grouped(asked: Any) -> dict[str, list[Any]]:
    """The variables that are meant by their names; slices of one whole together."""
    graph = get_default_graph()
    if isinstance(asked, str) or asked is None:
        found = graph.get_collection(GraphKeys.TRAINABLE_VARIABLES, asked)
    elif not isinstance(asked, list):
        raise ValueError(
            f"`vars_to_warm_start must be a `list` or `str`.  Given type is {type(asked)}"
        )
    elif all(isinstance(one, str) for one in asked):
        found = [v for one in asked for v in graph.get_collection(GraphKeys.GLOBAL_VARIABLES, one)]
    elif all(isinstance(one, Variable) for one in asked):
        found = asked
    else:
        raise ValueError(
            "If `vars_to_warm_start` is a list, it must be all `Variable` or all `str`.  Given "
            f"types are {[type(one) for one in asked]}"
        )
    grouped: dict[str, list[Any]] = {}
    for variable in found:
        (name,) = saveables_by_name([variable])
        grouped.setdefault(name, []).append(variable)
    return grouped


def _keys_of_objects(checkpoint: Any, names: Mapping[str, Any]) -> dict[str, str]:
    """What a checkpoint of objects calls the variables; nothing if it is one of names."""
    try:
        keys = object_graph_key_mapping(checkpoint_name(checkpoint))
    except NotFoundError:
        return {}
    if missing := set(names) - set(keys):
        raise ValueError(
            "Attempting to warm-start from an object-based checkpoint, but found that the "
            "checkpoint did not contain values for all variables. The following variables were "
            f"missing: {missing}"
        )
    return {name: keys[name] for name in names}


def _start_by_vocabulary(variables: list[Any], checkpoint: Any, saved: str, how: Any) -> None:
    if not (how.new_vocab and how.new_vocab_size and how.old_vocab):
        raise ValueError("A VocabInfo must have new_vocab, new_vocab_size and old_vocab")
    prefix = checkpoint_name(checkpoint)
    for variable in variables:
        shape, slices = variable.shape.as_list(), variable._save_slice_info
        if variable.dtype.base_dtype is not float32 or len(shape) != 2:
            raise ValueError(f"{variable.name} is no matrix of float32")
        offset = slices.var_offset[0] if slices is not None else 0
        value = _moved(shape, offset, prefix, saved, how)
        (saveable,) = saveables_of({saved: variable if slices is None else [variable]})
        assigned = saveable.restore([value], None)
        variable._initializer_op = assigned.op if hasattr(assigned, "op") else assigned
        variable._initial_value = value


def _moved(shape: list[int], offset: int, prefix: str, saved: str, how: Any) -> Any:
    """The rows of a variable from `offset` on, with new ones where there were none."""
    initializer = how.backup_initializer or Zeros()
    rows, columns = shape
    spare = 0
    if how.axis == 0:
        # The rows of words beyond the vocabulary are the last ones.
        spare = min(rows, max(0, offset + rows - how.new_vocab_size))
        if offset + rows > how.new_vocab_size + how.num_oov_buckets:
            raise ValueError(
                f"{rows} rows from {offset} on are more than the vocabulary has: "
                f"{how.new_vocab_size} and {how.num_oov_buckets} buckets"
            )
        if spare == rows:
            return convert_to_tensor(initializer(shape))
        remapping, present = _remapping(how, offset, rows - spare, how.old_vocab_size)
        row_numbers, column_numbers = remapping, convert_to_tensor([], int64)
        known = present * columns
    else:
        columns -= how.num_oov_buckets
        if columns != how.new_vocab_size:
            raise ValueError(
                f"{shape[1]} columns are not those of the vocabulary: {how.new_vocab_size} and "
                f"{how.num_oov_buckets} buckets"
            )
        column_numbers, present = _remapping(how, 0, columns, -1)
        row_numbers = convert_to_tensor(list(range(offset, offset + rows)), int64)
        known = present * rows
    loaded = rows - spare
    fill = initializer(convert_to_tensor([loaded * columns - known, 1]))
    attrs = {"num_rows": loaded, "num_cols": columns}
    inputs = [prefix, saved, row_numbers, column_numbers, fill]
    matrix = create_op("LoadAndRemapMatrix", inputs, attrs)
    if spare:
        matrix = concat([matrix, initializer([spare, columns])], 0)
    if how.axis == 1 and how.num_oov_buckets:
        matrix = concat([matrix, initializer([rows, how.num_oov_buckets])], 1)
    return matrix


def _remapping(how: Any, offset: int, count: int, old_size: int) -> Any:
    attrs = {"new_vocab_offset": offset, "num_new_vocab": count, "old_vocab_size": old_size}
    return create_op("GenerateVocabRemapping", [how.new_vocab, how.old_vocab], attrs)
