#!/usr/bin/env python3
"""Writes tests/models/broken: one tiny ONNX file for each message of the reader, and expected.txt that names the
messages; and tests/models/good: files with rare but valid forms.  Needs Python alone.

expected.txt has one line for each file: name, status, part of the message; tabs between.  The statuses are names of
lrp_status_name().
"""
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


# ---- protobuf ----
def varint(v):
    v &= (1 << 64) - 1
    out = b""
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def num(field, v):
    return varint(field << 3) + varint(v)


def sub(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def f32(field, v):
    return varint(field << 3 | 5) + struct.pack("<f", v)


def f64(field, v):
    return varint(field << 3 | 1) + struct.pack("<d", v)


# ---- ONNX ----
FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, HALF, DOUBLE, UINT32, UINT64 = range(1, 14)
BFLOAT = 16


def dims(*shape):
    return b"".join(num(1, d) for d in shape)


def tensor(name, shape, kind, data=b"", raw=None):
    return dims(*shape) + num(2, kind) + (sub(8, name) if name else b"") + data + (b"" if raw is None else sub(9, raw))


def value(name, kind=FLOAT, shape=(1, 2)):
    axes = b"".join(sub(1, num(1, d) if isinstance(d, int) else sub(2, d)) for d in shape)
    return sub(1, name) + sub(2, sub(1, num(1, kind) + sub(2, axes)))


def node(op="Relu", name="relu", ins=("x",), outs=("y",), attrs=b"", domain=None):
    body = b"".join(sub(1, i) for i in ins) + b"".join(sub(2, o) for o in outs)
    return body + sub(3, name) + (sub(4, op) if op else b"") + attrs + (sub(7, domain) if domain is not None else b"")


def graph(nodes=None, inits=(), ins=None, outs=None, extra=b""):
    nodes = [node()] if nodes is None else nodes
    ins = [value("x")] if ins is None else ins
    outs = [value("y")] if outs is None else outs
    return (b"".join(sub(1, n) for n in nodes) + sub(2, "g") + b"".join(sub(5, i) for i in inits)
            + b"".join(sub(11, v) for v in ins) + b"".join(sub(12, v) for v in outs) + extra)


OPSET = sub(8, sub(1, "") + num(2, 17))


def model(g=None, ir=num(1, 8), opset=OPSET, extra=b""):
    return ir + sub(2, "hand") + sub(3, "1") + (sub(7, graph() if g is None else g) if g != b"" else b"") + opset + extra


def with_init(t):
    return model(graph(inits=[t]))


def with_attr(a):
    return model(graph(nodes=[node(attrs=sub(5, a))]))


def with_input(v):
    return model(graph(ins=[v]))


def external(*pairs, shape=(2,), kind=FLOAT):
    return tensor("w", shape, kind, b"".join(sub(13, sub(1, k) + sub(2, v)) for k, v in pairs) + num(14, 1))


def nested(depth):
    g = graph()
    for _ in range(depth):
        g = graph(nodes=[node("If", "if", attrs=sub(5, sub(1, "then_branch") + sub(6, g) + num(20, 5)))])
    return g


I, U = "input", "unsupported"
W8 = struct.pack("<2f", 1, 2)
CASES = [
    # not ONNX at all
    ("empty", I, "the file is empty; an ONNX model was expected", b""),
    ("text", I, "this is not an ONNX file, but a text", b"this is no model\n"),
    ("lfs", I, "Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    ("zip", I, "zip archive", b"PK\3\4\0\0\0\0"),
    ("safetensors", I, "safetensors", struct.pack("<Q", 20) + b'{"w":{"dtype":"F32"}}'),
    ("no_graph", I, "no graph: this is no ONNX model", model(b"")),
    ("no_ir_version", I, "no ir_version: this is no ONNX model", model(ir=b"")),
    # the wire format
    ("cut_number", I, "byte 0: a number runs past the end of what encloses it", b"\x08\xff"),
    ("long_number", I, "byte 0: a number has more than 64 bits", b"\x08" + b"\xff" * 10 + b"\1"),
    ("field_0", I, "byte 0: a field number that protobuf does not allow", b"\0\0"),
    ("group", I, "byte 2: field 3 has wire type 3", b"\x08\x08\x1b"),
    ("cut_field", I, "field 7 says it has 9 bytes, but what encloses it ends after 1", num(1, 8) + b"\x3a\x09\x0a"),
    ("node_past_graph", I, "field 1 says it has 99 bytes, but what encloses it ends after 0", model(b"\x0a\x63")),
    ("cut_fixed", I, "attribute \"\": a number runs past the end", with_attr(b"\x15\0\0")),
    ("wire_ir", I, "field 1 (ir_version) has wire type 2; 0 was expected", model(ir=sub(1, "x"))),
    ("wire_graph", I, "field 7 (graph) has wire type 0; 2 was expected", model(b"", extra=num(7, 1))),
    ("wire_name", I, "field 3 (name) has wire type 0; 2 was expected", model(graph(nodes=[num(3, 1)]))),
    ("type_64_bits", I, "data_type is 4294967296, more than 32 bits", with_init(tensor("w", (2,), 1 << 32, raw=W8))),
    # the model
    ("no_opset", I, "opset_import names no operator set", model(opset=b"")),
    ("opset_0", I, "operator set \"\" of version 0; 1 or more was expected", model(opset=sub(8, num(2, 0)))),
    ("two_graphs", I, "two graphs; one was expected", model(extra=sub(7, graph()))),
    ("training", U, "training_info", model(extra=sub(20, b""))),
    ("function", U, "function \"f\": functions in the model", model(extra=sub(25, sub(1, "f")))),
    ("sparse", U, "sparse_initializer", model(graph(extra=sub(15, b"")))),
    ("control_character", I, "node 0 \"a?b\": name is no printable text", model(graph(nodes=[node(name="a\x1bb")]))),
    ("not_utf8", I, "node 0 \"a?\": name is no printable text", model(graph(nodes=[sub(3, b"a\xff") + sub(4, "Relu")]))),
    # nodes and attributes
    ("node_without_op", I, "node 0 \"relu\": a node without an operator", model(graph(nodes=[node(op="")]))),
    ("attr_without_name", I, "node 0 \"relu\": attribute \"\": an attribute without a name", with_attr(num(3, 1))),
    ("attr_type", I, "attribute \"a\": unknown attribute type 99", with_attr(sub(1, "a") + num(20, 99))),
    ("attr_mismatch", I, "attribute of type 1 holds field 3, which belongs to type 2",
     with_attr(sub(1, "a") + num(3, 1) + num(20, 1))),
    ("attr_no_tensor", I, "attribute of type 4 holds no value", with_attr(sub(1, "a") + num(20, 4))),
    ("attr_two_tensors", I, "two values; one was expected", with_attr(sub(1, "a") + sub(5, b"") + sub(5, b""))),
    ("attr_sparse", U, "a sparse tensor", with_attr(sub(1, "a") + sub(22, b"") + num(20, 11))),
    ("attr_ref", U, "a reference to an attribute of a function", with_attr(sub(1, "a") + sub(21, "b"))),
    ("attr_ints_cut", I, "attribute \"pads\": a number runs past the end", with_attr(sub(1, "pads") + sub(8, b"\x80"))),
    ("attr_floats_cut", I, "attribute \"a\": floats has 5 bytes; a multiple of 4 was expected",
     with_attr(sub(1, "a") + sub(7, b"\0" * 5))),
    ("attr_tensor", I, "node 0 \"relu\": attribute \"value\": no data for its 2 elements",
     with_attr(sub(1, "value") + sub(5, tensor("", (2,), FLOAT)) + num(20, 4))),
    ("deep", I, "graphs are nested more than 16 deep", model(nested(17))),
    ("inner_node", I, "attribute \"then_branch\": node 0 \"relu\": a node without an operator",
     with_attr(sub(1, "then_branch") + sub(6, graph(nodes=[node(op="")])) + num(20, 5))),
    # tensors
    ("init_without_name", I, "an initialiser without a name", with_init(tensor("", (2,), FLOAT, raw=W8))),
    ("huge", I, "initialiser 0 \"w\": no data for its 1099511627776 elements", with_init(tensor("w", (1 << 40,), FLOAT))),
    ("overflow", I, "more elements than any memory can hold", with_init(tensor("w", (1 << 40, 1 << 40), FLOAT, raw=W8))),
    ("hidden_overflow", I, "more elements than any memory can hold", with_init(tensor("w", (1 << 62, 4, 0), FLOAT))),
    ("negative", I, "axis 1 has size -2", with_init(tensor("w", (1, -2), FLOAT, raw=W8))),
    ("rank_9", U, "more than 8 axes", with_init(tensor("w", (1,) * 9, FLOAT, raw=W8))),
    ("type_0", U, "unknown element type 0", with_init(tensor("w", (2,), 0, raw=W8))),
    ("type_99", U, "unknown element type 99", with_init(tensor("w", (2,), 99, raw=W8))),
    ("complex", U, "elements of type complex64", with_init(tensor("w", (1,), 14, raw=W8))),
    ("float8", U, "elements of type float8e4m3fn", with_init(tensor("w", (8,), 17, raw=W8))),
    ("raw_short", I, "raw_data has 8 bytes; 3 elements of type float need 12", with_init(tensor("w", (3,), FLOAT, raw=W8))),
    ("raw_long", I, "raw_data has 8 bytes; 1 elements of type float need 4", with_init(tensor("w", (1,), FLOAT, raw=W8))),
    ("wrong_field", I, "data of type float in int32_data; float_data was expected",
     with_init(tensor("w", (1,), FLOAT, num(5, 1)))),
    ("typed_count", I, "int64_data has 1 elements; the shape has 2", with_init(tensor("w", (2,), INT64, num(7, 1)))),
    ("typed_range", I, "int32_data holds 200, which is no int8", with_init(tensor("w", (1,), INT8, num(5, 200)))),
    ("two_fields", I, "data in float_data and in int32_data", with_init(tensor("w", (1,), FLOAT, f32(4, 1) + num(5, 1)))),
    ("raw_and_typed", I, "data in float_data and in raw_data", with_init(tensor("w", (2,), FLOAT, f32(4, 1), W8))),
    ("raw_strings", I, "strings in raw_data; string_data was expected", with_init(tensor("w", (1,), STRING, raw=b"x"))),
    ("string_count", I, "string_data has 1 elements; the shape has 2", with_init(tensor("w", (2,), STRING, sub(6, "x")))),
    ("segment", U, "a tensor in segments", with_init(tensor("w", (2,), FLOAT, sub(3, b""), W8))),
    ("packed_cut", I, "int64_data", with_init(tensor("w", (1,), INT64, sub(7, b"") + f64(7, 1)))),
    # external data
    ("ext_absolute", I, "external data in \"/etc/passwd\"; a path below the model's folder",
     with_init(external(("location", "/etc/passwd")))),
    ("ext_dotdot", I, "external data in \"a/../../w.bin\"; a path below", with_init(external(("location", "a/../../w.bin")))),
    ("ext_missing", I, "external data in \"none.bin\", which could not be opened",
     with_init(external(("location", "none.bin")))),
    ("ext_folder", I, "a folder; external data of the model was expected", with_init(external(("location", ".")))),
    ("ext_no_location", I, "external data without a location", with_init(external(("offset", "0")))),
    ("ext_short", I, "external data at bytes 4 to 12 of \"short.bin\", which has only 8 bytes",
     with_init(external(("location", "short.bin"), ("offset", "4")))),
    ("ext_far", I, "which has only 8 bytes",
     with_init(external(("location", "short.bin"), ("offset", "9000000000000000000")))),
    ("ext_offset", I, "external_data's offset is no whole number >= 0",
     with_init(external(("location", "short.bin"), ("offset", "-4")))),
    ("ext_offset_long", I, "external_data's offset is no whole number >= 0",
     with_init(external(("location", "short.bin"), ("offset", "99999999999999999999")))),
    ("ext_length", I, "external data of 4 bytes; the shape needs 8",
     with_init(external(("location", "short.bin"), ("length", "4")))),
    ("ext_and_typed", I, "data in float_data and in an external file",
     with_init(tensor("w", (1,), FLOAT, f32(4, 1) + num(14, 1)))),
    ("location_2", I, "data_location is 2; 0 or 1 was expected", with_init(tensor("w", (2,), FLOAT, num(14, 2), W8))),
    # inputs and outputs
    ("value_without_name", I, "input 0 \"\": a value without a name", with_input(sub(2, sub(1, num(1, 1))))),
    ("value_without_type", I, "input 0 \"x\": no type; a tensor type was expected", with_input(sub(1, "x"))),
    ("sequence", U, "a sequence, map, optional or sparse value", with_input(sub(1, "x") + sub(2, sub(4, b"")))),
    ("string_input", U, "elements of type 8 (string); numbers were expected", with_input(value("x", STRING))),
    ("input_rank_9", U, "input 0 \"x\": more than 8 axes", with_input(value("x", FLOAT, (1,) * 9))),
]


def typed():
    """Every element type in its typed field: packed, not packed, in two runs."""
    vi = lambda *v: b"".join(varint(x) for x in v)
    half = lambda *v: vi(*(struct.unpack("<H", struct.pack("<e", x))[0] for x in v))
    return [
        tensor("float_packed", (2,), FLOAT, sub(4, struct.pack("<2f", 1.5, -2))),
        tensor("float_single", (2,), FLOAT, f32(4, 1.5) + f32(4, -2)),
        tensor("float_mixed", (3,), FLOAT, sub(4, struct.pack("<2f", 1.5, -2)) + sub(4, b"") + f32(4, 3)),
        tensor("double", (2,), DOUBLE, f64(10, 1.5) + f64(10, -2)),
        tensor("half", (4,), HALF, sub(5, half(1.5, -2, 2.0 ** -24, 65504))),
        tensor("bfloat", (2,), BFLOAT, sub(5, vi(0x3FC0, 0xC000))),
        tensor("int8", (2,), INT8, sub(5, vi(-128, 127))),
        tensor("uint8", (2,), UINT8, num(5, 0) + num(5, 255)),
        tensor("int16", (2,), INT16, sub(5, vi(-32768, 32767))),
        tensor("uint16", (2,), UINT16, sub(5, vi(0, 65535))),
        tensor("int32", (2,), INT32, sub(5, vi(-(1 << 31), (1 << 31) - 1))),
        tensor("int64", (2,), INT64, sub(7, vi(-(1 << 63))) + num(7, (1 << 63) - 1)),
        tensor("uint32", (2,), UINT32, sub(11, vi(0, (1 << 32) - 1))),
        tensor("uint64", (1,), UINT64, num(11, (1 << 63) - 1)),
        tensor("bool", (2,), BOOL, sub(5, b"\1\0")),
        tensor("string", (2,), STRING, sub(6, "a") + sub(6, b"\0\xff")),
        tensor("scalar", (), FLOAT, f32(4, 7)),
        tensor("empty", (0, 3), FLOAT),
        num(2, FLOAT) + sub(1, varint(2) + varint(1)) + sub(8, "packed_dims") + sub(9, W8),
    ]


def raws():
    """Every element type in raw_data, none of it aligned."""
    return [tensor("r%d" % k, (len(v),), k, raw=struct.pack("<%d%s" % (len(v), c), *v)) for k, c, v in (
        (FLOAT, "f", (1.5, -2)), (DOUBLE, "d", (1.5, -2)), (HALF, "e", (1.5, -2)), (BFLOAT, "H", (0x3FC0, 0xC000)),
        (INT8, "b", (-128, 127)), (UINT8, "B", (0, 255)), (INT16, "h", (-32768, 32767)), (UINT16, "H", (0, 65535)),
        (INT32, "i", (-5, 7)), (UINT32, "I", (0, 0xFFFFFFFF)), (INT64, "q", (-5, 7)), (UINT64, "Q", (5, 7)),
        (BOOL, "B", (1, 0)))]


def attributes():
    a = lambda name, body, kind: sub(5, sub(1, name) + body + (num(20, kind) if kind else b""))
    return (a("f", f32(2, 0.5), 1) + a("i", num(3, -3), 2) + a("s", sub(4, "same"), 3)
            + a("t", sub(5, tensor("", (2,), FLOAT, raw=W8)), 4) + a("floats", f32(7, 1) + sub(7, W8), 6)
            + a("ints", num(8, -1) + sub(8, varint(2) + varint(3)), 7) + a("strings", sub(9, "a") + sub(9, ""), 8)
            + a("none", b"", 7) + a("no_type", num(8, 4), 0) + a("binary", sub(4, b"a\0b"), 3) + a("zero", b"", 2))


def if_model():
    g = lambda op: graph(nodes=[node(op, op, ("x",), ("z",))], ins=[], outs=[sub(1, "z")])
    branch = lambda name, op: sub(5, sub(1, name) + sub(6, g(op)) + num(20, 5))
    return model(graph(nodes=[node("If", "if", ("c",), ("y",), branch("then_branch", "Relu") + branch("else_branch", "Neg"))],
                       ins=[value("x"), value("c", BOOL, ())]))


GOOD = {
    "typed": model(graph(inits=typed())),
    "raw": model(graph(inits=raws())),
    "attributes": model(graph(nodes=[node("Thing", "thing", ("x", "", "w"), ("y",), attributes(), "ai.onnx")],
                              inits=[tensor("w", (2,), FLOAT, raw=W8)])),
    "if": if_model(),
    "nested_16": model(nested(16)),
    "old": model(graph(nodes=[node("Gemm", "fc", ("x", "w"))], inits=[tensor("w", (2,), FLOAT, raw=W8)],
                       ins=[value("w", FLOAT, (2,)), value("x", FLOAT, ("batch", 0, -1, 4))]), ir=num(1, 3)),
    "external": model(graph(inits=[
        external(("location", "weights.bin"), ("offset", "4"), ("length", "8"), ("checksum", "x")),
        external(("location", "./weights.bin"), shape=(1,))])),
    "picture": model(graph(ins=[value("x", FLOAT, ("n", 3, 8, 8))], outs=[value("y", FLOAT, ("n", 4))])),
    "any_picture": model(graph(ins=[value("x", FLOAT, ("n", "c", "h", "w"))], outs=[value("y", FLOAT, ("n", 4))])),
    "unknown_fields": model(extra=num(900, 1) + sub(901, "x") + f32(902, 1) + f64(903, 1)),
}


def write(path, data):
    with open(os.path.join(HERE, path), "wb") as out:
        out.write(data)


def main():
    for name, _, _, data in CASES:
        write("broken/%s.onnx" % name, data)
    write("broken/short.bin", W8)
    write("broken/expected.txt", "".join("%s\t%s\t%s\n" % c[:3] for c in CASES).encode())
    for name, data in GOOD.items():
        write("good/%s.onnx" % name, data)
    write("good/weights.bin", struct.pack("<3f", 7, 1.5, -2))


if __name__ == "__main__":
    main()
