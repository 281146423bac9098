#!/usr/bin/env python3
"""dump.py FOLDER - writes the node tests of the installed `onnx` package as files, for conformance.

The wheel holds them as Python only.  Each becomes FOLDER/NAME/model.onnx and FOLDER/NAME/test_data_set_0/input_K.pb,
output_K.pb, as in Debian's libonnx-testdata.
"""
import pathlib
import sys

import numpy
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests


def write(folder, what, values):
    for k, value in enumerate(values):
        if isinstance(value, onnx.TensorProto):
            proto = value
        elif isinstance(value, (numpy.ndarray, numpy.generic)):
            proto = numpy_helper.from_array(numpy.asarray(value))
        else:
            return False  # sequences, optionals
        (folder / f"{what}_{k}.pb").write_bytes(proto.SerializeToString())
    return True


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1])
    written = left = 0
    for case in load_model_tests(kind="node"):
        data = root / case.name / "test_data_set_0"
        data.mkdir(parents=True, exist_ok=True)
        inputs, outputs = case.data_sets[0]
        try:
            good = write(data, "input", inputs) and write(data, "output", outputs)
        except (TypeError, KeyError, ValueError) as error:
            print(f"{case.name}: {error}", file=sys.stderr)
            good = False
        written += good
        left += not good
        if good:
            onnx.save(case.model, root / case.name / "model.onnx")
    print(f"onnx {onnx.__version__}: {written} node tests written to {root}, {left} without tensors left out")


if __name__ == "__main__":
    main()
