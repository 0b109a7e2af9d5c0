/* The text of an expression with a caret under one of its characters, for messages. */
#include <stdio.h>
#include <string.h>

#include "expr/expr.h"

enum { WIDEST = 76, NARROWEST = 16, BEFORE = 48 };

/* The bytes of the character at p as UTF-8 has it; 0 if this is none. */
static size_t character(const char *p)
{
    const unsigned char first = (unsigned char)*p;
    const size_t n = first < 0x80   ? 1
                     : first < 0xc2 ? 0
                     : first < 0xe0 ? 2
                     : first < 0xf0 ? 3
                     : first < 0xf5 ? 4
                                    : 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80) return 0;
    return n;
}

static size_t step(const char *p)
{
    const size_t n = character(p);
    return n ? n : 1;
}

/* Copies one character; what could disturb a terminal becomes something harmless. */
static size_t show(const char *p, char *out)
{
    const size_t n = character(p);
    if (n == 0) *out = '?';
    else if (n == 1) *out = (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p;
    else memcpy(out, p, n);
    return n ? n : 1;
}

void tg__expr_point(const char *text, size_t at, char *out, size_t size)
{
    if (size) *out = 0;
    size_t width =
        size / 2 < 12 ? 0 : size / 2 - 12; /* two lines, two breaks, indentation, two ellipses */
    if (width > WIDEST) width = WIDEST;
    if (width < NARROWEST) return;
    size_t column = 0;
    for (const char *p = text; *p && p < text + at; p += step(p)) column++;
    const size_t before = BEFORE * width / WIDEST;
    const size_t first = column > before ? column - before : 0;

    const char *p = text;
    for (size_t i = 0; i < first; i++) p += step(p);
    char line[4 * WIDEST + 1];
    size_t used = 0;
    for (size_t i = 0; i < width && *p; i++, p += step(p)) used += show(p, line + used);
    line[used] = 0;
    const char *const cut_before = first ? "..." : "", *const cut_after = *p ? "..." : "";
    const int indent = (int)(column - first + strlen(cut_before)) + 2;
    if (used + (size_t)indent + 12 > size) return;
    snprintf(out, size, "\n  %s%s%s\n%*s^", cut_before, line, cut_after, indent, "");
}
