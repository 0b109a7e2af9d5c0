/* Points of the plane to learn from: the formulas are in tapegrad/data.h. */
#include "inner.h"
#include "random.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* One point without noise, of class k of K. */
typedef void point(tg__random *r, int k, int classes, double x[2]);

static bool points_valid(const tg_points *p, int least, int most, tg_status *status)
{
    if (p->classes < least || p->classes > most)
        return tg__data_fail(status, TG_ERROR_ARGUMENT,
                             "points of %d classes: %d to %d are possible", p->classes, least,
                             most);
    if (p->each < 0 || p->each > INT64_MAX / (8 * (int64_t)p->classes))
        return tg__data_fail(status, TG_ERROR_ARGUMENT, "%lld points of each class",
                             (long long)p->each);
    if (!(p->noise >= 0 && p->noise <= 1e100))
        return tg__data_fail(status, TG_ERROR_ARGUMENT, "points with noise %g", p->noise);
    return true;
}

static tg_dataset *make(point *one, const tg_points *points, int classes, int most,
                        tg_status *status)
{
    tg_points p = points ? *points : (tg_points){ 0 };
    if (p.classes == 0) p.classes = classes;
    if (p.each == 0) p.each = 100;
    if (!points_valid(&p, most == 2 ? 2 : 1, most, status)) return NULL;
    tg_dataset *const data = tg_dataset_new(
        &(tg_dataset){ .n = p.each * p.classes, .d = 2, .classes = p.classes }, status);
    if (!data) return NULL;
    tg__random r = tg__data_random_new(p.seed, TG__FOR_POINTS, 0);
    for (int64_t i = 0; i < data->n; i++) {
        double *const x = data->x + 2 * i;
        data->label[i] = (int)(i / p.each);
        one(&r, data->label[i], p.classes, x);
        x[0] += p.noise * tg__data_random_normal(&r);
        x[1] += p.noise * tg__data_random_normal(&r);
    }
    return data;
}

enum { MOST_CLASSES = 1 << 20 };

static void spirals(tg__random *r, int k, int classes, double x[2])
{
    const double t = tg__data_random_uniform(r), angle = 2 * pi / classes * (2 * t + k);
    x[0] = t * sin(angle);
    x[1] = t * cos(angle);
}

static void circle(tg__random *r, int k, int classes, double x[2])
{
    (void)classes;
    /* Uniform in area: the square of the radius is uniform. */
    const double inner = k == 0 ? 0 : 0.7, outer = k == 0 ? 0.5 : 1, u = tg__data_random_uniform(r);
    const double radius = sqrt(inner * inner + u * (outer * outer - inner * inner));
    const double angle = 2 * pi * tg__data_random_uniform(r);
    x[0] = radius * cos(angle);
    x[1] = radius * sin(angle);
}

static void blobs(tg__random *r, int k, int classes, double x[2])
{
    (void)r;
    const double angle = 2 * pi * ((double)k / classes + 0.125);
    x[0] = cos(angle);
    x[1] = sin(angle);
}

static void exclusive_or(tg__random *r, int k, int classes, double x[2])
{
    (void)classes;
    const double sign = tg__data_random_below(r, 2) ? 1 : -1;
    x[0] = sign * (0.1 + 0.9 * tg__data_random_uniform(r));
    x[1] = (k == 0 ? sign : -sign) * (0.1 + 0.9 * tg__data_random_uniform(r));
}

static void moons(tg__random *r, int k, int classes, double x[2])
{
    (void)classes;
    const double angle = pi * tg__data_random_uniform(r);
    x[0] = k == 0 ? cos(angle) : 1 - cos(angle);
    x[1] = k == 0 ? sin(angle) : 0.5 - sin(angle);
}

tg_dataset *tg_points_spirals(const tg_points *points, tg_status *status)
{
    return make(spirals, points, 3, MOST_CLASSES, status);
}

tg_dataset *tg_points_circle(const tg_points *points, tg_status *status)
{
    return make(circle, points, 2, 2, status);
}

tg_dataset *tg_points_blobs(const tg_points *points, tg_status *status)
{
    return make(blobs, points, 2, MOST_CLASSES, status);
}

tg_dataset *tg_points_xor(const tg_points *points, tg_status *status)
{
    return make(exclusive_or, points, 2, 2, status);
}

tg_dataset *tg_points_moons(const tg_points *points, tg_status *status)
{
    return make(moons, points, 2, 2, status);
}
