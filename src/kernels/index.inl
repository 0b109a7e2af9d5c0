/* Index ops, row by row. Included by kernel.c, which defines real.

   A row whose index does not move (si = 0) is a plain copy or sum of rows: that is what makes an
   embedding as fast as memory. */

static void gather(int64_t n, void *y, ptrdiff_t sy, void *x, ptrdiff_t sx, ptrdiff_t step,
                   const int64_t *index, ptrdiff_t si)
{
    const real *const from = x;
    real *const to = y;
    if (n == 0) return;
    if (si == 0) {
        copy(n, y, sy, from + index[0] * step, sx);
        return;
    }
    for (int64_t j = 0; j < n; j++) to[j * sy] = from[j * sx + index[j * si] * step];
}

static void gather_add(int64_t n, void *y, ptrdiff_t sy, void *x, ptrdiff_t sx, ptrdiff_t step,
                       const int64_t *index, ptrdiff_t si)
{
    const real *const from = x;
    real *const to = y;
    if (n == 0) return;
    if (si == 0) {
        add(n, y, sy, from + index[0] * step, sx);
        return;
    }
    for (int64_t j = 0; j < n; j++) to[j * sy] += from[j * sx + index[j * si] * step];
}

static void scatter_add(int64_t n, void *y, ptrdiff_t sy, void *x, ptrdiff_t sx, ptrdiff_t step,
                        const int64_t *index, ptrdiff_t si)
{
    const real *const from = y;
    real *const to = x;
    if (n == 0) return;
    if (si == 0) {
        add(n, to + index[0] * step, sx, from, sy);
        return;
    }
    for (int64_t j = 0; j < n; j++) to[j * sx + index[j * si] * step] += from[j * sy];
}

#define INDEX_KERNELS                                                                              \
    {                                                                                              \
        .gather = gather, .gather_add = gather_add, .scatter_add = scatter_add                     \
    }
