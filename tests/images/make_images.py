"""Writes the small pictures of this folder, the broken ones too, and resized.h with what PIL makes of them.
Needs: pip install pillow==11.3.0"""
import struct
import zlib

import PIL
from PIL import Image

W, H = 13, 9


def value(x, y, c):
    return (x * 37 + y * 61 + c * 17 + x * y * 5) % 256


def smooth(x, y, c):
    return 20 + 14 * x + 6 * y + 5 * c


def picture(channels, f=value):
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    return Image.frombytes(mode, (W, H), bytes(f(x, y, c) for y in range(H) for x in range(W) for c in range(channels)))


def chunk(name, data, crc=None):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) if crc is None else crc)


def png(w, h, depth, color, rows, **broken):
    head = struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, 0)
    body = zlib.compress(rows)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head, broken.get("crc")) + chunk(b"IDAT", broken.get("body", body))
    return out + chunk(b"IEND", b"")


def put(name, data):
    with open(name, "wb") as f:
        f.write(data)


def numbers(name, image):
    data = ", ".join(str(b) for b in image.tobytes())
    return "static const uint8_t %s[] = {%s};\n" % (name, data)


def main():
    for n, name in ((1, "grey"), (2, "grey_alpha"), (3, "rgb"), (4, "rgba")):
        picture(n).save(name + ".png")
    picture(3).quantize(8).save("palette.png")
    put("grey16.png", png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 0x1234, 0xff80)))
    put("grey1.png", png(8, 1, 1, 0, b"\0\xa5"))
    picture(3, smooth).save("rgb.jpg", quality=95, subsampling=0)
    picture(1, smooth).save("grey.jpg", quality=95)
    exif = Image.Exif()
    exif[0x112] = 6
    picture(1, smooth).save("turned.jpg", quality=95, exif=exif)
    picture(3, smooth).convert("CMYK").save("cmyk.jpg")
    good = open("rgb.png", "rb").read()
    put("cut.png", good[:-40])
    put("crc.png", png(2, 1, 8, 0, b"\0ab", crc=1))
    put("zlib.png", png(2, 1, 8, 0, b"", body=b"no deflate stream"))
    put("huge.png", png(60000, 60000, 8, 2, b"\0"))
    put("empty.png", png(0, 1, 8, 0, b"\0"))
    jpg = open("rgb.jpg", "rb").read()
    put("cut.jpg", jpg[:-60])
    put("noise.jpg", jpg[:20] + bytes(range(200, 255)))
    with open("resized.h", "w") as f:
        f.write("/* resized.h - written by make_images.py with Pillow %s. */\n" % PIL.__version__)
        rgb, grey = picture(3), picture(1)
        for name, filter in (("nearest", 0), ("bilinear", 2), ("bicubic", 3)):
            f.write(numbers(name + "_down", rgb.resize((5, 4), filter)))
            f.write(numbers(name + "_up", grey.resize((17, 11), filter)))
            f.write(numbers(name + "_mixed", grey.resize((20, 3), filter)))
        f.write(numbers("luma", rgb.convert("L")))


main()
