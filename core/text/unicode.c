/* unicode.c - classes of code points, as the tokenizers define them. */
#include "text/text.h"

/* White_Space of the Unicode Character Database: 25 code points. */
bool lrp_is_white(int32_t cp)
{
  return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
         (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f ||
         cp == 0x205f || cp == 0x3000;
}

bool lrp_is_punctuation(int32_t cp)
{
  if (cp < 0x80)
    return (cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
           (cp >= 123 && cp <= 126);
  utf8proc_category_t c = utf8proc_category(cp);
  if (cp == 0x166d || cp == 0x111c9) return true; /* a symbol and a mark since Unicode 12 and 11 */
  return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO &&
         !lrp_is_late(LRP_LATE_PUNCTUATION, cp);
}

bool lrp_is_ideograph(int32_t cp)
{
  return (cp >= 0x4e00 && cp <= 0x9fff) || (cp >= 0x3400 && cp <= 0x4dbf) ||
         (cp >= 0x20000 && cp <= 0x2a6df) || (cp >= 0x2a700 && cp <= 0x2b73f) ||
         (cp >= 0x2b740 && cp <= 0x2b81f) || (cp >= 0x2b920 && cp <= 0x2ceaf) ||
         (cp >= 0xf900 && cp <= 0xfaff) || (cp >= 0x2f800 && cp <= 0x2fa1f);
}

bool lrp_is_mark(int32_t cp)
{
  utf8proc_category_t c = utf8proc_category(cp);
  if (cp == 0x1cf2 || cp == 0x1cf3) return true; /* letters since Unicode 12 */
  return (c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME) &&
         !lrp_is_late(LRP_LATE_MARK, cp);
}

bool lrp_is_nonspacing(int32_t cp)
{
  if (cp == 0x1734) return true; /* spacing since Unicode 14 */
  return utf8proc_category(cp) == UTF8PROC_CATEGORY_MN && !lrp_is_late(LRP_LATE_NONSPACING, cp);
}

bool lrp_is_number(int32_t cp)
{
  utf8proc_category_t c = utf8proc_category(cp);
  return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

/* UTS 18, annex C.  Beyond letters and letter numbers, Alphabetic holds marks and the circled and
 * squared letters. */
bool lrp_is_word(int32_t cp)
{
  if (cp < 0x80)
    return (cp >= '0' && cp <= '9') || (cp >= 'A' && cp <= 'Z') || (cp >= 'a' && cp <= 'z') ||
           cp == '_';
  switch (utf8proc_category(cp)) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_PC:
    return true;
  default:
    return cp == 0x200c || cp == 0x200d || (cp >= 0x24b6 && cp <= 0x24e9) ||
           (cp >= 0x1f130 && cp <= 0x1f149) || (cp >= 0x1f150 && cp <= 0x1f169) ||
           (cp >= 0x1f170 && cp <= 0x1f189);
  }
}

bool lrp_is_control(int32_t cp)
{
  if (cp == '\t' || cp == '\n' || cp == '\r') return false;
  utf8proc_category_t c = utf8proc_category(cp);
  return (c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CS ||
          c == UTF8PROC_CATEGORY_CO) &&
         !lrp_is_late(LRP_LATE_CONTROL, cp);
}

/* Visible bytes of Latin-1 stand for themselves, the other 68 for U+0100 and up, in their order. */
int32_t lrp_byte_letter(uint8_t byte)
{
  if (byte <= 0x20) return 0x100 + byte;
  if (byte >= 0x7f && byte <= 0xa0) return 0x100 + 33 + (byte - 0x7f);
  return byte == 0xad ? 0x143 : byte;
}
