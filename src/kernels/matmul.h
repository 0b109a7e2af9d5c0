/* Kernels of the matrix product: see matmul.inl. */
#ifndef TG_KERNELS_MATMUL_H
#define TG_KERNELS_MATMUL_H

#include <stddef.h>
#include <stdint.h>

/* A matrix in memory: element (i, j) is p[i * row + j * column]. Strides count elements; any will
   do, 0 and negative too, so that a transposed or repeated operand needs no copy. */
typedef struct tg__matrix {
    void *p;
    ptrdiff_t row, column;
} tg__matrix;

/* c = d + a b, where a is (m, k), b is (k, n), c and d are (m, n). d.p NULL stands for zeros; d may
   be c, and then c may overlap itself (a gradient of a repeated operand sums); c overlaps nothing
   else. */
typedef struct tg__product {
    int64_t m, n, k;
    tg__matrix a, b, c, d;
} tg__product;

static inline tg__matrix tg__transposed(tg__matrix x)
{
    return (tg__matrix){ x.p, x.column, x.row };
}

/* The same product seen from the other side: c' = d' + b' a'. */
static inline tg__product tg__product_transposed(const tg__product *p)
{
    return (tg__product){
        p->n, p->m, p->k, tg__transposed(p->b), tg__transposed(p->a), tg__transposed(p->c),
        tg__transposed(p->d),
    };
}

typedef struct tg__matmul_kernels {
    /* The sum of x[i] y[i]. */
    double (*dot)(int64_t n, const void *x, ptrdiff_t sx, const void *y, ptrdiff_t sy);
    /* The memory that product needs for these sizes and strides, in bytes; 0 for everything small.
       */
    size_t (*scratch)(const tg__product *p);
    /* scratch is aligned to 64 bytes, and may be NULL if none is needed. */
    void (*product)(const tg__product *p, void *scratch);
    /* The number of multiplications, m n k, from which a BLAS is to be preferred. */
    int64_t blas_work;
} tg__matmul_kernels;

#endif
