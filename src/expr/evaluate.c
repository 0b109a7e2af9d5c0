/* Recording a compiled expression: step by step, through the tape's way in; and the places in the
   source that have one. */
#include <stdio.h>
#include <string.h>

#include <tapegrad/tape.h>

#include "base/arena.h"
#include "expr/expr.h"
#include "tape/record.h"
#include "tape/scalar.h"
#include "tape/tape.h"

static const char *const what = "expr";

/* ---- errors --------------------------------------------------------------------------------- */

/* While an expression is recorded its tape's errors show the step. */
typedef struct frame {
    tg__context context; /* first: describe gets its address */
    const tg_expr *e;
    const tg__expr_step *step;
} frame;

static void describe(const tg__context *c, char *text, size_t size)
{
    const frame *const f = (const frame *)(const void *)c;
    if (f->step) tg__expr_point(f->e->text, f->step->at, text, size);
}

static void report(tg_tape *t, const tg_site *site, const tg__expr_mistake *m)
{
    char shown[200];
    *shown = 0;
    if (m->shown) tg__expr_point(m->shown, m->at, shown, sizeof shown);
    tg__error(t, m->code, what, site, "%s%s", m->reason, shown);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static bool is_number(tg_value v)
{
    return v.tape == TG__NUMBER;
}

/* All operands are C numbers: the result is one too. */
static tg_value record_numbers(tg_tape *t, const tg__expr_step *s, tg_value *x,
                               const void *attributes, const tg_site *site)
{
    double number[3] = { 0 };
    const int n = (int)s->operands;
    for (int i = 0; i < n && i < 3; i++) number[i] = tg__number_of(x[i]);
    if (tg__ops[s->code]->kind == TG__MAP)
        return tg__of_number(tg__scalar_value(s->code, number[0], number[1], number[2]));
    x[0] = tg_number_new(t, number[0], site);
    return tg__record(s->code, x, n, attributes, site);
}

/* The step's operands are at place p. */
static tg_value record_step(tg_tape *t, const tg_expr *e, const tg__expr_step *s, const tg_value *v,
                            const tg_site *site)
{
    tg_value x[TG__PLACES];
    const uint16_t *const place = e->place + s->first;
    const void *const attributes =
        s->attributes == TG__DEFAULTS ? NULL : e->attributes + s->attributes;
    bool only_numbers = true;
    for (uint32_t i = 0; i < s->operands; i++) {
        x[i] = v[place[i]];
        if (is_number(x[i])) continue;
        only_numbers = false;
        if (x[i].tape == t) continue;
        tg__error(t, TG_ERROR_HANDLE, tg__op_table[s->code]->name, site,
                  x[i].tape ? "the operands are values of two tapes" : "operand %u is a null value",
                  i + 1);
        if (x[i].tape) tg__error_too(x[i].tape, t);
        return (tg_value){ t, 0, 0 };
    }
    if (only_numbers) return record_numbers(t, s, x, attributes, site);
    return tg__record(s->code, x, (int)s->operands, attributes, site);
}

/* An elementwise op on plain scalars, as the inlined functions of ops.h do it. False: it is
   something else. */
static inline bool append_scalar(const tg__expr_step *s, const uint16_t *place, tg_value *v,
                                 const tg_site *site)
{
    if (!s->map) return false;
    const tg_value a = v[place[0]], b = v[place[s->map - 1]];
    tg__head *const h = tg__fast2(a, b, site);
    if (!h) return false;
    v[s->y] = tg__append(h, s->code, a.id, b.id,
                         tg__scalar_value(s->code, h->values[a.id], h->values[b.id], 0));
    return true;
}

/* The tape of the first value that has one. */
static tg_tape *tape_of(const tg_value *values, int n)
{
    for (int i = 0; i < n; i++)
        if (values[i].tape && !is_number(values[i])) return values[i].tape;
    return NULL;
}

static tg_value run(tg_tape *t, const tg_expr *e, const tg_value *values, const tg_site *site)
{
    tg_value v[TG__PLACES];
    memcpy(v, values, (size_t)e->names * sizeof *v);
    memcpy(v + e->first_number, e->number, (size_t)e->numbers * sizeof *v);
    frame f = { { describe }, e, NULL };
    const tg__context *const outer = t->context;
    t->context = &f.context;
    bool ok = true;
    for (const tg__expr_step *s = e->step, *const end = s + e->steps; ok && s < end; s++) {
        f.step = s;
        if (append_scalar(s, e->place + s->first, v, site)) continue;
        v[s->y] = record_step(t, e, s, v, site);
        ok = is_number(v[s->y]) || v[s->y].generation;
    }
    t->context = outer;
    if (!ok) return (tg_value){ t, 0, 0 };
    return is_number(v[e->result]) ? tg_number_new(t, tg__number_of(v[e->result]), site)
                                   : v[e->result];
}

/* ---- the ways in ---------------------------------------------------------------------------- */

/* The tape to record on; NULL where there is none, or it has an error. */
static tg_tape *ready_tape(const tg_value *values, int n, const tg_site *site)
{
    tg_tape *const t = tape_of(values, n);
    if (!t) tg__error(NULL, TG_ERROR_HANDLE, what, site, "none of the list is a value of a tape");
    return t && !t->failed ? t : NULL;
}

tg_value tg_expr_eval_at(const tg_expr *e, const tg_value *values, int n, const tg_site *site)
{
    if (!e || !values || n != e->names) {
        tg_tape *const t = values && n > 0 ? tape_of(values, n) : NULL;
        if (!e || !values)
            return tg__error(t, TG_ERROR_ARGUMENT, what, site, "the %s NULL",
                             e ? "values are" : "expression is");
        return tg__error(t, TG_ERROR_ARGUMENT, what, site,
                         "%d values given, the expression has %d names", n, e->names);
    }
    tg_tape *const t = ready_tape(values, n, site);
    return t ? run(t, e, values, site) : (tg_value){ tape_of(values, n), 0, 0 };
}

tg_expr *tg_expr_new(const char *text, const char *const *names, int n)
{
    tg__expr_mistake mistake;
    tg_expr *const e =
        tg__expr_compile(&(tg__expr_source){ .text = text, .names = names, .n = n }, &mistake);
    if (!e) report(NULL, NULL, &mistake);
    return e;
}

tg_value tg_eval_at(const char *text, const char *const *names, const tg_value *values, int n,
                    const tg_site *site)
{
    tg_tape *const t = values ? ready_tape(values, n, site) : NULL;
    if (!values) tg__error(NULL, TG_ERROR_ARGUMENT, what, site, "the values are NULL");
    if (!t) return (tg_value){ values ? tape_of(values, n) : NULL, 0, 0 };
    tg__expr_mistake mistake;
    tg_expr *const e =
        tg__expr_compile(&(tg__expr_source){ .text = text, .names = names, .n = n }, &mistake);
    if (!e) report(t, site, &mistake);
    const tg_value y = e ? run(t, e, values, site) : (tg_value){ t, 0, 0 };
    tg_expr_free(e);
    return y;
}

/* Reads the expression of a place, which another thread may be doing too: what is published first
   stays. */
static const tg_expr *read_site(tg_tape *t, tg__expr_site *site, int n)
{
    const tg__expr_source source = {
        .text = site->text, .list = site->names, .n = n, .elementwise = site->elementwise
    };
    tg__expr_mistake mistake;
    tg_expr *const e = tg__expr_compile(&source, &mistake), *first = NULL;
    if (!e) report(t, &site->site, &mistake);
    if (!e || __atomic_compare_exchange_n(&site->read, &first, e, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE))
        return e;
    tg_expr_free(e);
    return first;
}

static inline const tg_expr *expr_of(tg_tape *t, tg__expr_site *site, int n)
{
    const tg_expr *const e = __atomic_load_n(&site->read, __ATOMIC_ACQUIRE);
    return __builtin_expect(e != NULL, 1) ? e : read_site(t, site, n);
}

tg_value tg__expr_run(tg__expr_site *site, const tg_value *values, int n)
{
    tg_tape *const t = ready_tape(values, n, &site->site);
    const tg_expr *const e = t ? expr_of(t, site, n) : NULL;
    return e ? run(t, e, values, &site->site) : (tg_value){ tape_of(values, n), 0, 0 };
}

/* ---- rules ---------------------------------------------------------------------------------- */

enum { MOST_OPERANDS = 3 };

/* Whether a gradient flows to the operand; what is wrong with it, the value's expression says. */
static bool is_active(const tg_tape *t, tg_value x)
{
    return x.tape == t && tg__is_live(t, x) && tg__is_active(t, x.id);
}

/* The value, and its derivatives, which are recorded with their history so that they can be
   differentiated too, become one value through carry. The value has a history only where a
   derivative is made of it. */
tg_value tg__rule_run(tg__expr_site *part, const tg_value *x, int n)
{
    const tg_site *const site = &part->site;
    const tg_value none = { tape_of(x, n), 0, 0 };
    tg_tape *const t = ready_tape(x, n, site);
    const tg_expr *e[1 + MOST_OPERANDS];
    bool from_value = false;
    for (int i = 0; i <= n; i++) {
        e[i] = t ? expr_of(t, &part[i], i ? n + 1 : n) : NULL;
        if (!e[i]) return none;
        from_value |= i > 0 && e[i]->uses_last;
    }
    if (!from_value) tg_no_grad_begin(t);
    const tg_value value = run(t, e[0], x, site);
    if (!from_value) tg_no_grad_end(t);
    tg_value given[MOST_OPERANDS + 1],
        y = from_value && value.generation ? tg_detach_at(value, site) : value;
    memcpy(given, x, (size_t)n * sizeof *x);
    given[n] = value;
    for (int i = 0; i < n && y.generation; i++) {
        if (t->no_grad || !is_active(t, x[i])) continue;
        const tg_value derivative = run(t, e[1 + i], given, site);
        if (!derivative.generation) return none;
        y = tg__record(TG__CODE_carry, (const tg_value[]){ x[i], y, derivative }, 3, NULL, site);
    }
    return y;
}
