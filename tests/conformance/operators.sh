#!/bin/sh
# operators.sh LRP - prints plugins/OPERATORS.md: the ONNX operators that the layer types of `lrp layers --json` implement.
# What is printed depends on the modules alone.
lrp=${1-lrp}
json=$("$lrp" layers --json) || exit 1
cat <<'END'
# ONNX operators

Written by `tests/conformance/operators.sh` from the layer types of this build; `make check` compares. Operators are those
of ONNX's own domain; "since" is the first opset whose form is taken. A form that is not, such as another output or a list
that depends on the input, is refused with a sentence when the model is opened. `Constant`, and `If` whose condition is
constant or depends on a single whole number given as input, are resolved by the importer.

| operator | since | layer types |
|---|---|---|
END
printf '%s\n' "$json" | awk -F'"' '
  $2 == "domain" { domain = $4; inside = 1; next }
  $2 == "name" && inside { operator = $4; next }
  $2 == "name" { name = $4 }
  $2 == "kind" { layer = name }
  $2 == "since" && inside {
    since = $0
    gsub(/[^0-9]/, "", since)
    inside = 0
    if (domain != "")
      next
    if (!(operator in least) || since + 0 < least[operator] + 0)
      least[operator] = since
    if (index(", " layers[operator] ",", ", " layer ",") == 0)
      layers[operator] = layers[operator] (layers[operator] == "" ? "" : ", ") layer
  }
  END {
    for (operator in least)
      print "| " operator " | " least[operator] " | " layers[operator] " |"
  }' | LC_ALL=C sort
