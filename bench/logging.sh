#!/bin/sh
# logging.sh [LRP] [PICTURES] [REPEATS]: what the database costs: lrp run over Fashion-MNIST's test pictures with and without it, in
# turns; best of REPEATS, seconds.  Needs the Debian package dataset-fashion-mnist, or $FASHION: a folder with its files.
set -eu
lrp=${1:-build/lrp}
pictures=${2:-10000}
repeats=${3:-3}
data=${FASHION:-/usr/share/datasets/fashion-mnist}
here=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/fashion.yaml" <<END
experiment: logging
models: [$here/examples/models/fashion-cnn]
inputs: [{idx: $data/t10k-images-idx3-ubyte.gz, labels: $data/t10k-labels-idx1-ubyte.gz, limit: $pictures}]
END

# timed FILE COMMAND...: seconds into FILE
timed () {
  to=$1
  shift
  a=$(date +%s%N)
  "$@"
  b=$(date +%s%N)
  echo $(((b - a) / 1000)) >>"$to"
}
best () { sort -n "$1" | head -n 1; }

i=0
while [ "$i" -lt "$repeats" ]; do
  rm -f "$tmp"/s.db*
  timed "$tmp/without" "$lrp" run "$tmp/fashion.yaml" --quiet --no-db
  timed "$tmp/with" "$lrp" run "$tmp/fashion.yaml" --quiet --db "$tmp/s.db"
  i=$((i + 1))
done
awk -v n="$pictures" -v a="$(best "$tmp/without")" -v b="$(best "$tmp/with")" -v bytes="$(wc -c <"$tmp/s.db")" 'BEGIN {
  printf "%d pictures: %.2f s without, %.2f s with the database: %+.1f %%, %.0f us and %.0f bytes an explanation\n",
    n, a / 1e6, b / 1e6, 100 * (b - a) / a, (b - a) / n, bytes / n}'
