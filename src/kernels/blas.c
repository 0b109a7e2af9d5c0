/* The seam to CBLAS: see blas.h. Without TG_HAVE_BLAS the own kernels serve all. */
#include "kernels/blas.h"

#ifdef TG_HAVE_BLAS
#include <cblas.h>
#include <limits.h>

/* The shortest side that BLAS is called for: below, its fixed costs weigh more. */
#define BLAS_SIDE 8

/* A matrix as BLAS describes it, seen row-major: contiguous rows, or contiguous columns as its
   transpose. */
typedef struct blas_matrix {
    void *p;
    int leading; /* 0: BLAS cannot describe it */
    CBLAS_TRANSPOSE transpose;
} blas_matrix;

static bool leads(ptrdiff_t stride, int64_t length)
{
    return stride >= length && stride > 0 && stride <= INT_MAX;
}

static blas_matrix described(tg__matrix x, int64_t rows, int64_t columns)
{
    if (x.column == 1 && leads(x.row, columns))
        return (blas_matrix){ x.p, (int)x.row, CblasNoTrans };
    if (x.row == 1 && leads(x.column, rows)) return (blas_matrix){ x.p, (int)x.column, CblasTrans };
    return (blas_matrix){ x.p, 0, CblasNoTrans };
}

/* Whether BLAS is faster; no product of the three sizes is formed because it need not fit. */
static bool pays(const tg__kernels *k, const tg__product *p)
{
    if (p->m < BLAS_SIDE || p->n < BLAS_SIDE || p->k < BLAS_SIDE) return false;
    return p->m * p->n >= k->matmul.blas_work / p->k;
}

static void call_blas(tg_type type, const tg__product *p, blas_matrix a, blas_matrix b,
                      blas_matrix c)
{
    const int m = (int)p->m, n = (int)p->n, k = (int)p->k;
    if (type == TG_F32)
        cblas_sgemm(CblasRowMajor, a.transpose, b.transpose, m, n, k, 1.0F, a.p, a.leading, b.p,
                    b.leading, p->d.p ? 1.0F : 0.0F, c.p, c.leading);
    else
        cblas_dgemm(CblasRowMajor, a.transpose, b.transpose, m, n, k, 1.0, a.p, a.leading, b.p,
                    b.leading, p->d.p ? 1.0 : 0.0, c.p, c.leading);
}

static void copy_rows(const tg__kernels *k, tg_type type, const tg__product *p)
{
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(type);
    char *c = p->c.p;
    const char *d = p->d.p;
    for (int64_t i = 0; i < p->m; i++, c += p->c.row * size, d += p->d.row * size)
        k->copy(p->n, c, p->c.column, d, p->d.column);
}

/* Computes p, or returns false if the own kernels should. */
static bool by_blas(const tg__kernels *k, tg_type type, const tg__product *given, bool ask_only)
{
    if (!pays(k, given)) return false;
    const bool turn = given->c.column != 1;
    const tg__product p = turn ? tg__product_transposed(given) : *given;
    const blas_matrix a = described(p.a, p.m, p.k), b = described(p.b, p.k, p.n),
                      c = described(p.c, p.m, p.n);
    if (!a.leading || !b.leading || !c.leading || c.transpose == CblasTrans) return false;
    if (ask_only) return true;
    if (p.d.p && p.d.p != p.c.p) copy_rows(k, type, &p);
    call_blas(type, &p, a, b, c);
    return true;
}
#else
static bool by_blas(const tg__kernels *k, tg_type type, const tg__product *p, bool ask_only)
{
    (void)k, (void)type, (void)p, (void)ask_only;
    return false;
}
#endif

size_t tg__multiply_scratch(const tg__kernels *k, tg_type type, const tg__product *p)
{
    return by_blas(k, type, p, true) ? 0 : k->matmul.scratch(p);
}

void tg__multiply(const tg__kernels *k, tg_type type, const tg__product *p, void *scratch)
{
    if (!by_blas(k, type, p, false)) k->matmul.product(p, scratch);
}

void tg__multiply_row(const tg__kernels *k, tg_type type, tg__product p, const tg__walk *w, int64_t count, void *scratch)
{
    /* Small products are over before the memory of the next ones has been asked for, and the hardware does not foresee it. */
    enum { AHEAD = 4 };
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(type);
    const bool adds = p.d.p && p.d.p == p.c.p;
    for (int64_t i = 0; i < count; i++) {
        p.c.p = w->p[0] + i * w->stride[0] * size;
        p.a.p = w->p[1] + i * w->stride[1] * size;
        p.b.p = w->p[2] + i * w->stride[2] * size;
        if (adds) p.d = p.c;
        for (int array = 0; array < 3; array++) tg__walk_ask(w, array, i + AHEAD, count, size);
        tg__multiply(k, type, &p, scratch);
    }
}
