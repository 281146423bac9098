# lib.sh - sourced by the tests of the command: a fresh folder, runs with an expected status, TAP on stdout.
#   LRP             the command
#   LRP_TEST_DATA   the folder tests of the source
# and, for plugins, LRP_CFLAGS (where lrp/plugin.h is), LRP_TEST_CC, LRP_TEST_PLUGINS (broken modules), LRP_TEST_BUILD.
: "${LRP:?the path of lrp was expected}" "${LRP_TEST_DATA:?the folder tests of the source was expected}"
source=$(cd "$LRP_TEST_DATA/.." && pwd) || exit 99
models=$source/examples/models
data=$source/examples/data
text=$models/spam-textcnn
cnn=$models/fashion-cnn
boot=$data/ankle-boot.png
folder=$(mktemp -d) || exit 99
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 99
unset LRP_DB LRP_PLUGIN_PATH LRP_PRESET_PATH LRP_THREADS NO_COLOR COLORTERM MAKEFLAGS MFLAGS MAKELEVEL
n_test=0
why=
# An escape, as a terminal would obey it.
esc=$(printf '\033')

# try STATUS COMMAND...: runs it, with its streams in the files out and err; another status, a crash or a sanitizer's
# report is a failure.
try () {
  expected=$1
  shift
  "$@" >out 2>err
  got=$?
  [ "$got" = "$expected" ] || why="$why; status $got, not $expected"
  grep -q 'runtime error:\|AddressSanitizer\|LeakSanitizer' err && why="$why; a sanitizer speaks"
  return 0
}
# out PATTERN, err PATTERN: a line of the stream fits.  not_out, not_err: none does.  is FILE: it is there, with something in it.
out () { grep -q -e "$1" out || why="$why; standard output lacks \"$1\""; }
err () { grep -q -e "$1" err || why="$why; standard error lacks \"$1\""; }
not_out () { grep -q -e "$1" out && why="$why; standard output has \"$1\""; return 0; }
not_err () { grep -q -e "$1" err && why="$why; standard error has \"$1\""; return 0; }
silent () { [ -s "$1" ] && why="$why; \"$1\" is not empty"; return 0; }
is () { [ -s "$1" ] || why="$why; $1 is missing or empty"; }
none () { for f in "$@"; do [ -e "$f" ] && why="$why; $f is there"; done; return 0; }
must () { "$@" || why="$why; failed: $*"; }

# ok NAME: the result of all since the last one.
ok () {
  n_test=$((n_test + 1))
  if [ -z "$why" ]; then
    echo "ok $n_test - $1"
  else
    echo "not ok $n_test - $1"
    echo "# ${why#; }"
    head -n 20 err 2>/dev/null | sed 's/^/# stderr: /'
  fi
  why=
}
skip () { n_test=$((n_test + 1)); echo "ok $n_test - $1 # SKIP $2"; why=; }
finished () { echo "1..$n_test"; }

python=$(command -v python3 || true)
# json FILE [EXPRESSION]: one valid JSON document, of which the expression is true (d: the document).
json () {
  if [ -n "$python" ]; then
    "$python" -c 'import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"), parse_constant=lambda name: sys.exit("not JSON: " + name))
sys.exit(0 if eval(sys.argv[2]) else "false: " + sys.argv[2])' "$1" "${2:-True}" 2>json.err ||
      why="$why; $1: $(tail -n 1 json.err)"
  else
    grep -q '^[[{]' "$1" || why="$why; $1 is no JSON"
  fi
}
sql () { "$LRP" sql --db "$1" "$2" --format csv 2>/dev/null | sed -n '2p'; }
# read_png FILE EXPRESSION: it is true of the picture; see png.py.
read_png () {
  [ -z "$python" ] || "$python" "$LRP_TEST_DATA/cli/png.py" "$1" "$2" 2>png.err || why="$why; $1: $(tail -n 1 png.err)"
}
