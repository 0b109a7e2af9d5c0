/* Factorisations with several results: the op's, which is packed, and views of its parts. */
#include <tapegrad/factors.h>

#include "tape/record.h"
#include "tape/tape.h"

/* A part of a packed result: m rows of n, or a vector of m where n is -1. */
typedef struct part {
    tg_value *value; /* NULL: not asked for */
    int64_t m, n;
} part;

static tg_value view_of(tg_value all, int64_t from, const part *p, const tg_site *site)
{
    const tg__shape *const s = tg__value_array(all.tape, all.id).s;
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
    return tg__record(TG__CODE_strided, &all, 1, &a, site);
}

/* An op recorded, and the lengths of its operand's last two axes. */
typedef struct packed {
    tg_value value;
    bool ok;
    int64_t m, n, k; /* k the lesser one; 0 after an error */
} packed;

static packed record(int code, tg_value x, const tg_site *site)
{
    packed p = { .value = tg__record(code, &x, 1, NULL, site) };
    p.ok = p.value.tape && tg__is_live(p.value.tape, p.value);
    if (!p.ok) return p;
    p.m = tg_dim(x, -2);
    p.n = tg_dim(x, -1);
    p.k = p.m < p.n ? p.m : p.n;
    return p;
}

static bool take_apart(const packed *all, const part *p, int n, const tg_site *site)
{
    bool ok = all->ok;
    int64_t from = 0;
    for (int i = 0; i < n; from += p[i].m * (p[i].n < 0 ? 1 : p[i].n), i++) {
        if (!p[i].value) continue;
        *p[i].value = ok ? view_of(all->value, from, &p[i], site)
                         : (tg_value){ all->value.tape, 0, 0 };
        ok = ok && tg__is_live(all->value.tape, *p[i].value);
    }
    return ok;
}

bool tg_qr_at(tg_value x, tg_value *q, tg_value *r, const tg_site *site)
{
    const packed p = record(TG__CODE_qr, x, site);
    return take_apart(&p, (const part[]){ { q, p.m, p.k }, { r, p.k, p.n } }, 2, site);
}

bool tg_eigh_at(tg_value x, tg_value *w, tg_value *v, const tg_site *site)
{
    const packed p = record(TG__CODE_eigh, x, site);
    return take_apart(&p, (const part[]){ { w, p.n, -1 }, { v, p.n, p.n } }, 2, site);
}

bool tg_svd_at(tg_value x, tg_value *u, tg_value *s, tg_value *v, const tg_site *site)
{
    const packed p = record(TG__CODE_svd, x, site);
    const part parts[] = { { u, p.m, p.k }, { s, p.k, -1 }, { v, p.k, p.n } };
    return take_apart(&p, parts, 3, site);
}
