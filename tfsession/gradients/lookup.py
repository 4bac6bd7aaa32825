"""No gradient flows back through tables."""

from tfsession.core.rules import no_gradient

for _version in ("", "V2"):
    for _name in ("HashTable", "MutableHashTable", "MutableHashTableOfTensors"):
        no_gradient(f"{_name}{_version}")
    for _name in ("MutableDenseHashTable", "InitializeTable", "InitializeTableFromTextFile"):
        no_gradient(f"{_name}{_version}")
    for _name in ("Find", "Insert", "Import", "Export", "Size"):
        no_gradient(f"LookupTable{_name}{_version}")
no_gradient("LookupTableRemoveV2")
