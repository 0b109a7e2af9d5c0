/* The kernels that move, multiply, pool and order arrays and take matrices apart, at every instruction-set level that
   this machine has, against loops by definition. Elements are small whole numbers, so that sums are exact; whole
   buffers are compared, so that what lies around a result must stay. */
#include "levels.h"
#include "ops/op.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20261121u

static uint64_t state;

static void begin(void)
{
    state = SEED;
    find_levels();
}

TestSuite(moves, .init = begin);

static int64_t pick(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

/* ---- buffers --------------------------------------------------------------------------------- */

enum { ROOM = 8192 };

typedef struct buffer {
    tg_type type;
    _Alignas(64) char room[ROOM * sizeof(double)];
} buffer;

static double get(const buffer *b, int64_t i)
{
    return b->type == TG_F32 ? (double)((const float *)(const void *)b->room)[i]
                             : ((const double *)(const void *)b->room)[i];
}

static void set(buffer *b, int64_t i, double x)
{
    if (b->type == TG_F32) ((float *)(void *)b->room)[i] = (float)x;
    else ((double *)(void *)b->room)[i] = x;
}

static void *at(buffer *b, int64_t i)
{
    return b->room + (size_t)i * tg__type_size(b->type);
}

static void draw(buffer *b, tg_type type, int64_t values)
{
    b->type = type;
    memset(b->room, 0, sizeof b->room);
    for (int64_t i = 0; i < ROOM; i++) set(b, i, (double)(pick(values) - values / 2));
}

static bool same(const buffer *a, const buffer *b)
{
    for (int64_t i = 0; i < ROOM; i++) {
        const double x = get(a, i), y = get(b, i);
        if (x != y && !(isnan(x) && isnan(y))) return false;
    }
    return true;
}

#define EACH_LEVEL                                                                                 \
    for (int type = TG_F64; type <= TG_F32; type++)                                                \
        for (int l = 0; l < levels; l++)

static const int64_t lengths[] = { 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 40, 64, 65, 100 };
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* ---- rows ------------------------------------------------------------------------------------ */

enum { WAYS = 7 };

/* Rows in a buffer, in one of several layouts; from is where the first element is. */
static tg__rows rows_of(buffer *b, int64_t m, int64_t n, int way, int64_t *from)
{
    const ptrdiff_t layouts[WAYS][2] = { { n, 1 },     { n + 3, 1 }, { 1, m }, { 1, m + 1 },
                                         { 2 * n, 2 }, { 0, 1 },     { 1, 0 } };
    *from = 5;
    return (tg__rows){ at(b, *from), layouts[way][0], layouts[way][1] };
}

static int64_t place(int64_t from, tg__rows r, int64_t i, int64_t j)
{
    return from + i * r.row + j * r.column;
}

static void check_rows(const tg__kernels *k, tg_type type, int64_t m, int64_t n, int ways, int a,
                       int b)
{
    static buffer y, p, q, want;
    int64_t fy, fp, fq;
    draw(&y, type, 9), draw(&p, type, 9), draw(&q, type, 9);
    const tg__rows ry = rows_of(&y, m, n, ways, &fy), rp = rows_of(&p, m, n, a, &fp),
                   rq = rows_of(&q, m, n, b, &fq);
    for (int what = 0; what < 4; what++) {
        if ((what == 0 || what == 3) && ways >= 5) continue; /* nothing is written twice */
        want = y;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                const int64_t to = place(fy, ry, i, j);
                const double x = get(&p, place(fp, rp, i, j)), z = get(&q, place(fq, rq, i, j));
                const double before = what == 0 || what == 3 ? 0 : get(&want, to);
                set(&want, to, before + (what < 2 ? x : x * z));
            }
        if (what == 0) k->rows.copy(m, n, ry, rp);
        else if (what == 1) k->rows.add(m, n, ry, rp);
        else k->rows.multiply(m, n, ry, rp, rq, what == 2);
        cr_assert(same(&y, &want), "%s, %d: %lld rows of %lld, layouts %d %d %d", k->level, what,
                  (long long)m, (long long)n, ways, a, b);
    }
}

Test(moves, rows_of_any_layout_are_copied_added_and_multiplied)
{
    EACH_LEVEL
    for (int y = 0; y < WAYS; y++)
        for (int a = 0; a < WAYS; a++)
            for (int64_t m = 1; m <= 19; m = m == 4 ? 19 : m + 3)
                for (int i = 0; i < LENGTHS; i++)
                    check_rows(level[type][l], (tg_type)type, m, lengths[i], y, a, (int)pick(WAYS));
}

Test(moves, arrays_are_put_side_by_side_and_back)
{
    static buffer y, x[5], want;
    EACH_LEVEL
    for (int k = 1; k <= 5; k++)
        for (int i = 0; i < LENGTHS; i++) {
            const int64_t n = lengths[i];
            const tg__kernels *const f = level[type][l];
            const void *from[5];
            void *to[5];
            draw(&y, (tg_type)type, 9);
            want = y;
            for (int j = 0; j < k; j++)
                draw(&x[j], (tg_type)type, 9), from[j] = to[j] = at(&x[j], 3);
            for (int64_t e = 0; e < n * k; e++) set(&want, 1 + e, get(&x[e % k], 3 + e / k));
            f->rows.interleave(k, n, at(&y, 1), from);
            cr_assert(same(&y, &want), "%s, %d of %lld", f->level, k, (long long)n);
            if (pick(3) == 0) to[pick(k)] = NULL;
            for (int j = 0; j < k; j++) {
                want = x[j];
                for (int64_t e = 0; e < n && to[j]; e++)
                    set(&want, 3 + e, get(&x[j], 3 + e) + get(&y, 1 + e * k + j));
                x[j].type = (tg_type)type;
                void *only[5] = { NULL };
                only[j] = to[j];
                buffer *const now = &x[j];
                if (j == 0 && k == 2 && to[1]) continue; /* below, both at once */
                if (j == 1 && k == 2 && to[0]) {
                    static buffer other;
                    other = x[0];
                    for (int64_t e = 0; e < n; e++)
                        set(&other, 3 + e, get(&x[0], 3 + e) + get(&y, 1 + e * k));
                    f->rows.add_interleaved(k, n, to, at(&y, 1));
                    cr_assert(same(&x[0], &other), "%s", f->level);
                } else {
                    f->rows.add_interleaved(k, n, only, at(&y, 1));
                }
                cr_assert(same(now, &want), "%s, %d of %d, %lld", f->level, j, k, (long long)n);
            }
        }
}

Test(moves, rows_are_put_together_from_pieces_and_taken_apart)
{
    enum { PIECES = 3 };
    static buffer y, x[PIECES], want, back[PIECES];
    EACH_LEVEL
    for (int round = 0; round < 200; round++) {
        const tg__kernels *const k = level[type][l];
        const int64_t m = 1 + pick(4);
        tg__strip piece[PIECES];
        int64_t row = 0, at_row = 0;
        draw(&y, (tg_type)type, 9);
        want = y;
        for (int j = 0; j < PIECES; j++) {
            const int64_t n = pick(5) ? pick(pick(4) ? 40 : 400) : 0;
            draw(&x[j], (tg_type)type, 9);
            piece[j] = (tg__strip){ pick(4) ? at(&x[j], 3) : NULL, n, n + pick(3) };
            row += n;
        }
        for (int j = 0; j < PIECES; j++) {
            back[j] = x[j];
            for (int64_t e = 0; e < m * piece[j].n; e++) {
                const int64_t i = e / piece[j].n, from = 3 + i * piece[j].row + e % piece[j].n;
                const int64_t to = 1 + i * row + at_row + e % piece[j].n;
                set(&want, to, piece[j].p ? get(&x[j], from) : 0.5);
                if (piece[j].p) set(&back[j], from, get(&x[j], from) + get(&want, to));
            }
            at_row += piece[j].n;
        }
        k->rows.join(m, PIECES, piece, at(&y, 1), 0.5);
        cr_assert(same(&y, &want), "%s: %lld rows of %lld", k->level, (long long)m, (long long)row);
        k->rows.add_joined(m, PIECES, piece, at(&y, 1));
        for (int j = 0; j < PIECES; j++)
            cr_assert(same(&x[j], &back[j]), "%s: %lld rows, piece %d", k->level, (long long)m, j);
    }
}

Test(moves, tiles_are_laid_and_summed)
{
    static buffer y, x, want, back;
    EACH_LEVEL
    for (int round = 0; round < 200; round++) {
        const tg__kernels *const k = level[type][l];
        const tg__tiles t = { 1 + pick(2), 1 + pick(3), 1 + pick(3), 1 + pick(3), 1 + pick(90) };
        draw(&y, (tg_type)type, 9), draw(&x, (tg_type)type, 9);
        want = y, back = x;
        for (int64_t e = 0; e < t.blocks * t.down * t.rows * t.right * t.n; e++) {
            const int64_t i = e / (t.n * t.right) % t.rows, b = e / (t.n * t.right * t.rows * t.down);
            const int64_t from = 2 + (b * t.rows + i) * t.n + e % t.n;
            set(&want, 1 + e, get(&x, from));
            set(&back, from, get(&back, from) + get(&x, from));
        }
        k->rows.tile(&t, at(&y, 1), at(&x, 2));
        cr_assert(same(&y, &want), "%s: rows of %lld", k->level, (long long)t.n);
        k->rows.add_tiles(&t, at(&x, 2), at(&y, 1));
        cr_assert(same(&x, &back), "%s: rows of %lld", k->level, (long long)t.n);
    }
}

Test(moves, triangles_end_at_their_diagonal)
{
    static buffer y, x, want, sum;
    EACH_LEVEL
    for (int round = 0; round < 200; round++) {
        const int64_t m = 1 + pick(12), n = 1 + pick(40);
        const tg__triangles t = { 1 + pick(3), m, n, pick(m + n + 3) - m - 1, pick(2) };
        draw(&y, (tg_type)type, 9), draw(&x, (tg_type)type, 9);
        want = sum = y;
        for (int64_t e = 0; e < t.matrices * m * n; e++) {
            const int64_t i = e / n % m, j = e % n;
            const bool within = t.lower ? j <= i + t.offset : j >= i + t.offset;
            set(&want, 2 + e, within ? get(&x, 4 + e) : 0);
            if (within) set(&sum, 2 + e, get(&y, 2 + e) + get(&x, 4 + e));
        }
        /* Beyond its columns a lower triangle begins with nothing, an upper one with all. */
        tg__triangles clamped = t;
        if (clamped.offset < -m) clamped.offset = -m;
        if (clamped.offset > n) clamped.offset = n;
        static buffer z;
        z = y;
        level[type][l]->rows.copy_triangles(&clamped, at(&y, 2), at(&x, 4));
        level[type][l]->rows.add_triangles(&clamped, at(&z, 2), at(&x, 4));
        cr_assert(same(&y, &want) && same(&z, &sum), "%s: (%lld, %lld) from %lld on",
                  level[type][l]->level, (long long)m, (long long)n, (long long)t.offset);
    }
}

/* ---- indices --------------------------------------------------------------------------------- */

Test(moves, rows_are_picked_by_their_indices)
{
    static buffer y, x, want, back;
    EACH_LEVEL
    for (int round = 0; round < 300; round++) {
        const tg__kernels *const k = level[type][l];
        const int64_t m = 1 + pick(5), n = 1 + pick(40), choices = 6;
        const bool whole = pick(2),
                   along = pick(2); /* an index for a row; of positions in its own row */
        int64_t index[5 * 41];
        for (int64_t i = 0; i < m * n; i++) index[i] = pick(choices);
        const tg__index ix = { index, whole ? 1 : n, whole ? 0 : 1, whole || !along ? n : 1,
                               pick(2) ? choices : 0 };
        draw(&y, (tg_type)type, 9), draw(&x, (tg_type)type, 9);
        const tg__rows ry = { at(&y, 1), n, 1 };
        const tg__rows rx = { at(&x, 2), !whole && along ? choices : 0, !whole && along ? 0 : 1 };
        want = y, back = x;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                const int64_t from =
                    place(2, rx, i, j) + index[i * ix.row + j * ix.column] * ix.step;
                set(&want, 1 + i * n + j, get(&x, from));
                set(&back, from, get(&back, from) + get(&x, from));
            }
        cr_assert(k->index.gather(m, n, ry, rx, ix));
        cr_assert(same(&y, &want), "gather, %s: %lld rows of %lld", k->level, (long long)m,
                  (long long)n);
        k->index.scatter_add(m, n, ry, rx, ix);
        cr_assert(same(&x, &back), "scatter_add, %s: %lld rows of %lld", k->level, (long long)m,
                  (long long)n);
        const int64_t wrong = whole ? pick(m) : pick(m * n), right = index[wrong];
        index[wrong] = pick(2) ? -1 : choices;
        tg__index checked = ix;
        checked.length = choices;
        cr_assert(!k->index.gather(m, n, ry, rx, checked), "%s", k->level);
        index[wrong] = right;
        for (int64_t i = 0; i < m * n; i++) set(&want, 1 + i, 0);
        for (int64_t i = 0; i < m; i++) set(&want, 1 + i * n + index[i] % n, 1);
        for (int64_t i = 0; i < m; i++) index[i] %= n;
        cr_assert(k->index.one_hot(m, n, at(&y, 1), index, 1));
        cr_assert(same(&y, &want), "one_hot, %s: %lld rows of %lld", k->level, (long long)m,
                  (long long)n);
        for (int64_t i = 0; i < m; i++) set(&want, 1 + i, (double)index[2 * i]);
        k->index.cast(m, at(&y, 1), index, 2);
        cr_assert(same(&y, &want), "cast, %s", k->level);
        set(&want, 1 + (m - 1) * n + index[m - 1], 0);
        index[m - 1] = n;
        cr_assert(!k->index.one_hot(m, n, at(&y, 1), index, 1), "%s", k->level);
        index[m - 1] = 0;
        const int64_t odd = pick(m * n);
        cr_assert(k->index.within(m * n, index, 1, choices + n));
        index[odd] = pick(2) ? -1 : 41 + choices;
        cr_assert(!k->index.within(m * n, index, 1, 41 + choices), "%s", k->level);
    }
}

/* ---- pooling --------------------------------------------------------------------------------- */

typedef struct seen {
    int64_t n, at[16]; /* elements of a plane */
} seen;

static seen window(const tg__planes *p, int64_t o)
{
    seen s = { 0, { 0 } };
    for (int64_t i = 0; i < p->h.kernel; i++)
        for (int64_t j = 0; j < p->w.kernel; j++) {
            const int64_t a = o / p->w.out * p->h.stride - p->h.padding + i * p->h.dilation;
            const int64_t b = o % p->w.out * p->w.stride - p->w.padding + j * p->w.dilation;
            if (a >= 0 && a < p->h.n && b >= 0 && b < p->w.n) s.at[s.n++] = a * p->w.n + b;
        }
    return s;
}

static int64_t largest_of(const seen *s, const buffer *x, int64_t from)
{
    int64_t best = -1;
    for (int64_t i = 0; i < s->n; i++) {
        const double v = get(x, from + s->at[i]);
        if (best < 0 || v > get(x, from + best) || (isnan(v) && !isnan(get(x, from + best))))
            best = s->at[i];
    }
    return best;
}

static tg__planes draw_planes(void)
{
    static const int64_t kinds[][4] = {
        { 2, 2, 0, 1 }, { 2, 2, 0, 1 }, { 3, 2, 1, 1 }, { 2, 1, 0, 1 }, { 2, 2, 1, 2 }
    };
    const int64_t *const kind = kinds[pick(5)];
    tg__windows w[2];
    for (int i = 0; i < 2; i++) {
        w[i] = (tg__windows){ 4 + pick(i ? 36 : 6), 0, kind[0], kind[1], kind[2], kind[3] };
        w[i].out = (w[i].n + 2 * kind[2] - (kind[0] - 1) * kind[3] - 1) / kind[1] + 1;
    }
    return (tg__planes){ w[0], w[1], 1 + pick(3), w[0].n * w[1].n, w[1].n, 1 };
}

Test(moves, pools_see_their_windows)
{
    static buffer x, y, g, d, want, to, mean, spread;
    EACH_LEVEL
    for (int round = 0; round < 300; round++) {
        const tg__planes p = draw_planes();
        const tg__kernels *const k = level[type][l];
        const int64_t outer = p.h.out * p.w.out;
        const bool counts = pick(2);
        draw(&x, (tg_type)type, 5), draw(&y, (tg_type)type, 9), draw(&g, (tg_type)type, 9),
            draw(&d, (tg_type)type, 9);
        for (int64_t i = 0; i < ROOM; i++) set(&g, i, 36 * get(&g, i)), set(&x, i, 36 * get(&x, i));
        want = mean = y, to = spread = d;
        for (int64_t e = 0; e < p.channels * outer; e++) {
            const int64_t from = 3 + e / outer * p.channel;
            const seen s = window(&p, e % outer);
            const int64_t all = counts ? p.h.kernel * p.w.kernel : s.n;
            double sum = 0;
            for (int64_t i = 0; i < s.n; i++) sum += get(&x, from + s.at[i]);
            for (int64_t i = 0; i < s.n; i++)
                set(&spread, from + s.at[i],
                    get(&spread, from + s.at[i]) + get(&g, 7 + e) / (double)all);
            set(&mean, 1 + e, sum / (double)all);
        }
        static buffer got;
        got = y;
        k->pool.mean(&p, counts, at(&got, 1), at(&x, 3));
        cr_assert(same(&got, &mean), "mean, %s", k->level);
        got = d;
        k->pool.spread_mean(&p, counts, at(&g, 7), at(&got, 3));
        cr_assert(same(&got, &spread), "spread_mean, %s", k->level);
        if (pick(2)) set(&x, 3 + pick(p.channels * p.channel), NAN);
        static buffer picked, wanted;
        picked = wanted = y;
        for (int64_t e = 0; e < p.channels * outer; e++) {
            const int64_t from = 3 + e / outer * p.channel;
            const seen s = window(&p, e % outer);
            const int64_t best = largest_of(&s, &x, from);
            set(&want, 1 + e, get(&x, from + best));
            set(&wanted, 1 + e, get(&wanted, 1 + e) + get(&d, from + best));
            set(&to, from + best, get(&to, from + best) + get(&g, 7 + e));
        }
        k->pool.max(&p, at(&y, 1), at(&x, 3));
        cr_assert(same(&y, &want), "max, %s: (%lld, %lld)", k->level, (long long)p.h.n,
                  (long long)p.w.n);
        k->pool.max_pick(&p, at(&picked, 1), at(&x, 3), at(&d, 3));
        cr_assert(same(&picked, &wanted), "max_pick, %s", k->level);
        k->pool.max_put(&p, at(&g, 7), at(&x, 3), at(&d, 3));
        cr_assert(same(&d, &to), "max_put, %s: (%lld, %lld)", k->level, (long long)p.h.n,
                  (long long)p.w.n);
    }
}

/* ---- order ----------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

Test(moves, elements_are_selected_counted_and_found)
{
    static buffer x, work;
    static double sorted[3000];
    EACH_LEVEL
    for (int round = 0; round < 400; round++) {
        const tg__kernels *const k = level[type][l];
        const int64_t n = 1 + pick(round % 20 ? 150 : 3000), rank = pick(n),
                      values = pick(2) ? 7 : 100000;
        draw(&x, (tg_type)type, values);
        for (int64_t i = 0; i < n; i++) sorted[i] = get(&x, 1 + i);
        qsort(sorted, (size_t)n, sizeof *sorted, by_size);
        const double v = k->order.select(n, at(&x, 1), rank, at(&work, 0));
        cr_assert(v == sorted[rank], "%s: rank %lld of %lld", k->level, (long long)rank,
                  (long long)n);
        const tg__standing s = k->order.standing(n, at(&x, 1), v);
        int64_t below = 0, equal = 0;
        for (int64_t i = 0; i < n; i++) below += sorted[i] < v, equal += sorted[i] == v;
        cr_assert(s.below == below && s.equal == equal, "%s", k->level);
        cr_assert(s.before == (below ? sorted[below - 1] : -INFINITY), "%s", k->level);
        cr_assert(s.behind == (below + equal < n ? sorted[below + equal] : INFINITY), "%s",
                  k->level);
        const int64_t from = pick(n);
        int64_t found = from;
        while (found < n && get(&x, 1 + found) != v) found++;
        cr_assert(k->order.find(from, n, at(&x, 1), v) == found, "%s", k->level);
        cr_assert(k->order.find(0, n, at(&x, 1), (double)NAN) == n, "%s", k->level);
        const int64_t odd = pick(n);
        set(&x, 1 + odd, NAN);
        cr_assert(k->order.find(0, n, at(&x, 1), (double)NAN) == odd, "%s", k->level);
    }
}

/* Whether element i comes before j. */
static bool ahead(const buffer *x, int64_t i, int64_t j, bool falls)
{
    const double a = get(x, i), b = get(x, j);
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? i < j : isnan(a) == falls;
    return a != b ? (a < b) != falls : i < j;
}

Test(moves, the_first_elements_of_lines_come_in_order)
{
    static buffer x;
    EACH_LEVEL
    for (int round = 0; round < 400; round++) {
        enum { LINES = 7 };
        const tg__kernels *const f = level[type][l];
        const int64_t n = 1 + pick(120), k = 1 + pick(n < TG__FEW ? n : TG__FEW), sx = 1 + pick(2);
        const int64_t lines = 1 + pick(LINES), next = pick(n * sx);
        const bool falls = pick(2);
        int64_t first[LINES * TG__FEW];
        const double infinite = (double)pick(6) - 3, nan = (double)pick(6);
        draw(&x, (tg_type)type, pick(4) ? 60 : 4);
        for (int64_t i = 0; i < ROOM; i++)
            if (get(&x, i) == infinite) set(&x, i, infinite < 0 ? -INFINITY : INFINITY);
            else if (get(&x, i) == nan && nan > 2) set(&x, i, NAN);
        f->order.first(lines, k, n, at(&x, 0), next, sx, falls, first);
        for (int64_t i = 0; i < lines * n; i++) {
            const int64_t begin = i / n * next;
            int64_t rank = 0;
            for (int64_t j = 0; j < n; j++)
                rank += ahead(&x, begin + j * sx, begin + i % n * sx, falls);
            cr_assert(rank >= k || first[i / n * k + rank] == i % n, "%s: element %lld of %lld",
                      f->level, (long long)i, (long long)n);
        }
    }
}

/* ---- matrices -------------------------------------------------------------------------------- */

enum { SIDE = 70 };

static double uniform(void)
{
    return (double)pick(2000001) / 1e6 - 1;
}

/* The largest distance of P a from L U, by blocks of any size. */
static double lost_by_lu(const tg__kernels *k, int64_t n, int64_t end)
{
    static double a[SIDE * SIDE], lu[SIDE * SIDE];
    int64_t swap[SIDE];
    for (int64_t i = 0; i < n * n; i++) lu[i] = a[i] = uniform();
    if (k->dense.eliminate(n, n, lu, n, 0, end, swap) >= 0) return INFINITY;
    for (int64_t i = 0; i < end; i++)
        for (int64_t j = 0; j < n && swap[i] != i; j++) {
            const double x = a[i * n + j];
            a[i * n + j] = a[swap[i] * n + j];
            a[swap[i] * n + j] = x;
        }
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < end; j++) {
            double sum = 0;
            for (int64_t p = 0; p <= i && p <= j; p++)
                sum += (p == i ? 1 : lu[i * n + p]) * lu[p * n + j];
            most = fmax(most, fabs(sum - a[i * n + j]));
        }
    return most;
}

static double lost_by_cholesky(const tg__kernels *k, int64_t n)
{
    static double a[SIDE * SIDE], u[SIDE * SIDE];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = uniform() + (i == j ? (double)n : 0);
    memcpy(u, a, sizeof u);
    if (k->dense.cholesky(n, u, n, 0, n) >= 0) return INFINITY;
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p <= i; p++) sum += u[p * n + i] * u[p * n + j];
            most = fmax(most, fabs(sum - a[i * n + j]));
        }
    return most;
}

static double lost_by_substitution(const tg__kernels *k, int64_t n, int64_t sides)
{
    static double t[SIDE * SIDE], b[SIDE * SIDE], x[SIDE * SIDE];
    const bool lower = pick(2), unit = pick(2), turned = pick(2);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) t[i * n + j] = uniform() / (double)n + (i == j ? 2 : 0);
    for (int64_t i = 0; i < n * sides; i++) x[i] = b[i] = uniform();
    const tg__matrix m = { t, turned ? 1 : n, turned ? n : 1 };
    k->dense.substitute(n, sides, m, lower, unit, x, sides);
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t s = 0; s < sides; s++) {
            double sum = unit ? x[i * sides + s] : t[i * n + i] * x[i * sides + s];
            for (int64_t j = 0; j < n; j++)
                if (lower ? j < i : j > i) sum += t[i * m.row + j * m.column] * x[j * sides + s];
            most = fmax(most, fabs(sum - b[i * sides + s]));
        }
    return most;
}

static double lost_by_reflection(const tg__kernels *k, int64_t m, int64_t n)
{
    static double a[SIDE * SIDE], y[SIDE * SIDE], v[SIDE];
    const double tau = uniform();
    for (int64_t i = 0; i < m * n; i++) a[i] = y[i] = uniform();
    for (int64_t i = 0; i < m; i++) v[i] = i ? uniform() : 1;
    k->dense.reflect(m, n, y, n, v, 1, tau);
    double most = 0;
    for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < m; i++) sum += v[i] * a[i * n + j];
        for (int64_t i = 0; i < m; i++)
            most = fmax(most, fabs(a[i * n + j] - tau * v[i] * sum - y[i * n + j]));
    }
    return most;
}

/* All that is lost is rounding: of some n products of numbers up to n. */
Test(moves, factors_multiply_to_their_matrix)
{
    for (int l = 0; l < levels; l++)
        for (int64_t n = 1; n < SIDE; n++) {
            const tg__kernels *const k = level[TG_F64][l];
            const double bound = 1e-15 * (double)(n * n);
            const int64_t other = 1 + pick(40);
            cr_assert(lost_by_lu(k, n, n) <= 100 * bound, "%s: %lld", k->level, (long long)n);
            cr_assert(lost_by_lu(k, n, 1 + pick(n)) <= 100 * bound, "%s: %lld", k->level,
                      (long long)n);
            cr_assert(lost_by_cholesky(k, n) <= 100 * bound, "%s: %lld", k->level, (long long)n);
            cr_assert(lost_by_substitution(k, n, other) <= 100 * bound, "%s: %lld", k->level,
                      (long long)n);
            cr_assert(lost_by_reflection(k, n, other) <= 100 * bound, "%s: %lld", k->level,
                      (long long)n);
        }
}

/* ---- lines and columns ------------------------------------------------------------------------- */

/* Numbers of many digits, so that another order of additions would be seen. */
static void draw_digits(buffer *b, tg_type type)
{
    b->type = type;
    for (int64_t i = 0; i < ROOM; i++) set(b, i, uniform());
}

/* Lines that are adjacent, beside each other, or neither. */
typedef struct lie {
    ptrdiff_t stride, step;
} lie;

static lie lie_of(int way, int64_t lines, int64_t n)
{
    return way == 0 ? (lie){ 1, n } : way == 1 ? (lie){ lines, 1 } : (lie){ 2, 2 * n + 1 };
}

/* Mostly so few lines that they go along all at once, sometimes more than go along together. */
static void pick_lines(int64_t *lines, int64_t *n)
{
    *lines = 1 + pick(pick(4) ? 40 : 300);
    *n = 1 + pick(*lines < 80 ? 90 : ROOM / *lines);
}

/* What kernel number `which` does with lines of lie s: its result, and what is given to it is always the same. */
static void scan_with(const tg__kernels *k, int which, int64_t lines, int64_t n, lie s, buffer *result)
{
    static buffer x[4];
    state = SEED + (uint64_t)(lines * 100 + n);
    for (int i = 0; i < 4; i++) draw_digits(&x[i], result->type);
    draw_digits(result, result->type);
    const tg__scan_line in[4] = { { at(&x[0], 0), s.stride, s.step },
                                  { at(&x[1], 0), s.stride, s.step },
                                  { at(&x[2], 0), s.stride, s.step },
                                  { at(&x[3], 0), s.stride, s.step } };
    const tg__scan_line out = { at(result, 0), s.stride, s.step };
    switch (which) {
    case 0: k->scan.cumsum(lines, n, (const tg__scan_line[]){ out, in[0] }); break;
    case 1: k->scan.cumsum_backward(lines, n, (const tg__scan_line[]){ in[0], out }); break;
    case 2: k->scan.cumprod(lines, n, (const tg__scan_line[]){ out, in[0] }); break;
    case 3: k->scan.cumprod_backward(lines, n, (const tg__scan_line[]){ in[0], in[1], in[2], out }); break;
    case 4: k->scan.logcumsumexp(lines, n, (const tg__scan_line[]){ out, in[0] }); break;
    case 5: k->scan.recurrence(lines, n, (const tg__scan_line[]){ out, in[0], in[1] }); break;
    default: k->scan.recurrence_backward(lines, n, (const tg__scan_line[]){ in[0], in[1], in[2], out, in[3] });
    }
}

Test(moves, scans_give_the_same_bits_at_every_level)
{
    static buffer result, base;
    EACH_LEVEL
    for (int which = 0; which < 7; which++)
        for (int way = 0; way < 3; way++)
            for (int i = 0; i < 40; i++) {
                int64_t lines, n;
                pick_lines(&lines, &n);
                const uint64_t later = state;
                const lie s = lie_of(way, lines, n);
                if ((lines - 1) * s.step + (n - 1) * s.stride >= ROOM) continue;
                base.type = result.type = (tg_type)type;
                scan_with(level[type][0], which, lines, n, s, &base);
                scan_with(level[type][l], which, lines, n, s, &result);
                state = later;
                cr_assert(memcmp(result.room, base.room, ROOM * tg__type_size((tg_type)type)) == 0,
                          "%s: kernel %d, %lld lines of %lld, way %d", level[type][l]->level, which, (long long)lines,
                          (long long)n, way);
            }
}

/* Sums of a line, against those in long double. */
Test(moves, running_sums_are_near_the_exact_ones)
{
    static buffer x, y;
    EACH_LEVEL
    for (int way = 0; way < 3; way++)
        for (int i = 0; i < 60; i++) {
            int64_t lines, n;
            pick_lines(&lines, &n);
            const lie s = lie_of(way, lines, n);
            if ((lines - 1) * s.step + (n - 1) * s.stride >= ROOM) continue;
            const long double epsilon = type == TG_F32 ? 0x1p-23L : 0x1p-52L;
            draw_digits(&x, (tg_type)type);
            y.type = (tg_type)type;
            level[type][l]->scan.cumsum(lines, n,
                                        (const tg__scan_line[]){ { at(&y, 0), s.stride, s.step },
                                                                 { at(&x, 0), s.stride, s.step } });
            for (int64_t r = 0; r < lines; r++) {
                long double sum = 0, sizes = 1;
                for (int64_t j = 0; j < n; j++) {
                    const int64_t here = r * s.step + j * s.stride;
                    sum += (long double)get(&x, here);
                    sizes += fabsl((long double)get(&x, here));
                    cr_assert(fabsl((long double)get(&y, here) - sum) <= 2 * epsilon * sizes,
                              "%s: %lld of %lld, way %d", level[type][l]->level, (long long)j, (long long)n, way);
                }
            }
        }
}

/* With ties, and NaN, the first of which comes before all. */
Test(moves, the_first_extremes_of_columns_are_found)
{
    static buffer x;
    EACH_LEVEL
    for (int i = 0; i < 200; i++) {
        const int64_t columns = 1 + pick(90), n = 1 + pick(40);
        const bool largest = pick(2);
        int64_t index[90];
        draw(&x, (tg_type)type, 9);
        for (int64_t j = pick(3); j > 0; j--) set(&x, pick(columns * n), (double)NAN);
        level[type][l]->reduce.first_extremes_columns(columns, n, at(&x, 0), largest, index);
        for (int64_t j = 0; j < columns; j++) {
            int64_t best = 0;
            for (int64_t r = 1; r < n; r++) {
                const double v = get(&x, r * columns + j), m = get(&x, best * columns + j);
                if (!isnan(m) && (isnan(v) || (largest ? v > m : v < m))) best = r;
            }
            cr_assert_eq(index[j], best, "%s: column %lld of %lld, %lld rows", level[type][l]->level, (long long)j,
                         (long long)columns, (long long)n);
        }
    }
}

/* Rows that follow each other, and columns, of any number: no element but theirs is changed. */
Test(moves, gradients_are_spread_over_rows_and_columns)
{
    static buffer x, y, expected;
    EACH_LEVEL
    for (int i = 0; i < 400; i++) {
        const tg__kernels *const k = level[type][l];
        const bool columns = pick(2), equals = pick(2);
        const int64_t w = 1 + pick(100), n = 1 + pick(70);
        double a[TG__TILE], b[TG__TILE];
        draw(&x, (tg_type)type, 5);
        draw(&y, (tg_type)type, 9);
        expected = y;
        for (int64_t j = 0; j < w; j++) a[j] = (double)(pick(5) - 2), b[j] = (double)(pick(5) - 2);
        const ptrdiff_t sw = columns ? 1 : n, sn = columns ? w : 1;
        for (int64_t j = 0; j < w; j++)
            for (int64_t r = 0; r < n; r++) {
                const int64_t here = j * sw + r * sn;
                if (!equals || get(&x, here) == b[j]) set(&expected, here, get(&expected, here) + a[j]);
            }
        const tg__tile t = { w, n, at(&x, 0), sw, sn, 0 };
        if (equals) k->reduce.spread_equals(&t, at(&y, 0), a, b, 0);
        else k->reduce.spread(&t, at(&y, 0), a, NULL, 0);
        cr_assert(same(&y, &expected), "%s: %lld %s of %lld", k->level, (long long)w, columns ? "columns" : "rows",
                  (long long)n);
    }
}
