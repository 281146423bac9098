#!/bin/sh
# logging.sh [LRP] [PICTURES] [REPEATS]: what the database costs: lrp run over Fashion-MNIST's test pictures with and without it, in
# turns, the one or the other first; best of REPEATS, seconds of wall clock and of processor (which a busy machine distorts
# less), and the median of the pairs.  Needs the Debian package dataset-fashion-mnist, or $FASHION: a folder with its files.
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

# timed FILE COMMAND...: microseconds into FILE, those of the processor into FILE.cpu
timed () {
  to=$1
  shift
  a=$(date +%s%N)
  ("$@" && times >"$tmp/times") # of the children of this shell: the second line
  b=$(date +%s%N)
  echo $(((b - a) / 1000)) >>"$to"
  sed -n 2p "$tmp/times" | tr 'ms' '  ' | awk '{print 1e6 * (60 * $1 + $2 + 60 * $3 + $4)}' >>"$to.cpu"
}
best () { sort -n "$1" | head -n 1; }

i=0
while [ "$i" -lt "$repeats" ]; do
  rm -f "$tmp"/s.db*
  [ $((i % 2)) = 1 ] || timed "$tmp/without" "$lrp" run "$tmp/fashion.yaml" --quiet --no-db
  timed "$tmp/with" "$lrp" run "$tmp/fashion.yaml" --quiet --db "$tmp/s.db"
  [ $((i % 2)) = 0 ] || timed "$tmp/without" "$lrp" run "$tmp/fashion.yaml" --quiet --no-db
  i=$((i + 1))
done
awk -v n="$pictures" -v a="$(best "$tmp/without")" -v b="$(best "$tmp/with")" \
  -v ca="$(best "$tmp/without.cpu")" -v cb="$(best "$tmp/with.cpu")" -v bytes="$(wc -c <"$tmp/s.db")" 'BEGIN {
  printf "%d pictures: %.2f s without, %.2f s with the database: %+.1f %%, %.0f us and %.0f bytes an explanation\n",
    n, a / 1e6, b / 1e6, 100 * (b - a) / a, (b - a) / n, bytes / n
  printf "processor: %.2f s without, %.2f s with the database: %+.1f %%\n", ca / 1e6, cb / 1e6, 100 * (cb - ca) / ca}'
paste "$tmp/without.cpu" "$tmp/with.cpu" | awk '{print 100 * ($2 / $1 - 1)}' | sort -n |
  awk '{p[NR] = $1} END {printf "processor, pairs: median %+.1f %%, %+.1f to %+.1f %%\n", p[int((NR + 1) / 2)], p[1], p[NR]}'
