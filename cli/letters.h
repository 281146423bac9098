/* letters.h - lettering of pictures. */
#ifndef LRP_CLI_LETTERS_H
#define LRP_CLI_LETTERS_H
#include "cli.h"

enum {
  CLI_LETTER_W = 6,
  CLI_LETTER_H = 10
}; /* of a letter with the gap to the next one, and of a line */
/* Letters, as wide as they are drawn: marks are left out, other alphabets are question marks. */
int64_t cli_letters_width(const char *text, int64_t zoom);
/* Writes text into rgb, w x h pixels, with its upper left corner at (x,y), each dot zoom x zoom
 * pixels.  What is wider than room ends in two dots. */
void cli_letters(uint8_t *rgb, int64_t w, int64_t h, int64_t x, int64_t y, int64_t zoom,
                 int64_t room, cli_rgb ink, const char *text);
#endif
