"""What programs ask of TensorFlow beside graphs: flags, files, nests, test cases.

The façade loads these modules when a program first asks for a name that they declare. Those of
flags and tests need absl, and wait until one of their own names is asked for.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from tfsession.core.exports import Deferred, export_value

_FLAGS = (
    *("ArgumentParser", "ArgumentSerializer", "BaseListParser", "BooleanFlag", "BooleanParser"),
    *("CantOpenFlagFileError", "CsvListSerializer", "DEFINE", "DEFINE_alias", "DEFINE_bool"),
    *("DEFINE_boolean", "DEFINE_enum", "DEFINE_enum_class", "DEFINE_flag", "DEFINE_float"),
    *("DEFINE_integer", "DEFINE_list", "DEFINE_multi", "DEFINE_multi_enum"),
    *("DEFINE_multi_enum_class", "DEFINE_multi_float", "DEFINE_multi_integer"),
    *("DEFINE_multi_string", "DEFINE_spaceseplist", "DEFINE_string", "DuplicateFlagError"),
    *("EnumClassFlag", "EnumClassListSerializer", "EnumClassParser", "EnumClassSerializer"),
    *("EnumFlag", "EnumParser", "Error", "FLAGS", "Flag", "FlagHolder"),
    *("FlagNameConflictsWithMethodError", "FlagValues", "FloatParser", "IllegalFlagValueError"),
    *("IntegerParser", "ListParser", "ListSerializer", "MultiEnumClassFlag", "MultiFlag"),
    *("UnparsedFlagAccessError", "UnrecognizedFlagError", "ValidationError"),
    *("WhitespaceSeparatedListParser", "adopt_module_key_flags", "declare_key_flag"),
    *("disclaim_key_flags", "doc_to_help", "flag_dict_to_args", "get_help_width"),
    *("mark_bool_flags_as_mutual_exclusive", "mark_flag_as_required"),
    *("mark_flags_as_mutual_exclusive", "mark_flags_as_required", "multi_flags_validator"),
    *("override_value", "register_multi_flags_validator", "register_validator", "set_default"),
    *("text_wrap", "validator"),
)
_TESTS = ("TestCase", "StubOutForTesting", "assert_equal_graph_def", "main", "mock")


def _made(module: str, name: str) -> Any:
    return getattr(import_module(f"{__name__}.{module}"), name)


for _name in _FLAGS:
    export_value(Deferred(partial(_made, "absl_flags", _name)), f"flags.{_name}",
                 f"app.flags.{_name}")  # fmt: skip
for _name in _TESTS:
    export_value(Deferred(partial(_made, "test_case", _name)), f"test.{_name}")
export_value(Deferred(partial(_made, "absl_flags", "run")), "app.run")
