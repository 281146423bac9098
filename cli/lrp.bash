# bash completion for lrp(1).  Options and commands are taken from --help, so that there is nothing to keep in step.
_lrp ()
{
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} lrp=${COMP_WORDS[0]} command=${COMP_WORDS[1]} list=
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    list="$("$lrp" --help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p') help --help --version"
  else
    case $before in
      --color) list="auto always never" ;;
      --sort) list="low mean sum count" ;;
      --by) list="token word grapheme byte" ;;
      --seed) list="logit one" ;;
      --method) list="lrp gradient input_x_gradient integrated_gradients" ;;
      --canonize) list="all none" ;;
      -f|--format) list="table csv json markdown" ;;
      -r|--rules) list=$("$lrp" rules 2>/dev/null | sed -n '/^presets/,/^$/s/^  \([^ ]*\).*/\1/p') ;;
      *)
        case $command:$COMP_CWORD:$word in
          *:*:-*) list=$("$lrp" "$command" --help 2>/dev/null | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p') ;;
          model:2:*) list="info check graph" ;;
          plugin:2:*) list="ls info check new path" ;;
          plugin:3:*) [ "$before" = new ] && list="rule layer" ;;
          runs:2:*) list="ls show tag rm doctor" ;;
          db:2:*) list="path check backup migrate expand compact merge export import" ;;
          help:2:*) list=$("$lrp" --help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p') ;;
          rules:2:*) list=$("$lrp" rules 2>/dev/null | sed -n 's/^  \([^ ]*\) .*/\1/p' | sort -u) ;;
          layers:2:*) list=$("$lrp" layers 2>/dev/null | sed -n '2,$s/^  \([^ ]*\) .*/\1/p') ;;
          sql:2:@*) list=$("$lrp" sql 2>/dev/null | sed -n 's/^  lrp sql \(@[a-z-]*\).*/\1/p') ;;
        esac ;;
    esac
  fi
  # no list: names of files
  [ -z "$list" ] || mapfile -t COMPREPLY < <(compgen -W "$list" -- "$word")
}
complete -o default -F _lrp lrp
