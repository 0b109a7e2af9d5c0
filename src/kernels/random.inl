/* Dropping elements by random words. Included by kernel.c, which defines real. */

enum { DROP_BLOCK = 4 * TG__PHILOX_LANES };

/* The words of the elements from i on, a whole number of blocks. */
static inline void drop_words(const tg__random *r, int64_t i, uint32_t word[DROP_BLOCK])
{
    tg__philox_words x;
    tg__philox_blocks(r, (uint32_t)(i / 4), x);
    for (int lane = 0; lane < TG__PHILOX_LANES; lane++)
        for (int k = 0; k < 4; k++) word[4 * lane + k] = x[k][lane];
}

static inline void drop_some(int64_t n, real *y, const real *x, const tg__dropping *d, bool add)
{
    const double scale = d->scale;
    const uint32_t least = d->least;
    for (int64_t i = 0, m; i < n; i += m) {
        const int64_t in = (d->first + i) % DROP_BLOCK; /* the block may begin before */
        m = n - i < DROP_BLOCK - in ? n - i : DROP_BLOCK - in;
        uint32_t word[DROP_BLOCK];
        drop_words(&d->r, d->first + i - in, word);
        for (int64_t j = 0; j < m; j++) {
            const real scaled = (real)((double)x[i + j] * scale);
            const real kept = word[in + j] >= least ? scaled : 0;
            y[i + j] = add ? y[i + j] + kept : kept;
        }
    }
}

static void drop(int64_t n, void *y, const void *x, const tg__dropping *d)
{
    drop_some(n, y, x, d, false);
}

static void drop_add(int64_t n, void *y, const void *x, const tg__dropping *d)
{
    drop_some(n, y, x, d, true);
}

#define RANDOM_KERNELS { .drop = drop, .drop_add = drop_add }
