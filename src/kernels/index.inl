/* Index ops and running sums, row by row. Included by kernel.c, which defines real.

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

/* The error of every addition is kept beside the sum (Knuth's two-sum), so that the last element
   of a long row is as good as the first. Where the sum is no longer finite its error is NaN:
   then the sum stands alone. */
static void cumsum(int64_t n, void *y, ptrdiff_t sy, const void *x, ptrdiff_t sx)
{
    const real *const from = x;
    real *const to = y;
    double sum = 0, lost = 0;
    for (int64_t j = 0; j < n; j++) {
        const double term = (double)from[j * sx], next = sum + term, part = next - sum;
        lost += (sum - (next - part)) + (term - part);
        sum = next;
        const double total = sum + lost;
        to[j * sy] += (real)(total == total ? total : sum);
    }
}

#define INDEX_KERNELS                                                                              \
    {                                                                                              \
        .gather = gather, .gather_add = gather_add, .scatter_add = scatter_add, .cumsum = cumsum   \
    }
