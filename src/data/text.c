/* A cursor over the text of a file's header: see inner.h. */
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
