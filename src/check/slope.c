/* The numeric derivative along a line, with its error estimate: what the table of extrapolated
   differences says of itself, plus the rounding of the function's value divided by the step. */
#include "check/inner.h"

#include <float.h>
#include <math.h>

/* How often the first step is quartered where the function is not finite. */
#define SHRINKS 14

/* Ulps by which an element of the function's value may be off. */
#define ROUNDING 8.0

/* Points of the difference table that measures noise. */
#define POINTS 7

/* Rows in sequence that have to see the same jump. */
#define JUMPS 4

/* Differences of f at one step: to the right, to the left, over both sides. */
typedef struct probe {
    double right, left, central;
    double jump;      /* |f(x + h) - f(x - h)| */
    double magnitude; /* of the values */
    bool finite;
} probe;

static bool value_at(tg__check *c, const tg__line *l, double t, double *out)
{
    const tg_check_input *input = &c->inputs[l->input];
    const size_t n = tg__input_size(input);
    for (size_t i = 0; i < n; i++) c->moved[i] = input->data[i] + (l->u ? t * l->u[i] : 0);
    if (!l->u) c->moved[l->element] += t;
    return c->evaluate(c, l->input, c->moved, out);
}

/* sum weight (a - b), of the line's outputs. Differences come first, so that elements which do not
   depend on x cancel exactly. */
static double difference(const tg__check *c, const tg__line *l, const double *a, const double *b)
{
    if (l->output >= 0) return a[l->output] - b[l->output];
    double sum = 0;
    for (size_t i = 0; i < c->size; i++) sum += c->weight[i] * (a[i] - b[i]);
    return sum;
}

static double magnitude(const tg__check *c, const tg__line *l, const double *y)
{
    if (l->output >= 0) return fabs(y[l->output]);
    double sum = 0;
    for (size_t i = 0; i < c->size; i++) sum += fabs(c->weight[i] * y[i]);
    return sum;
}

double tg__rounding(const tg__check *c, const tg__line *l, double h)
{
    return fmax(ROUNDING * DBL_EPSILON * magnitude(c, l, c->y), l->noise) / h;
}

static bool probe_at(tg__check *c, const tg__line *l, double h, probe *p)
{
    if (!value_at(c, l, h, c->plus) || !value_at(c, l, -h, c->minus)) return false;
    const double x = l->u ? 0 : c->inputs[l->input].data[l->element];
    const volatile double above = x + h, below = x - h; /* the steps that were really made */
    const double both = difference(c, l, c->plus, c->minus);
    p->right = difference(c, l, c->plus, c->y) / (above - x);
    p->left = difference(c, l, c->y, c->minus) / (x - below);
    p->central = both / (above - below);
    p->jump = fabs(both);
    p->magnitude = fmax(magnitude(c, l, c->plus), magnitude(c, l, c->minus));
    p->finite = isfinite(p->right) && isfinite(p->left) && isfinite(p->central);
    return true;
}

bool tg__central(tg__check *c, const tg__line *l, double h, double *slope, bool *finite)
{
    probe p;
    if (!probe_at(c, l, h, &p)) return false;
    *slope = p.central;
    *finite = p.finite;
    return true;
}

/* What rounding may do to a slope, where values may be larger than at x itself. */
static double rounding(const tg__check *c, const tg__line *l, const probe *p, double h)
{
    return fmax(tg__rounding(c, l, h), ROUNDING * DBL_EPSILON * p->magnitude / h);
}

/* How far an entry is from its three neighbours, of which one has its own order: four numbers
   that agree by accident are rare even where f is noise. */
static double spread(const double *above, const double *row, int j)
{
    return fmax(fabs(row[j] - row[j - 1]),
                fmax(fabs(row[j] - above[j - 1]), fabs(row[j] - above[j])));
}

/* One more row of Neville's table for h^2 = 0 with halved steps; keeps in s the entry of the
   least error. */
static void extrapolate(const tg__check *c, int i, double round, double h, const double *above,
                        double *row, tg__slope *s)
{
    const int last = i < c->plan->columns - 1 ? i : c->plan->columns - 1;
    double factor = 1;
    for (int j = 1; j <= last; j++) {
        factor *= 4;
        row[j] = (factor * row[j - 1] - above[j - 1]) / (factor - 1);
        if (j == i) break;
        const double error = spread(above, row, j) + round;
        if (error < s->error)
            *s = (tg__slope){ .value = row[j], .error = error, .step = h, .finite = true };
    }
}

/* The last row's own value; its error from the row before, which had twice the step. */
static void take_row(const tg__check *c, double round, double h, const double *above,
                     const double *row, tg__slope *s)
{
    const double error = fabs(row[0] - above[0]) / (c->plan->forward ? 1 : 3) + round;
    *s = (tg__slope){ .value = row[0], .error = error, .step = h, .finite = true };
}

/* Whether the slopes from both sides settle on different numbers: their distance does not fall
   with the step (it would be halved), and it is large against their own changes and against
   rounding. */
static bool is_kink(const probe *before, const probe *now, double round)
{
    const double jump = fabs(now->right - now->left);
    const double moved = fabs(now->right - before->right) + fabs(now->left - before->left);
    return jump > 0.75 * fabs(before->right - before->left) && moved < 0.5 * jump &&
           jump > 1e-6 * (fabs(now->right) + fabs(now->left)) && jump > 10 * round;
}

/* Whether both sides stay apart by the same amount although the step was halved. */
static bool is_jump(const probe *before, const probe *now, double round, double h)
{
    return now->jump > 0.9 * before->jump && now->jump < 1.1 * before->jump &&
           now->jump > 1000 * round * h;
}

static bool is_settled(const tg__check *c, const tg__line *l, const tg__slope *s)
{
    return s->error <=
           fmax(0.1 * c->options.rtol * fabs(s->value), 2 * tg__rounding(c, l, s->step));
}

/* The first step: smaller where the function is not finite on both sides. */
static bool first_probe(tg__check *c, const tg__line *l, double *h, probe *p)
{
    *h = c->options.step * c->plan->first * l->scale;
    for (int i = 0; i <= SHRINKS; i++) {
        if (!probe_at(c, l, *h, p)) return false;
        if (p->finite) return true;
        *h /= 4;
    }
    return true;
}

bool tg__measure(tg__check *c, const tg__line *l, tg__slope *s)
{
    double table[2][TG__COLUMNS], h;
    probe p[2];
    if (!first_probe(c, l, &h, &p[0])) return false;
    *s = (tg__slope){ .error = INFINITY, .step = h, .finite = p[0].finite };
    int kinks = 0, jumps = 0; /* rows in sequence that see one */
    double least = h, left = p[0].left, right = p[0].right;
    for (int i = 0; i < c->plan->rows && s->finite; i++, h /= 2) {
        probe *now = &p[i % 2], *before = &p[(i + 1) % 2];
        if (i > 0 && !probe_at(c, l, h, now)) return false;
        table[i % 2][0] = c->plan->forward ? now->right : now->central;
        if (!now->finite) s->finite = false;
        least = h, left = now->left, right = now->right;
        if (i == 0) continue;
        const double round = rounding(c, l, now, h);
        if (c->plan->columns > 1)
            extrapolate(c, i, round, h, table[(i + 1) % 2], table[i % 2], s);
        else take_row(c, round, h, table[(i + 1) % 2], table[i % 2], s);
        kinks = is_kink(before, now, round) ? kinks + 1 : 0;
        jumps = is_jump(before, now, round, h) ? jumps + 1 : 0;
        if (kinks == 0 && jumps == 0 && is_settled(c, l, s)) break;
    }
    s->kink = kinks >= (c->plan->rows > 2 ? 2 : 1); /* two are asked for where there are enough */
    s->jump = !s->kink && jumps >= JUMPS;
    s->least = least, s->left = left, s->right = right;
    return true;
}

/* The noise of computed functions by differences of high order, in which what is smooth drops out
   (J. J. More, S. M. Wild, Estimating computational noise, 2011). */
bool tg__measure_noise(tg__check *c, const tg__line *l, double step, double *noise)
{
    const double x = l->u ? 1 : c->inputs[l->input].data[l->element];
    const double h = fmax(step, 4 * DBL_EPSILON * fabs(x));
    double table[POINTS], gamma = 1;
    for (int i = 0; i < POINTS; i++) {
        if (!value_at(c, l, h * (i - POINTS / 2), c->plus)) return false;
        table[i] = difference(c, l, c->plus, c->y);
    }
    *noise = 0;
    for (int k = 1; k < POINTS - 1; k++) {
        double sum = 0;
        for (int i = 0; i < POINTS - k; i++) {
            table[i] = table[i + 1] - table[i];
            sum += table[i] * table[i];
        }
        gamma *= k / (2.0 * (2 * k - 1)); /* (k!)^2 / (2k)! */
        if (k >= 4) *noise = fmax(*noise, 3 * sqrt(gamma * sum / (POINTS - k)));
    }
    if (!isfinite(*noise)) *noise = 0;
    return true;
}
