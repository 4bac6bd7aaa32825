"""Seeded changes: of bytes, of any protobuf message, of graphs by what their fields mean."""

import numpy as np
from google.protobuf.descriptor import FieldDescriptor as Field

from tfsession.core.op_def import ops
from tfsession.core.tensor_proto import array_to_proto, make_ndarray

INTEGERS = [
    *(0, 1, -1, 2, 3, 7, -2, 127, 128, 255, 256, 1000, 65535, 1 << 20, 1 << 24),
    *((1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 32) - 1, 1 << 32, 1 << 40, 1 << 62),
    *((1 << 63) - 1, -(1 << 63)),
]
# What a size, an axis, a count may be, more often than not.
SIZES = [*range(-3, 8), *range(-3, 8), 100, 1000, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 40]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, -1e300, float("inf"), float("nan")]
TEXTS = [
    *("", "^", ":", "a:1", "a:-1", "^a", "a b", "/", "_x", "loc:@", "loc:@a", "x" * 300, "é", "\0"),
    *("/device:GPU:0", "/job:x", "/cpu:99999999999", "while/while_context", "NHWC", "VALID", ".."),
]
_INTEGER_KINDS = {
    *(Field.TYPE_INT32, Field.TYPE_INT64, Field.TYPE_UINT32, Field.TYPE_UINT64),
    *(Field.TYPE_SINT32, Field.TYPE_SINT64, Field.TYPE_FIXED32, Field.TYPE_FIXED64),
}
_BITS_32 = {Field.TYPE_INT32, Field.TYPE_UINT32, Field.TYPE_SINT32, Field.TYPE_FIXED32}
_UNSIGNED = {Field.TYPE_UINT32, Field.TYPE_UINT64, Field.TYPE_FIXED32, Field.TYPE_FIXED64}


def changed_bytes(rng, data):
    """A few bits, bytes or stretches changed."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(data) + 1)
        other = rng.randrange(len(data) + 1)
        count = rng.choice((1, 2, 4, 8, 16, 100))
        match rng.randrange(9):
            case 0 | 1 if place < len(data):
                data[place] ^= 1 << rng.randrange(8)
            case 2 if place < len(data):
                data[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 3:
                del data[place:]
            case 4:
                del data[place : place + count]
            case 5:
                data[place:place] = rng.randbytes(count)
            case 6:
                data[place : place + count] = data[other : other + count]
            case 7:
                data[place:place] = data[other : other + count]
            case 8:
                # As a length: of eight bytes, of four, or a varint.
                number = rng.choice(INTEGERS) & (1 << 64) - 1
                size = rng.choice((4, 8))
                plain = (number & (1 << 8 * size) - 1).to_bytes(size, "little")
                varint = b"\xff" * rng.randrange(1, 10) + b"\x7f"
                found = rng.choice((plain, varint))
                data[place : place + len(found)] = found
    return bytes(data)


# --- messages -------------------------------------------------------------------------------------


def messages_in(message):
    """A message and all that it holds."""
    found = [message]
    for one in found:
        for field, value in one.ListFields():
            if field.type == Field.TYPE_MESSAGE:
                if not field.is_repeated:
                    found.append(value)
                elif field.message_type.GetOptions().map_entry:
                    if field.message_type.fields_by_name["value"].type == Field.TYPE_MESSAGE:
                        found.extend(value[key] for key in sorted(value))
                else:
                    found.extend(value)
    return found


def _scalar(rng, field, old):
    kind = field.type
    if kind in _INTEGER_KINDS:
        bits = 32 if kind in _BITS_32 else 64
        number = rng.choice((rng.choice(INTEGERS), rng.choice(INTEGERS), (old or 0) + 1))
        number &= (1 << bits) - 1
        return number if kind in _UNSIGNED or number < 1 << bits - 1 else number - (1 << bits)
    if kind in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        return rng.choice(FLOATS)
    if kind == Field.TYPE_BOOL:
        return not old
    if kind == Field.TYPE_ENUM:
        return rng.choice((*range(31), *range(101, 124), 999))
    if kind == Field.TYPE_BYTES:
        text = rng.choice(TEXTS).encode(errors="surrogatepass")
        return rng.choice((text, b"\xff\xfe", changed_bytes(rng, old or b""), rng.randbytes(5)))
    return rng.choice((*TEXTS, (old or "") + "x"))


def change_field(rng, message):
    """Change one field of a message: set, dropped, repeated, in another order."""
    listed = [(field, value) for field, value in message.ListFields()]
    if not listed or rng.random() < 0.15:
        fields = [f for f in message.DESCRIPTOR.fields if f.type != Field.TYPE_GROUP]
        if not fields:
            return
        field = rng.choice(fields)
        value = getattr(message, field.name)
    else:
        field, value = rng.choice(listed)
    if field.is_repeated:
        if field.type == Field.TYPE_MESSAGE and field.message_type.GetOptions().map_entry:
            _change_map(rng, value)
        else:
            _change_list(rng, field, value)
    elif field.type == Field.TYPE_MESSAGE:
        if message.HasField(field.name):
            message.ClearField(field.name)
        else:
            getattr(message, field.name).SetInParent()
    elif rng.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(rng, field, value))


def _change_map(rng, value):
    keys = sorted(value)
    if not keys:
        return
    one, other = rng.choice(keys), rng.choice(keys)
    if rng.random() < 0.5 or not hasattr(value[one], "CopyFrom"):
        del value[one]
    else:
        value[one].CopyFrom(value[other])


def _change_list(rng, field, value):
    is_message = field.type == Field.TYPE_MESSAGE
    kind = rng.randrange(5)
    if not len(value) or kind == 0:
        if is_message:
            added = value.add()
            if len(value) > 1:
                added.CopyFrom(rng.choice(value))
        else:
            value.append(_scalar(rng, field, value[0] if len(value) else None))
        return
    place, other = rng.randrange(len(value)), rng.randrange(len(value))
    if kind == 1:
        del value[place]
    elif is_message:
        copy = type(value[place])()
        copy.CopyFrom(value[other])
        value[place].CopyFrom(copy)
    elif kind == 2:
        value[place] = value[other]
    else:
        value[place] = _scalar(rng, field, value[place])


def changed_message(rng, message):
    """A copy of a message, a few of whose fields are changed, at any depth."""
    copy = type(message)()
    copy.CopyFrom(message)
    for _ in range(rng.choice((1, 1, 2, 3))):
        change_field(rng, rng.choice(messages_in(copy)))
    return copy


# --- graphs ---------------------------------------------------------------------------------------


def _nodes(graph_def):
    return [list(graph_def.node), *(list(f.node_def) for f in graph_def.library.function)]


def _op_types(cache=[]):  # noqa: B006 (computed once)
    if not cache:
        cache.extend(sorted(ops.names()))
    return cache


def changed_graph(rng, graph_def):
    """A copy of a GraphDef with another wiring, other ops, attributes, shapes, names."""
    if rng.random() < 0.25:
        return changed_message(rng, graph_def)
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    if rng.random() < 0.6:
        for _ in range(rng.choice((1, 1, 2, 3, 5))):
            _change_meaning(rng, rng.choice(copy.node))
        return copy
    for _ in range(rng.choice((1, 1, 2, 3))):
        nodes = rng.choice([n for n in _nodes(copy) if n] or [[]])
        if nodes:
            _change_node(rng, rng.choice(nodes), nodes)
    return copy


def _change_meaning(rng, node):
    """Another constant of the same type, or another attribute of the right kind."""
    if node.op == "Const":
        value = node.attr["value"].tensor
        array = make_ndarray(value)
        value.CopyFrom(array_to_proto(_changed_array(rng, array)))
        node.attr.pop("_output_shapes", None)
        return
    op_def = ops.get(node.op)
    names = [name for name in sorted(node.attr) if op_def is not None and name in op_def.attrs]
    if not names:
        return
    attr = op_def.attrs[rng.choice(names)]
    value = node.attr[attr.name]
    match attr.type:
        case "int":
            value.i = rng.choice(SIZES)
        case "float":
            value.f = rng.choice(FLOATS)
        case "bool":
            value.b = not value.b
        case "string":
            texts = [text.encode() for text in TEXTS]
            value.s = rng.choice(list(attr.allowed) if attr.allowed else texts)
        case "list(int)":
            sizes = [rng.choice(SIZES) if rng.random() < 0.5 else i for i in value.list.i]
            value.list.i[:] = sizes if rng.random() < 0.8 else [*sizes[1:], 1]
        case "list(string)" | "list(float)":
            change_field(rng, value.list)
        case "shape" | "list(shape)":
            change_field(rng, rng.choice(messages_in(value)))


def _changed_array(rng, array):
    """An array of the same dtype, of other values or another shape."""
    array = np.array(array)
    match rng.randrange(6):
        case 0:
            return array.reshape(-1)[: rng.randrange(array.size + 1)]
        case 1:
            return _of_another_rank(rng, array)
        case 2:
            return array.T if array.ndim > 1 else np.concatenate([array.reshape(-1)] * 2)
        case 3:
            shape = [rng.choice((0, 1, n, n + 1)) for n in array.shape]
            if array.size:
                return np.resize(array, shape)
            return np.full(shape, b"" if array.dtype == object else 0, array.dtype)
        case _ if array.size:
            for _ in range(rng.choice((1, 1, 2, array.size))):
                place = rng.randrange(array.size)
                if array.dtype == object:
                    old = array.reshape(-1)[place]
                    text = rng.choice((changed_bytes(rng, old), rng.choice(TEXTS).encode()))
                    array.reshape(-1)[place] = text
                elif array.dtype.kind in "iub":
                    number = rng.choice(SIZES)
                    array.reshape(-1)[place] = np.array(number).astype(array.dtype)
                else:
                    with np.errstate(all="ignore"):
                        array.reshape(-1)[place] = rng.choice(FLOATS)
    return array


def _of_another_rank(rng, array):
    match rng.randrange(5):
        case 0 if array.size:
            return array.reshape(-1)[:1].reshape(())
        case 1:
            return array.reshape(-1)
        case 2:
            return array.reshape(-1, 1)
        case 3:
            return np.stack([array, array])
    return array[np.newaxis]


def _change_node(rng, node, nodes):
    other = rng.choice(nodes)
    match rng.randrange(10):
        case 0 | 1 if len(node.input):
            output = rng.choice(("", "", ":1", ":-1", ":99"))
            mark = rng.choice(("", "", "", "^"))
            node.input[rng.randrange(len(node.input))] = f"{mark}{other.name}{output}"
        case 2:
            node.input.append(rng.choice((other.name, f"^{other.name}", "nobody", "")))
        case 3 if len(node.input):
            del node.input[rng.randrange(len(node.input))]
        case 4:
            node.op = rng.choice((other.op, rng.choice(_op_types())))
        case 5:
            node.name = rng.choice((other.name, rng.choice(TEXTS)))
        case 6:
            node.device = rng.choice(TEXTS)
        case 7 if node.attr:
            key = rng.choice(sorted(node.attr))
            if other.attr:
                node.attr[key].CopyFrom(other.attr[rng.choice(sorted(other.attr))])
        case _ if node.attr:
            value = node.attr[rng.choice(sorted(node.attr))]
            change_field(rng, rng.choice(messages_in(value)))
