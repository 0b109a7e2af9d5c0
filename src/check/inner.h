/* What the files of the gradient check share. A check is a function of some inputs, whose value at
   changed inputs can be asked for, and for each input (or for a Jacobian) a sheet of derivatives
   that somebody claims. Each entry of a sheet is the slope of the function along a line. */
#ifndef TG_CHECK_INNER_H
#define TG_CHECK_INNER_H

#include <tapegrad/check.h>

#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

/* Columns of the extrapolation table: few, so that rows whose interval held a kink fall out of
   it. */
#define TG__COLUMNS 6

/* A scheme: rows halve the step; with one column the value is the last row's. */
typedef struct tg__plan {
    const char *name;
    double rtol, step, first; /* first: the first row's step, relative to step */
    int rows, columns;
    bool forward;
} tg__plan;

/* A line through the inputs: x + t u, where u is a direction or, if that is NULL, the unit
   vector of one element; and which of the function's results to look at. */
typedef struct tg__line {
    int input;
    int64_t element; /* -1 for a direction */
    const double *u;
    int64_t output; /* -1: the weighted sum of all */
    double scale;   /* steps are relative to it: the size of x, or less */
    double size;    /* the size of x */
    double noise;   /* of the function, if it was measured */
    double terms;   /* of a direction: how large its slope would be if nothing cancelled */
} tg__line;

/* The derivative along a line. */
typedef struct tg__slope {
    double value, error, step;
    bool finite, kink, jump;
    double left, right, least; /* the slopes from both sides at the smallest step that was made */
} tg__slope;

/* Claimed derivatives, and what was measured of them. */
typedef struct tg__sheet {
    const char *name;
    int input;   /* the lines' */
    bool matrix; /* a Jacobian: entry i n + j is output i along element j */
    int rank;
    int64_t shape[TG_MAX_RANK];
    size_t size;
    double *analytic, *numeric, *error; /* (size) */
    unsigned char *known;               /* (size): 0, or 1 + the verdict */
} tg__sheet;

typedef struct tg__check tg__check;
struct tg__check {
    const tg__plan *plan;
    tg_check_options options;
    const char *kind; /* "gradcheck", "gradient", ... */
    const tg_check_input *inputs;
    int n;
    tg__sheet *sheet; /* (n) */

    tg__memory memory;
    tg__arena arena;

    /* The function at the inputs with one of them replaced; input -1: at the inputs themselves.
       Writes size results; false after an error, which is in the report. */
    bool (*evaluate)(tg__check *c, int input, const double *x, double *y);
    /* Names in the report what has the kink or jump that was met along a line. NULL: nobody knows. */
    bool (*find_kink)(tg__check *c, const tg__line *l, double step);

    /* Writes what the function computes at the inputs, for capsules. NULL: it is not known. */
    void (*print)(const tg__check *c, FILE *file);
    void *subject;
    double *moved, *u; /* the size of the largest input */
    double largest;    /* of all claimed derivatives, as a magnitude */

    size_t size;    /* of the function's value */
    double *weight; /* (size) */
    double *y, *plus, *minus;

    uint64_t random;
    bool nonzero;    /* some derivative is not zero */
    double badness;  /* of the worst comparison: its difference in tolerances */
    int worst;       /* its sheet, */
    tg__slope slope; /* and slope */
    char kink[128];  /* the place of the first kink or jump */
    tg_check_report *report;
};

/* check.c: small parts, and the frame of a check. */
size_t tg__input_size(const tg_check_input *input);
double tg__random_weight(tg__check *c);
double *tg__push_doubles(tg__check *c, size_t n);
__attribute__((format(printf, 3, 4))) bool tg__stop(tg__check *c, tg_verdict verdict,
                                                    const char *format, ...);
bool tg__stop_for_memory(tg__check *c);

/* False with a message if the call makes no sense; then nothing needs to be closed. */
bool tg__open(tg__check *c, const tg_check_options *options, tg_check_report *report);
bool tg__close(tg__check *c, bool agrees);

/* Room for the inputs' sheets, for size results; the value at the inputs, twice; weights. */
bool tg__make_sheets(tg__check *c);
bool tg__make_room(tg__check *c, size_t size);
bool tg__weigh(tg__check *c);

/* Compares all sheets with the function, and concludes. */
bool tg__compare_all(tg__check *c);

/* Writes the report's message anew, after its reason has become another. */
void tg__summarize(tg__check *c);

/* slope.c */
bool tg__measure(tg__check *c, const tg__line *l, tg__slope *s);
bool tg__measure_noise(tg__check *c, const tg__line *l, double step,
                       double *noise); /* among points step apart */
double tg__rounding(const tg__check *c, const tg__line *l, double h);
bool tg__central(tg__check *c, const tg__line *l, double h, double *slope, bool *finite);

/* diagnose.c: finds the pattern in a sheet with wrong entries; writes fault, factor, reason. */
void tg__diagnose(const tg__sheet *s, const tg_check_options *options, tg_check_report *report);
void tg__place(const tg__sheet *s, int64_t element, char *text, size_t size);

/* capsule.c */
bool tg__replay(tg__check *c, const double **data);
void tg__write_capsule(const tg__check *c);

#endif
