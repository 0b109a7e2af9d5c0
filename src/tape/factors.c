/* Factorisations with several results: the op's, which is packed, and views of its parts. */
#include <tapegrad/factors.h>

#include "tape/record.h"
#include "tape/tape.h"

/* A part of a packed result: m rows of n, or a vector of m where n is -1. */
typedef struct part {
    tg_value *value; /* NULL: not asked for */
    int64_t m, n;
} part;

/* The last lengths of x's axes, 0 where it has none (which the op reports). */
static int64_t length(tg_value x, int axis)
{
    const int64_t n = tg_dim(x, axis);
    return n < 0 ? 0 : n;
}

static tg_value view_of(tg_value packed, int64_t from, const part *p, const tg_site *site)
{
    const tg__shape *const s = tg__value_array(packed.tape, packed.id).s;
    tg_strided_attributes a = { .rank = s->rank, .whole_rank = s->rank, .offset = from };
    for (int i = 0; i < s->rank; i++) {
        a.whole[i] = a.dim[i] = s->dim[i];
        a.stride[i] = s->stride[i];
    }
    if (s->n == 0) a.offset = 0;
    a.dim[s->rank - 1] = p->m;
    a.stride[s->rank - 1] = p->n < 0 ? 1 : p->n;
    if (p->n >= 0) {
        a.dim[a.rank] = p->n;
        a.stride[a.rank++] = 1;
    }
    return tg__record(TG__CODE_strided, &packed, 1, &a, site);
}

static bool take_apart(int code, tg_value x, const part *p, int n, const tg_site *site)
{
    const tg_value packed = tg__record(code, &x, 1, NULL, site);
    const tg_tape *const t = packed.tape;
    bool ok = t && tg__is_live(t, packed);
    int64_t from = 0;
    for (int i = 0; i < n; from += p[i].m * (p[i].n < 0 ? 1 : p[i].n), i++) {
        if (!p[i].value) continue;
        *p[i].value = ok ? view_of(packed, from, &p[i], site) : packed;
        ok = ok && tg__is_live(t, *p[i].value);
    }
    return ok;
}

bool tg_qr_at(tg_value x, tg_value *q, tg_value *r, const tg_site *site)
{
    const int64_t m = length(x, -2), n = length(x, -1), k = m < n ? m : n;
    return take_apart(TG__CODE_qr, x, (const part[]){ { q, m, k }, { r, k, n } }, 2, site);
}

bool tg_eigh_at(tg_value x, tg_value *w, tg_value *v, const tg_site *site)
{
    const int64_t n = length(x, -1);
    return take_apart(TG__CODE_eigh, x, (const part[]){ { w, n, -1 }, { v, n, n } }, 2, site);
}

bool tg_svd_at(tg_value x, tg_value *u, tg_value *s, tg_value *v, const tg_site *site)
{
    const int64_t m = length(x, -2), n = length(x, -1), k = m < n ? m : n;
    return take_apart(TG__CODE_svd, x, (const part[]){ { u, m, k }, { s, k, -1 }, { v, k, n } }, 3,
                      site);
}
