#!/bin/sh
# sql.sh [LRP] [RUNS]: questions to a store of 10,000 explanations and a million rows of tokens, in milliseconds of the whole
# process: minimum, median, maximum, and processor time (which a busy machine distorts less).  CC: the compiler of sql_data.c.
set -eu
lrp=${1:-build/lrp}
runs=${2:-11}
here=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
db=$tmp/bench.db
# shellcheck disable=SC2046
${CC:-cc} -O2 -o "$tmp/sql_data" "$here/sql_data.c" $(pkg-config --cflags --libs sqlite3)
"$tmp/sql_data" "$db" "$here/../core/schema.sql"
ls -l "$db" | awk '{printf "store: %.1f MB\n", $5 / 1e6}'

# case_of NAME COMMAND...
case_of () {
  name=$1
  shift
  "$@" >/dev/null # warm the file cache
  (
    i=0
    while [ "$i" -lt "$runs" ]; do
      a=$(date +%s%N)
      "$@" >/dev/null
      b=$(date +%s%N)
      echo $(((b - a) / 1000))
      i=$((i + 1))
    done
    times >"$tmp/times" # of the children of this shell: the second line
  ) | sort -n >"$tmp/wall"
  cpu=$(sed -n 2p "$tmp/times" | tr 'ms' '  ' | awk -v n="$runs" '{printf "%.1f", 1000 * (60 * $1 + $2 + 60 * $3 + $4) / n}')
  awk -v name="$name" -v cpu="$cpu" '{t[NR] = $1 / 1000}
    END {printf "%-40s min %7.1f  median %7.1f  max %7.1f  processor %7.1f ms\n", name, t[1], t[int((NR + 1) / 2)], t[NR], cpu}' "$tmp/wall"
}

case_of "starting and opening" "$lrp" sql -d "$db" "SELECT 1"
case_of "cosine of two runs, 5,000 inputs" "$lrp" sql -d "$db" \
  "SELECT avg(f32_cos(a.r, b.r)) FROM explanation a JOIN explanation b USING (input_id, target_class) WHERE a.run_id = 1 AND b.run_id = 2"
case_of "the same by v_pair, worst 20" "$lrp" sql -d "$db" @disagreement rule1 rule2
case_of "top tokens of each class, by v_token" "$lrp" sql -d "$db" \
  "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY target_class ORDER BY m DESC) AS k FROM (
     SELECT target_class, token, avg(relevance) AS m, count(*) AS n FROM v_token WHERE composite = 'rule1' GROUP BY 1, 2 HAVING n >= 5))
   WHERE k <= 10"
case_of "@top-words, both composites" "$lrp" sql -d "$db" @top-words
case_of "@top-words --class a" "$lrp" sql -d "$db" @top-words --class a
case_of "lrp compare, with intervals and tests" "$lrp" compare rule1 rule2 -d "$db"
case_of "lrp diff" sh -c "\"$lrp\" diff 1 2 -d \"$db\" --rtol 10"
case_of "lrp db check" "$lrp" db check -d "$db"
