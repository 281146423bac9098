"""png.py FILE EXPRESSION: is the expression true of the picture?  px(x, y): its colour; w, h: its size; ink(x, y, text, zoom): are
the dots of these letters there, and none between?  The letters are read from cli/letters.c, the colours may be any on white."""
import os
import re
import struct
import sys
import zlib

data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n"
at, packed = 8, b""
while at < len(data):
    n, kind = struct.unpack(">I4s", data[at:at + 8])
    body = data[at + 8:at + 8 + n]
    assert struct.unpack(">I", data[at + 8 + n:at + 12 + n])[0] == zlib.crc32(kind + body)
    if kind == b"IHDR":
        w, h, depth, color = struct.unpack(">IIBB", body[:10])
    elif kind == b"IDAT":
        packed += body
    at += 12 + n
channels = {0: 1, 2: 3, 6: 4}[color]
assert depth == 8
raw, stride = zlib.decompress(packed), w * channels
rows, above = [], bytearray(stride)
for y in range(h):  # the five filters of PNG
    how, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
    for i in range(stride):
        a = line[i - channels] if i >= channels else 0
        b, c = above[i], above[i - channels] if i >= channels else 0
        p = a + b - c
        near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        line[i] = (line[i] + (0, a, b, (a + b) // 2, near)[how]) & 255
    rows.append(line)
    above = line


def px(x, y):
    return tuple(rows[y][x * channels:(x + 1) * channels])


source = open(os.path.join(os.path.dirname(__file__), "..", "..", "cli", "letters.c")).read()
table = [[int(v, 16) for v in re.findall("0x[0-9a-f]+", line)] for line in re.findall(r"^    \{(0x.*?)\}", source, re.M)]
assert len(table) == 95 and all(len(g) == 9 for g in table)


def ink(x, y, text, zoom=1):
    for k, letter in enumerate(text):
        for row in range(9):
            for column in range(6):
                dot = column < 5 and table[ord(letter) - 32][row] >> (4 - column) & 1
                for i in range(zoom * zoom):
                    here = px(x + (6 * k + column) * zoom + i % zoom, y + row * zoom + i // zoom)
                    if bool(dot) != (max(here) < 128):
                        return False
    return True


sys.exit(0 if eval(sys.argv[2]) else "false: " + sys.argv[2])
