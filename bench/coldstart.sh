#!/bin/sh
# coldstart.sh [LRP] [RUNS]: the whole process from start to a written explanation, in milliseconds: minimum, median, maximum.
# Cases: the bundled text and picture models, with and without the database.
set -eu
lrp=${1:-build/lrp}
runs=${2:-21}
here=$(dirname "$0")/..
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# case NAME COMMAND...
case_of () {
  name=$1
  shift
  "$@" >/dev/null 2>&1 # warm the file cache
  i=0
  while [ "$i" -lt "$runs" ]; do
    a=$(date +%s%N)
    "$@" >/dev/null 2>&1
    b=$(date +%s%N)
    echo $(((b - a) / 1000))
    i=$((i + 1))
  done | sort -n | awk -v name="$name" '{t[NR] = $1 / 1000}
    END {printf "%-28s min %6.1f  median %6.1f  max %6.1f ms  (%d runs)\n", name, t[1], t[int((NR + 1) / 2)], t[NR], NR}'
}

case_of "text, no database" "$lrp" explain "$here/examples/models/spam-textcnn" "You have won a free prize, call now" --no-db
case_of "text, database" "$lrp" explain "$here/examples/models/spam-textcnn" "You have won a free prize, call now" --db "$tmp/t.db"
case_of "picture, no database" "$lrp" explain "$here/examples/models/fashion-cnn" "$here/examples/data/ankle-boot.png" --no-db
case_of "picture, database" "$lrp" explain "$here/examples/models/fashion-cnn" "$here/examples/data/ankle-boot.png" --db "$tmp/p.db"
