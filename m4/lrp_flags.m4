# LRP_WARNINGS: the warnings of the style sheet that the compiler knows, into WARN_CFLAGS.
AC_DEFUN([LRP_WARNINGS], [
  WARN_CFLAGS=
  lrp_save_CFLAGS=$CFLAGS
  for lrp_flag in -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wdouble-promotion \
    -Wvla -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef; do
    CFLAGS="$lrp_save_CFLAGS -Werror $lrp_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([])], [AS_VAR_APPEND([WARN_CFLAGS], [" $lrp_flag"])])
  done
  CFLAGS=$lrp_save_CFLAGS
])
