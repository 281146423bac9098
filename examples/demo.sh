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

title "A message: why is this spam?"
run "$lrp" explain "$here/models/spam-textcnn" "Congratulations! You have won a free holiday prize. Call 09061701461 now to claim." \
  -o "$out/message.html" --color "$color"

title "Every score is in one SQLite file: $LRP_DB"
run "$lrp" sql --db "$LRP_DB" "SELECT token, round(relevance, 3) AS relevance, round(shade, 2) AS shade FROM v_token
  WHERE run_id = (SELECT max(run_id) FROM run) ORDER BY abs(relevance) DESC LIMIT 6"

cat <<END

The pictures: $out/ankle-boot.png, $out/message.html.  Next, try:

  $lrp explain $here/models/spam-textcnn "your own text" --target spam-ham
  $lrp explain $here/models/fashion-cnn $here/data/ankle-boot.png --rules epsilon_plus --ledger
  $lrp model graph $here/models/fashion-cnn
END
