/* Logarithms of running sums of exponentials, line by line, in double for both types; and the table of all kernels of
   scan.h. Included by kernel.c after softargmax.inl.

   Exponentials are summed relative to a reference, which moves only when it is FAR off: each move costs a rounding of the
   sum, but makes the sum so far this many powers of e smaller. From one move to the next exponentials, sums and logarithms
   are taken of some steps at a time. */
enum { FAR = 30, LOG_STEPS = 128 };

/* The elementwise functions of doubles, which only the kernels of doubles have. */
#define EXP_DOUBLES JOIN(tg__exp, doubles, TG_LEVEL)
#define LOG_DOUBLES JOIN(tg__log, doubles, TG_LEVEL)
void EXP_DOUBLES(int64_t n, double *x);
void LOG_DOUBLES(int64_t n, double *x);
#ifndef TG_REAL_F32
void EXP_DOUBLES(int64_t n, double *x) { exp_all(n, x, x); }
void LOG_DOUBLES(int64_t n, double *x) { log_all(n, x, x); }
#endif

typedef struct log_sum {
    running sum;
    double reference;
} log_sum;

static void move_reference(log_sum *s, double to, double factor)
{
    EXP_DOUBLES(1, &factor);
    s->sum = (running){ s->sum.sum * factor, s->sum.lost * factor };
    s->reference = to;
}

/* Each of the first n <= LOG_STEPS elements becomes the sum of all up to it. */
static void running_sums(int64_t n, double *v, running *r)
{
    for (int64_t j = n; j % EIGHT; j++) v[j] = 0;
    for (int64_t j = 0; j < n; j += EIGHT) {
        doubles part;
        memcpy(&part, v + j, sizeof part);
        part = eight_sums(r, part, false);
        memcpy(v + j, &part, sizeof part);
    }
}

/* n elements of line l, upwards or downwards from `at`. */
INLINE void load_line(int64_t n, double *to, const tg__scan_line *a, int64_t l, int64_t at, const int direction)
{
    const real *const x = (const real *)a->p + l * a->step + at * a->stride;
    if (a->stride == 1)
        for (int64_t j = 0; j < n; j++) to[j] = (double)x[direction * j];
    else
        for (int64_t j = 0; j < n; j++) to[j] = (double)x[direction * j * a->stride];
}

/* The logarithms, in place, of up to LOG_STEPS elements that follow the ones in s. */
static void log_sums(int64_t n, double *x, log_sum *s)
{
    for (int64_t j = 0, end; j < n; j = end) {
        if (x[j] > s->reference + FAR) move_reference(s, x[j], s->reference - x[j]);
        const double reference = s->reference;
        double sum[LOG_STEPS];
        for (end = j; end < n && !(x[end] > reference + FAR); end++) {
            const double v = x[end];
            sum[end - j] = v == -(double)INFINITY ? v : v == reference ? 0 : v - reference;
        }
        EXP_DOUBLES(end - j, sum);
        running_sums(end - j, sum, &s->sum);
        LOG_DOUBLES(end - j, sum);
        for (int64_t i = j; i < end; i++) x[i] = reference + sum[i - j];
    }
}

static void logcumsumexp(int64_t lines, int64_t n, const tg__scan_line *a)
{
    for (int64_t l = 0; l < lines; l++) {
        log_sum s = { .reference = -(double)INFINITY };
        for (int64_t j = 0; j < n; j += LOG_STEPS) {
            const int64_t m = n - j < LOG_STEPS ? n - j : LOG_STEPS;
            double x[LOG_STEPS];
            load_line(m, x, &a[1], l, j, 1);
            log_sums(m, x, &s);
            real *const y = (real *)a[0].p + l * a[0].step + j * a[0].stride;
            for (int64_t i = 0; i < m; i++) y[i * a[0].stride] = (real)x[i];
        }
    }
}

/* g[j] becomes the sum over all i up to j, and those in s, of g[i] exp(x[j] - y[i]): up to LOG_STEPS elements, from the back
   to the front of a line. y does not grow, so that its exponentials do. */
static void log_sums_backward(int64_t n, double *g, const double *y, const double *x, log_sum *s)
{
    for (int64_t j = 0, end; j < n; j = end) {
        if (s->reference - y[j] > FAR) move_reference(s, y[j], y[j] - s->reference);
        const double reference = s->reference;
        double part[LOG_STEPS], own[LOG_STEPS];
        for (end = j; end < n && !(reference - y[end] > FAR); end++) {
            part[end - j] = y[end] == reference ? 0 : reference - y[end];
            own[end - j] = x[end] - reference;
        }
        EXP_DOUBLES(end - j, part);
        EXP_DOUBLES(end - j, own);
        for (int64_t i = j; i < end; i++) part[i - j] = g[i] == 0 ? 0 : g[i] * part[i - j];
        running_sums(end - j, part, &s->sum);
        for (int64_t i = j; i < end; i++) g[i] = part[i - j] * own[i - j];
    }
}

/* Behind the last g that is not 0 there is no gradient, and in front of the first y that is not -inf neither. */
static void logcumsumexp_backward(int64_t lines, int64_t n, const tg__scan_line *a)
{
    for (int64_t l = 0; l < lines; l++) {
        log_sum s = { .reference = 0 };
        bool begun = false;
        for (int64_t left = n, m; left > 0; left -= m) {
            double g[LOG_STEPS], y[LOG_STEPS], x[LOG_STEPS];
            m = left < LOG_STEPS ? left : LOG_STEPS;
            load_line(m, g, &a[0], l, left - 1, -1);
            load_line(m, y, &a[1], l, left - 1, -1);
            load_line(m, x, &a[2], l, left - 1, -1);
            int64_t first = 0, end = m;
            while (!begun && first < m && g[first] == 0) first++;
            while (end > first && y[end - 1] == -(double)INFINITY) end--;
            if (first == end) continue;
            if (!begun) s.reference = y[first];
            begun = true;
            log_sums_backward(end - first, g + first, y + first, x + first, &s);
            real *const dx = (real *)a[3].p + l * a[3].step + (left - 1) * a[3].stride;
            for (int64_t i = first; i < end; i++) dx[-i * a[3].stride] += (real)g[i];
        }
    }
}

#define SCAN_KERNELS                                                                               \
    {                                                                                              \
        .cumsum = cumsum, .cumsum_backward = cumsum_backward, .cumprod = cumprod,                  \
        .cumprod_backward = cumprod_backward, .logcumsumexp = logcumsumexp,                        \
        .logcumsumexp_backward = logcumsumexp_backward, .recurrence = recurrence,                  \
        .recurrence_backward = recurrence_backward                                                 \
    }
