/* A charged particle starts at (0, 8) with velocity (0.75, 0) between charges at (10, 0) and
   (10, 10 - w): the w for which it crosses y = 0 nearest to x = 0, by descent from w = 0. It is
   accelerated by minus the gradient of the potential, the sum of 1 / distance, in Euler's steps of 0.1; the
   gradient by w goes through all of them. */
#include <math.h>

#include "descent.h"
#include "nested.h"
#include <tapegrad/short.h>

static const double step = 0.1;

/* ---- with the library ------------------------------------------------------------------------ */

static Value potential(const Value *x, Value w)
{
    const Value dx = sub(x[0], 10), dy = sub(x[1], sub(10, w));
    return add(rsqrt(add(square(dx), square(x[1]))), rsqrt(add(square(dx), square(dy))));
}

/* The squared x where the line from x along v crosses y = 0. */
static Value end_of(const Value *x, const Value *v)
{
    return square(sub(x[0], div(mul(x[1], v[0]), v[1])));
}

static Value miss(const nested *s, Value w)
{
    Value x[2] = { tg_scalar(s->tape, 0), tg_scalar(s->tape, 8) };
    Value v[2] = { tg_number(s->tape, 0.75), tg_number(s->tape, 0) }, a[2];
    for (;;) {
        const Value next[2] = { add(x[0], mul(step, v[0])), add(x[1], mul(step, v[1])) };
        if (tg_item(next[1]) <= 0) return end_of(x, v);
        nested_gradient(s, potential(x, w), x, a);
        for (int i = 0; i < 2; i++) v[i] = sub(v[i], mul(step, a[i])), x[i] = next[i];
    }
}

/* The value at w; with derivative what it says. */
static double miss_at(nested *s, double w0, double *derivative)
{
    const Value w = tg_scalar(s->tape, w0), f = miss(s, w);
    const double value = tg_item(f);
    if (derivative && s->outer_forward) {
        must(tg_jvp(f, &w, 1, (const double[]){ 1 }, 1, derivative), "particle");
    } else if (derivative) {
        must(tg_backward(f), "particle");
        *derivative = tg_grad_item(w);
    }
    tg_release(s->mark);
    return value;
}

/* The descent, with whatever gives values and derivatives. */
typedef double value_and_derivative(nested *s, double w, double *derivative);

static double least(nested *s, value_and_derivative *f)
{
    double w = s->start[0], g;
    descent d = descent_from(f(s, w, &g));
    while (fabs(g) > close_enough) {
        descent_grow(&d);
        const double next = w - d.eta * g;
        if (!(fabs(next - w) > close_enough)) break; /* no number: f has none */
        double next_g;
        if (!descent_takes(&d, f(s, next, &next_g))) continue;
        w = next, g = next_g;
    }
    return w;
}

static void eager(void *s, double *result)
{
    *result = least(s, miss_at);
}

/* A step from x, v is the last one if the next would cross y = 0. */
static void compile_parts(nested *s)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value in[5], out[5], a[2];
    for (int i = 0; i < 5; i++) in[i] = scalar(t, 1);
    const Value *const x = in, *const v = in + 2, w = in[4];
    nested_compile(s, potential(x, w), TG_VALUES(x[0], x[1], w));
    nested_call(s, TG_VALUES(x[0], x[1], w), a);
    for (int i = 0; i < 2; i++) {
        out[i] = add(x[i], mul(step, v[i]));
        out[2 + i] = sub(v[i], mul(step, a[i]));
    }
    out[4] = le(add(out[1], mul(step, out[3])), 0);
    nested_step(s, out, in, 4, 4, 1);
    nested_end(s, end_of(x, v), in);
    tg_tape_free(t);
}

static bool record_miss(nested *s, tg_tape *t)
{
    const Value first[] = { tg_number(t, 0), tg_number(t, 8), tg_number(t, 0.75), tg_number(t, 0) };
    const Value w = scalar(t, 0);
    return nested_outer(s, first, &w);
}

static double program_at(nested *s, double w, double *derivative)
{
    double value;
    if (nested_run(s, (const void *[]){ &w }, (void *[]){ &value, derivative })) return value;
    return *derivative = NAN;
}

static void program(void *s, double *result)
{
    *result = least(s, program_at);
}

/* ---- by hand --------------------------------------------------------------------------------- */

/* Everything with its derivative by w beside it. The force of a charge at distance d is d / |d|^3; its
   derivative d' / |d|^3 - 3 d (d d') / |d|^5. */
static void push(const double d[2], const double dd[2], double a[2], double da[2])
{
    const double r2 = d[0] * d[0] + d[1] * d[1], r = sqrt(r2), inner = d[0] * dd[0] + d[1] * dd[1];
    for (int i = 0; i < 2; i++) {
        a[i] += d[i] / (r2 * r);
        da[i] += dd[i] / (r2 * r) - 3 * d[i] * inner / (r2 * r2 * r);
    }
}

static double plain_at(nested *s, double w, double *derivative)
{
    (void)s;
    double x[2] = { 0, 8 }, v[2] = { 0.75, 0 }, dx[2] = { 0, 0 }, dv[2] = { 0, 0 };
    while (x[1] + step * v[1] > 0) {
        const double d0[2] = { x[0] - 10, x[1] }, d1[2] = { x[0] - 10, x[1] - (10 - w) };
        const double dd1[2] = { dx[0], dx[1] + 1 };
        double a[2] = { 0, 0 }, da[2] = { 0, 0 };
        push(d0, dx, a, da);
        push(d1, dd1, a, da);
        for (int i = 0; i < 2; i++) {
            x[i] += step * v[i], dx[i] += step * dv[i];
            v[i] += step * a[i], dv[i] += step * da[i];
        }
    }
    const double end = x[0] - x[1] * v[0] / v[1];
    const double dend = dx[0] - (dx[1] * v[0] + x[1] * dv[0]) / v[1] + x[1] * v[0] * dv[1] / (v[1] * v[1]);
    *derivative = 2 * end * dend;
    return end * end;
}

static void plain(void *s, double *result)
{
    *result = least(s, plain_at);
}

/* The two charges side by side, one root and one division for both. */
static double expert_at(nested *s, double w, double *derivative)
{
    (void)s;
    typedef double pair __attribute__((vector_size(16)));
    const pair charge = { 0, 10 - w }, moves = { 0, 1 };
    double x = 0, y = 8, vx = 0.75, vy = 0, dx = 0, dy = 0, dvx = 0, dvy = 0;
    for (;;) {
        const double next = y + step * vy;
        if (next <= 0) break;
        const double ex = x - 10;
        const pair ey = y - charge, dey = dy + moves, r2 = ex * ex + ey * ey;
        const pair r = { sqrt(r2[0]), sqrt(r2[1]) }, inverse2 = 1 / r2, inverse3 = inverse2 * (r * inverse2);
        const pair inner = (ex * dx + ey * dey) * 3 * inverse2;
        const pair ax = ex * inverse3, ay = ey * inverse3;
        const pair dax = (dx - ex * inner) * inverse3, day = (dey - ey * inner) * inverse3;
        x += step * vx, dx += step * dvx;
        y = next, dy += step * dvy;
        vx += step * (ax[0] + ax[1]), vy += step * (ay[0] + ay[1]);
        dvx += step * (dax[0] + dax[1]), dvy += step * (day[0] + day[1]);
    }
    const double inverse = 1 / vy, end = x - y * vx * inverse;
    *derivative = 2 * end * (dx - (dy * vx + y * dvx - y * vx * dvy * inverse) * inverse);
    return end * end;
}

static void expert(void *s, double *result)
{
    *result = least(s, expert_at);
}

/* ---- the rows ---------------------------------------------------------------------------------- */

nested *particle_from(int variant, double w)
{
    nested *const s = nested_start(variant, &w, 1);
    s->record = record_miss;
    compile_parts(s);
    nested_record(s);
    return s;
}

static void *start(int variant)
{
    return particle_from(variant, 0);
}

static size_t results(void *s, size_t *values)
{
    (void)s;
    *values = 0;
    return 1;
}

const problem particle = { "particle", { "rev over rev", "rev over fwd", "fwd over rev", "fwd over fwd" },
                           start, nested_stop, results, { NULL, plain, expert, eager, program },
                           { 0.20719187 } };
