/* Text: a cursor over that of a file's header, and UTF-8. See inner.h. */
#include "inner.h"

bool tg__text_wrong(const tg__text *t, const char *what)
{
    return tg__file_wrong(t->file, t->at, t->status, "%s", what);
}

void tg__text_skip(tg__text *t)
{
    while (t->at < t->end) {
        const uint8_t c = t->file->data[t->at];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return;
        t->at++;
    }
}

bool tg__text_take(tg__text *t, char c)
{
    tg__text_skip(t);
    if (t->at == t->end || t->file->data[t->at] != (uint8_t)c) return false;
    t->at++;
    return true;
}

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

/* The length of the character that p begins with, or 0: without surrogates, without longer forms
   than needed, up to U+10FFFF (RFC 3629). */
static size_t character(const uint8_t *p, size_t n)
{
    static const uint32_t least[5] = { 0, 1, 0x80, 0x800, 0x10000 };
    const size_t length = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : 4;
    if (length > n || (length == 4 && p[0] >> 3 != 30)) return 0;
    uint32_t code = length == 1 ? p[0] : p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (p[i] >> 6 != 2) return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code < least[length] || code > 0x10ffff || code >> 11 == 0x1b ? 0 : length;
}

bool tg__utf8_valid(const char *text, size_t n)
{
    const uint8_t *const p = (const uint8_t *)text;
    for (size_t i = 0, length; i < n; i += length) {
        length = character(p + i, n - i);
        if (length == 0) return false;
    }
    return true;
}
