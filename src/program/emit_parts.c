/* Functions that are there as C (parts/): found by name, written once each, behind those that they
   call. A part is a block without blank lines; NAME_ is the program's function, real its type. */
#include <ctype.h>
#include <string.h>

#include "program/emit.h"

static const char parts[] = {
#include "parts.inl"
};

static const char prefix[] = "NAME_";

typedef struct part {
    const char *begin, *end; /* its text */
    const char *name;        /* behind the prefix */
    size_t length;           /* of its name */
    int number;
} part;

static size_t word(const char *s, const char *end)
{
    size_t n = 0;
    while (s + n < end && (isalnum((unsigned char)s[n]) || s[n] == '_')) n++;
    return n;
}

/* The next use of a part between s and end: what follows the prefix; NULL: there is none. */
static const char *next_use(const char *s, const char *end)
{
    for (; s < end; s++) {
        const size_t n = word(s, end);
        if (n >= sizeof prefix && memcmp(s, prefix, sizeof prefix - 1) == 0)
            return s + sizeof prefix - 1;
        if (n) s += n - 1;
    }
    return NULL;
}

/* The part that begins at p->end or behind; false behind the last one. */
static bool next_part(part *p)
{
    do {
        p->begin = p->end + strspn(p->end, "\n");
        if (!*p->begin) return false;
        const char *const blank = strstr(p->begin, "\n\n");
        p->end = blank ? blank + 1 : p->begin + strlen(p->begin);
        p->name = next_use(p->begin, p->end);
    } while (!p->name); /* what stands at the head of a file */
    p->length = word(p->name, p->end);
    p->number++;
    return true;
}

static void write_part(tg__emitter *e, const part *p)
{
    for (const char *s = p->begin; s < p->end;) {
        const size_t n = word(s, p->end);
        if (n == 4 && memcmp(s, "real", 4) == 0) {
            tg__write(e, "%s", e->real);
        } else if (n >= sizeof prefix && memcmp(s, prefix, sizeof prefix - 1) == 0) {
            const int rest = (int)(n - sizeof prefix + 1);
            tg__write(e, "%s_%.*s", e->all->name, rest, s + sizeof prefix - 1);
        } else {
            tg__write(e, "%.*s", n ? (int)n : 1, s);
        }
        e->all->bools = e->all->bools || (n == 4 && memcmp(s, "bool", 4) == 0);
        s += n ? n : 1;
    }
    tg__write(e, "\n");
}

static bool emit_named(tg__emitter *e, const char *name, size_t length)
{
    part p = { .end = parts, .number = -1 };
    while (next_part(&p)) {
        if (p.length != length || memcmp(p.name, name, length) != 0) continue;
        const uint64_t bit = (uint64_t)1 << p.number;
        if (e->all->parts & bit) return true;
        e->all->parts |= bit;
        for (const char *use = p.name; use; use = next_use(use, p.end))
            emit_named(e, use, word(use, p.end));
        tg__arena *const to = e->to;
        e->to = &e->all->text;
        write_part(e, &p);
        e->to = to;
        return true;
    }
    return false;
}

bool tg__emit_part(tg__emitter *e, const char *name)
{
    return emit_named(e, name, strlen(name));
}
