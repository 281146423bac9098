#!/bin/sh
# demo.sh LRP: what lrp does, on a picture and a text message.  Called by ./bootstrap demo.
set -eu
lrp=${1:-lrp}
here=$(dirname "$0")
out=${DEMO_OUT:-demo}
mkdir -p "$out"
export LRP_DB="$out/demo.db"
color=auto
[ -t 1 ] || color=never
[ "${DEMO_COLOR:-}" = "" ] || color=$DEMO_COLOR

title () { printf '\n== %s\n\n' "$*"; }
# The command as one would type it, then the command.
run () {
  printf '$'
  for word; do
    case $word in
      *[!A-Za-z0-9_./-]*) printf ' "%s"' "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
  "$@"
}

title "A picture: why is this an ankle boot?"
run "$lrp" explain "$here/models/fashion-cnn" "$here/data/ankle-boot.png" -o "$out/ankle-boot.png" --color "$color"

title "A message: won, prize, call, and yet no spam: why?"
run "$lrp" explain "$here/models/spam-lstm" "Hi mum, I've won the prize! I'll call you later when I'm home" --by word --target ham-spam \
  -o "$out/message.html" --color "$color"

title "Every score is in one SQLite file: $LRP_DB"
run "$lrp" sql --db "$LRP_DB" "SELECT word, round(relevance, 3) AS relevance FROM v_word
  WHERE run_id = (SELECT max(run_id) FROM run) ORDER BY abs(relevance) DESC LIMIT 6"

title "Many messages at once: which words speak for spam?"
run "$lrp" explain "$here/models/spam-lstm" --file "$here/data/messages.tsv"
run "$lrp" words --db "$LRP_DB" --class spam --min-count 1 --sort mean --top 5

cat <<END

The pictures: $out/ankle-boot.png, $out/message.html.  Next, try:

  $lrp explain $here/models/spam-lstm "your own text" --by word --target spam,ham --tex text.tex
  $lrp explain $here/models/fashion-cnn $here/data/ankle-boot.png --rules epsilon_plus --ledger
  $lrp model graph $here/models/fashion-cnn
END
