#!/bin/sh
# embed.sh NAME FILE - write FILE as a C header that defines `static const char NAME[]`.
set -e
test $# -eq 2 || { echo "usage: embed.sh NAME FILE" >&2; exit 2; }
test -r "$2" || { echo "embed.sh: $2: cannot be read" >&2; exit 1; }
echo "/* Made by embed.sh from ${2##*/}. */"
echo "static const char $1[] ="
sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/  "/' -e 's/$/\\n"/' "$2"
echo "  ;"
