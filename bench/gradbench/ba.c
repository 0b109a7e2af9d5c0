/* Bundle adjustment: cameras of 11 numbers (rotation 3, center 3, focal length, principal point 2,
   distortion 2), points of 3, a weight for each observation. Residuals are w (projection - feature), two
   for each of P observations, and 1 - w^2; the result is their sparse Jacobian in rows (CSR): 15
   elements in each of the first 2 P rows, those of camera, point and weight, and one in the others. */
#include <math.h>
#include <stdlib.h>

#include "gradbench.h"
#include "rotation.h"
#include <tapegrad/short.h>

enum { CAMERAS = 49, POINTS = 7776, C = 11, X = 3, ROW = C + X + 1, BLOCK = 512 };
enum { ROTATION = 0, CENTER = 3, FOCUS = 6, PRINCIPAL = 7, DISTORTION = 9 };

typedef struct state {
    given in;
    int64_t p;
    double *cameras, *points, *w, *features;
    int *camera, *point;   /* of each observation */
    int64_t *begin;        /* where a row begins, and its columns: the same for all ways */
    int64_t *column;
    double *packed;        /* BLOCK cameras and points */
    tg_tape *tape;
    tg_mark mark;
    compiled program;
} state;

/* Cameras and points of n observations: element j of observation i at i * row + j * column. */
static void pack(const state *s, int64_t first, int64_t n, int64_t row, int64_t column)
{
    for (int64_t i = 0; i < n; i++) {
        const double *const c = s->cameras + s->camera[first + i] * C;
        const double *const x = s->points + s->point[first + i] * X;
        for (int j = 0; j < C; j++) s->packed[i * row + j * column] = c[j];
        for (int j = 0; j < X; j++) s->packed[i * row + (C + j) * column] = x[j];
    }
}

/* ---- with the library ------------------------------------------------------------------------ */

/* e[0], e[1]: the residuals of a camera c, point x, weight w and feature; scalars, or vectors of as many
   observations. */
static void model(const Value *c, const Value *x, Value w, const Value *feature, Value *e)
{
    Value d[3], v[3], cross[3];
    for (int i = 0; i < 3; i++) d[i] = sub(x[i], c[CENTER + i]);
    const Value angle2 = add(add(square(c[0]), square(c[1])), square(c[2])), angle = sqrt(angle2);
    for (int i = 0; i < 3; i++) v[i] = div(c[ROTATION + i], angle);
    for (int i = 0; i < 3; i++) {
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        cross[i] = sub(mul(v[j], d[k]), mul(v[k], d[j]));
    }
    const Value cosine = cos(angle), sine = sin(angle);
    const Value along = mul(add(add(mul(v[0], d[0]), mul(v[1], d[1])), mul(v[2], d[2])), sub(1, cosine));
    Value seen[3];
    for (int i = 0; i < 3; i++)
        seen[i] = add(add(mul(d[i], cosine), mul(cross[i], sine)), mul(v[i], along));
    const Value a = div(seen[0], seen[2]), b = div(seen[1], seen[2]);
    const Value r2 = add(square(a), square(b));
    const Value l = add(1, mul(r2, add(c[DISTORTION], mul(c[DISTORTION + 1], r2))));
    const Value scale = mul(c[FOCUS], l);
    e[0] = mul(w, sub(add(mul(scale, a), c[PRINCIPAL]), feature[0]));
    e[1] = mul(w, sub(add(mul(scale, b), c[PRINCIPAL + 1]), feature[1]));
}

/* A block of observations at once: each number is a vector of them. Since none has to do with another,
   the gradient of the sum of their residuals is all their rows. */
static void eager(void *state_, double *result)
{
    const state *const s = state_;
    double *const rows = result + 3 * s->p;
    for (int64_t first = 0; first < s->p; first += BLOCK) {
        const int64_t n = s->p - first < BLOCK ? s->p - first : BLOCK;
        Value z[ROW], feature[2], e[3];
        pack(s, first, n, 1, n);
        for (int j = 0; j < C + X; j++) z[j] = param(s->tape, s->packed + j * n, n);
        z[C + X] = param(s->tape, s->w + first, n);
        const Value features = input(s->tape, s->features + 2 * first, n, 2);
        for (int j = 0; j < 2; j++) feature[j] = select(features, .axis = 1, .index = j);
        model(z, z + C, z[C + X], feature, e);
        e[2] = sub(1, square(z[C + X]));
        for (int k = 0; k < 2; k++) {
            const double *const value = tg_data(e[k]);
            must(tg_backward(sum(e[k])), "ba");
            for (int64_t i = 0; i < n; i++) result[2 * (first + i) + k] = value[i];
            for (int j = 0; j < ROW; j++) {
                const double *const gradient = tg_grad(z[j]);
                for (int64_t i = 0; i < n; i++) rows[(2 * (first + i) + k) * ROW + j] = gradient[i];
            }
        }
        const size_t m = (size_t)n;
        must(tg_backward(sum(e[2])) && tg_read(e[2], result + 2 * s->p + first, m) &&
                 tg_grad_read(z[C + X], rows + 2 * ROW * s->p + first, m), "ba");
        tg_release(s->mark);
    }
}

/* The rows as values: each residual's gradient is recorded, and all are outputs for every instance. */
static compiled compile_rows(const state *s)
{
    static const double some[C + X] = { .1, .2, .3, 0, 0, 0, 1, 0, 0, 0, 0, .1, .2, 5 };
    const Value packed = param(s->tape, some, C + X), w = tg_scalar(s->tape, 1);
    const Value feature = input(s->tape, some, 2);
    Value z[ROW], features[2] = { at(feature, 0), at(feature, 1) }, e[3], row[2 * ROW];
    for (int j = 0; j < C + X; j++) z[j] = add(at(packed, j), 0);
    z[C + X] = w;
    model(z, z + C, w, features, e);
    e[2] = sub(1, square(w));
    Value last;
    for (int k = 0; k < 2; k++)
        must(tg_grad_values(&e[k], NULL, 1, z, ROW, row + k * ROW), "ba");
    must(tg_grad_values(&e[2], NULL, 1, &w, 1, &last), "ba");
    const Value outputs[] = { stack(row, 2 * ROW), stack(e, 2), e[2], last };
    return compile(outputs, 4, TG_VALUES(packed, w, feature), NULL, 0);
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    for (int64_t first = 0; first < s->p; first += BLOCK) {
        const int64_t n = s->p - first < BLOCK ? s->p - first : BLOCK;
        pack(s, first, n, C + X, 1);
        run_compiled(&s->program, n,
                     (const void *[]){ s->packed, s->w + first, s->features + 2 * first },
                     (void *[]){ result + 3 * s->p + first * 2 * ROW, result + 2 * first,
                                 result + 2 * s->p + first, result + 3 * s->p + s->p * 2 * ROW + first });
    }
}

/* ---- by hand --------------------------------------------------------------------------------- */

/* Two residuals; with row their gradients, by the chain: projection by the point seen, that by the
   rotation and what is rotated. */
static void observe(const double *c, const double *x, double w, const double *feature, double *e,
                    double *row)
{
    double d[3], v[3], cross[3], seen[3];
    for (int i = 0; i < 3; i++) d[i] = x[i] - c[CENTER + i];
    const double angle = sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]);
    for (int i = 0; i < 3; i++) v[i] = c[ROTATION + i] / angle;
    cross[0] = v[1] * d[2] - v[2] * d[1];
    cross[1] = v[2] * d[0] - v[0] * d[2];
    cross[2] = v[0] * d[1] - v[1] * d[0];
    const double cosine = cos(angle), sine = sin(angle), inner = v[0] * d[0] + v[1] * d[1] + v[2] * d[2];
    for (int i = 0; i < 3; i++)
        seen[i] = d[i] * cosine + cross[i] * sine + v[i] * inner * (1 - cosine);
    const double a = seen[0] / seen[2], b = seen[1] / seen[2], r2 = a * a + b * b;
    const double l = 1 + r2 * (c[DISTORTION] + r2 * c[DISTORTION + 1]), f = c[FOCUS];
    const double u0 = f * l * a + c[PRINCIPAL] - feature[0], u1 = f * l * b + c[PRINCIPAL + 1] - feature[1];
    e[0] = w * u0;
    e[1] = w * u1;
    if (!row) return;
    const double dl = c[DISTORTION] + 2 * r2 * c[DISTORTION + 1]; /* by r2 */
    const double da[2] = { w * f * (l + 2 * dl * a * a), w * f * 2 * dl * a * b };
    const double db[2] = { w * f * 2 * dl * a * b, w * f * (l + 2 * dl * b * b) };
    for (int k = 0; k < 2; k++, row += ROW) {
        double g[3], dv[3], inward;
        g[0] = da[k] / seen[2];
        g[1] = db[k] / seen[2];
        g[2] = -(da[k] * a + db[k] * b) / seen[2];
        /* seen = d cos + (v x d) sin + v (v d) (1 - cos) */
        const double gv = g[0] * v[0] + g[1] * v[1] + g[2] * v[2];
        const double gxv[3] = { g[1] * v[2] - g[2] * v[1], g[2] * v[0] - g[0] * v[2],
                                g[0] * v[1] - g[1] * v[0] };
        const double dxg[3] = { d[1] * g[2] - d[2] * g[1], d[2] * g[0] - d[0] * g[2],
                                d[0] * g[1] - d[1] * g[0] };
        double dangle = 0;
        inward = 0;
        for (int i = 0; i < 3; i++) {
            row[C + i] = g[i] * cosine + gxv[i] * sine + v[i] * gv * (1 - cosine);
            row[CENTER + i] = -row[C + i];
            dangle += g[i] * (cross[i] * cosine - d[i] * sine);
            dv[i] = dxg[i] * sine + (g[i] * inner + d[i] * gv) * (1 - cosine);
            inward += dv[i] * v[i];
        }
        dangle += gv * inner * sine;
        for (int i = 0; i < 3; i++) row[ROTATION + i] = (dv[i] - inward * v[i]) / angle + dangle * v[i];
        const double along = k == 0 ? a : b;
        row[FOCUS] = w * l * along;
        row[PRINCIPAL] = k == 0 ? w : 0;
        row[PRINCIPAL + 1] = k == 1 ? w : 0;
        row[DISTORTION] = w * f * along * r2;
        row[DISTORTION + 1] = w * f * along * r2 * r2;
        row[C + X] = k == 0 ? u0 : u1;
    }
}

static void plain_of(const state *s, double *result, bool rows)
{
    double *row = result + 3 * s->p;
    for (int64_t i = 0; i < s->p; i++) {
        observe(s->cameras + s->camera[i] * C, s->points + s->point[i] * X, s->w[i], s->features + 2 * i,
                result + 2 * i, rows ? row + 2 * ROW * i : NULL);
        result[2 * s->p + i] = 1 - s->w[i] * s->w[i];
    }
    for (int64_t i = 0; rows && i < s->p; i++) row[2 * ROW * s->p + i] = -2 * s->w[i];
}

static void primal(void *s, double *result)
{
    plain_of(s, result, false);
}

static void plain(void *s, double *result)
{
    plain_of(s, result, true);
}

/* ---- by hand: expert --------------------------------------------------------------------------- */

/* An observation: the residuals and their rows straight to where they belong, with one division. */
static inline void observe_turned(const double *c, const turned *t, const double *x, double w,
                                  const double *feature, double *restrict e, double *restrict row)
{
    double d[3], seen[3], turning[3][3];
    for (int i = 0; i < 3; i++) d[i] = x[i] - c[CENTER + i];
    for (int i = 0; i < 3; i++)
        seen[i] = t->R[i * 3] * d[0] + t->R[i * 3 + 1] * d[1] + t->R[i * 3 + 2] * d[2];
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < 3; i++)
            turning[m][i] = t->dR[m][i * 3] * d[0] + t->dR[m][i * 3 + 1] * d[1] + t->dR[m][i * 3 + 2] * d[2];
    const double inverse = 1 / seen[2], a = seen[0] * inverse, b = seen[1] * inverse, r2 = a * a + b * b;
    const double l = 1 + r2 * (c[DISTORTION] + r2 * c[DISTORTION + 1]), wf = w * c[FOCUS];
    const double dl2 = 2 * wf * (c[DISTORTION] + 2 * r2 * c[DISTORTION + 1]);
    const double da[2] = { wf * l + dl2 * a * a, dl2 * a * b }, db[2] = { dl2 * a * b, wf * l + dl2 * b * b };
    const double along[2] = { a, b };
    for (int k = 0; k < 2; k++, row += ROW) {
        const double u = c[FOCUS] * l * along[k] + c[PRINCIPAL + k] - feature[k];
        const double g[3] = { da[k] * inverse, db[k] * inverse, -(da[k] * a + db[k] * b) * inverse };
        e[k] = w * u;
        for (int m = 0; m < 3; m++) {
            row[ROTATION + m] = g[0] * turning[m][0] + g[1] * turning[m][1] + g[2] * turning[m][2];
            row[C + m] = g[0] * t->R[m] + g[1] * t->R[3 + m] + g[2] * t->R[6 + m];
            row[CENTER + m] = -row[C + m];
        }
        row[FOCUS] = w * l * along[k];
        row[PRINCIPAL] = k == 0 ? w : 0;
        row[PRINCIPAL + 1] = k == 1 ? w : 0;
        row[DISTORTION] = wf * along[k] * r2;
        row[DISTORTION + 1] = wf * along[k] * r2 * r2;
        row[C + X] = u;
    }
}

/* Rotations once for each camera. Vectors of observations were slower: they would have to be gathered,
   and turned back into rows, which is more work than the arithmetic. */
static void expert(void *state_, double *result)
{
    const state *const s = state_;
    const int64_t p = s->p;
    double *const rows = result + 3 * p, *const last = rows + 2 * ROW * p;
    turned t[CAMERAS];
    for (int i = 0; i < CAMERAS; i++) turn(s->cameras + i * C, &t[i]);
    for (int64_t i = 0; i < p; i++)
        observe_turned(s->cameras + s->camera[i] * C, &t[s->camera[i]], s->points + s->point[i] * X, s->w[i],
                       s->features + 2 * i, result + 2 * i, rows + 2 * ROW * i);
    for (int64_t i = 0; i < p; i++) {
        result[2 * p + i] = 1 - s->w[i] * s->w[i];
        last[i] = -2 * s->w[i];
    }
}

/* ---- the rows ---------------------------------------------------------------------------------- */

/* Where the elements of the Jacobian are; columns: cameras, then points, then weights. */
static void find_columns(state *s)
{
    int64_t at_ = 0;
    for (int64_t r = 0; r < 3 * s->p; r++) {
        const int64_t i = r < 2 * s->p ? r / 2 : r - 2 * s->p;
        s->begin[r] = at_;
        if (r < 2 * s->p) {
            for (int j = 0; j < C; j++) s->column[at_++] = s->camera[i] * C + j;
            for (int j = 0; j < X; j++) s->column[at_++] = CAMERAS * C + s->point[i] * X + j;
        }
        s->column[at_++] = CAMERAS * C + POINTS * X + i;
    }
    s->begin[3 * s->p] = at_;
}

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 7;
    const size_t p = (size_t)(s->p = (const int64_t[]){ 31843, 100000, 300000 }[size]);
    s->cameras = room(CAMERAS * C, sizeof(double));
    s->points = room(POINTS * X, sizeof(double));
    s->w = room(p, sizeof *s->w);
    s->features = room(2 * p, sizeof *s->features);
    s->camera = room(p, sizeof *s->camera);
    s->point = room(p, sizeof *s->point);
    s->begin = room(3 * p + 1, sizeof *s->begin);
    s->column = room((2 * ROW + 1) * p, sizeof *s->column);
    s->packed = room(BLOCK * (C + X), sizeof *s->packed);
    static const double lo[C] = { -.3, -.3, -.3, -.5, -.5, -.5, 300, -5, -5, -.1, -.01 };
    static const double hi[C] = { .3, .3, .3, .5, .5, .5, 600, 5, 5, .1, .01 };
    for (int i = 0; i < CAMERAS * C; i++) s->cameras[i] = draw(&seed, lo[i % C], hi[i % C]);
    for (int i = 0; i < POINTS * X; i++) s->points[i] = i % X < 2 ? draw(&seed, -2, 2) : draw(&seed, 4, 8);
    for (int64_t i = 0; i < s->p; i++) {
        s->camera[i] = (int)draw(&seed, 0, CAMERAS);
        s->point[i] = (int)draw(&seed, 0, POINTS);
        s->w[i] = draw(&seed, 0.2, 1);
        for (int j = 0; j < 2; j++) s->features[2 * i + j] = draw(&seed, -100, 100);
    }
    const tg_value no_leaf = { 0 };
    given_add(&s->in, s->cameras, CAMERAS * C, no_leaf);
    given_add(&s->in, s->points, POINTS * X, no_leaf);
    given_add(&s->in, s->w, s->p, no_leaf);
    given_add(&s->in, s->features, 2 * s->p, no_leaf);
    find_columns(s);
    s->tape = row_tape();
    s->mark = tg_tape_mark(s->tape);
    s->program = compile_rows(s);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    void *const all[] = { s->cameras, s->points, s->w,      s->features, s->camera,
                          s->point,   s->begin,  s->column, s->packed };
    for (int i = 0; i < 9; i++) free(all[i]);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    *values = 3 * (size_t)((const state *)state_)->p;
    return (size_t)((const state *)state_)->p * (3 + 2 * ROW + 1);
}

const problem ba = { "ba", { "31843", "100000", "300000" }, start, stop, results,
                     { primal, plain, expert, eager, program }, { 0 } };
