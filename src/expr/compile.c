/* From the steps of the parser to those that are run: names become places in the list, functions op
   codes, attributes structs; numbers among themselves are computed. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/expression.h"
#include "expr/expr.h"
#include "ops/attributes.h"
#include "tape/scalar.h"
#include "tape/tape.h"

enum { LONGEST_TEXT = UINT16_MAX, SHOWN = 40 };

/* What a step of the parser pushed. */
typedef struct operand {
    uint32_t place;
    bool is_number;
    double number;
    size_t at;
} operand;

typedef struct compiler {
    const tg__expr_source *source;
    tg__expr_mistake *mistake;
    tg__memory memory;
    tg__arena read, stack, step, place, number, attributes, word;
    tg__expression e;
    int height;   /* of the stack */
    int selected; /* axes that went away in the brackets before this step */
    bool uses_last;
} compiler;

/* ---- small things --------------------------------------------------------------------------- */

static bool wrong_code(compiler *c, tg_code code, const char *shown, size_t at)
{
    c->mistake->code = code;
    c->mistake->shown = shown;
    c->mistake->at = at;
    return false;
}

__attribute__((format(printf, 3, 4))) static bool wrong(compiler *c, size_t at, const char *format,
                                                        ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->mistake->reason, sizeof c->mistake->reason, format, args);
    va_end(args);
    return wrong_code(c, TG_ERROR_ARGUMENT, c->source->text, at);
}

static bool too_large(compiler *c, size_t at)
{
    return wrong(c, at, "the expression is too large: more than %d values and numbers at once",
                 TG__PLACES);
}

static bool no_memory(compiler *c)
{
    snprintf(c->mistake->reason, sizeof c->mistake->reason, "no memory for the expression");
    return wrong_code(c, TG_ERROR_MEMORY, NULL, 0);
}

/* bytes more at the end of the arena, without alignment of their own: arrays of one type. */
static void *more(tg__arena *a, size_t bytes)
{
    if (!tg__arena_grow(a, a->used + bytes)) return NULL;
    a->used += bytes;
    return a->data + a->used - bytes;
}

static int shown_length(size_t length)
{
    return length < SHOWN ? (int)length : SHOWN;
}

static operand *top(const compiler *c, int n)
{
    return (operand *)(void *)c->stack.data + c->height - n;
}

/* ---- names ---------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether two names are the same but for blanks: p -> W is p->W. */
static bool same_name(const char *a, size_t m, const char *b, size_t n)
{
    const char *const end_a = a + m, *const end_b = b + n;
    for (;; a++, b++) {
        while (a < end_a && is_blank(*a)) a++;
        while (b < end_b && is_blank(*b)) b++;
        if (a == end_a || b == end_b) return a == end_a && b == end_b;
        if (*a != *b) return false;
    }
}

/* The i-th name, as it stands in the list. The names of a list follow each other: from is where
   this one begins. */
static const char *name_at(const tg__expr_source *s, int i, const char *from, size_t *length)
{
    const char *const p = s->names ? s->names[i] : from;
    *length = s->names ? strlen(p) : strcspn(p, ",");
    return p;
}

static const char *next_name(const char *p, size_t length)
{
    return p[length] == ',' ? p + length + 1 : p + length;
}

/* The place of a name in the list; -1 if it is not there before the end-th. */
static int find_name(const tg__expr_source *s, const char *name, size_t length, int end)
{
    const char *p = s->list;
    for (int i = 0; i < end; i++) {
        size_t n;
        p = name_at(s, i, p, &n);
        if (same_name(p, n, name, length)) return i;
        p = next_name(p, n);
    }
    return -1;
}

static bool wrong_name(compiler *c, const char *p, const char *reason)
{
    const char *const shown = c->source->names ? p : c->source->list;
    while (is_blank(*p)) p++;
    snprintf(c->mistake->reason, sizeof c->mistake->reason, "%s", reason);
    return wrong_code(c, TG_ERROR_ARGUMENT, shown, (size_t)(p - shown));
}

/* Whether the text is what the grammar calls a name. */
static bool is_name(compiler *c, const char *p, size_t length)
{
    c->word.used = 0;
    char *const text = tg__arena_push(&c->word, length + 1);
    tg__step step[4];
    tg__expression e = { .text = text, .step = step, .room = 4 };
    if (!text) return no_memory(c);
    memcpy(text, p, length);
    text[length] = 0;
    /* (x) and +x read as x, but are no names. */
    const bool one = tg__expression_read(&e) && e.steps == 1 && step[0].kind == TG__STEP_NAME;
    if (one && !strpbrk(text, "(+")) return true;
    return wrong_name(
        c, p, "the list has values by name: an identifier or a chain of members such as p->W");
}

static bool check_names(compiler *c)
{
    const tg__expr_source *const s = c->source;
    const char *p = s->list;
    if (s->n < 1 || (!s->names && !s->list)) return wrong(c, 0, "the list of values is empty");
    if (s->n >= TG__PLACES / 2)
        return wrong(c, 0, "more than %d values in the list", TG__PLACES / 2 - 1);
    for (int i = 0; i < s->n; i++) {
        size_t length;
        if (s->names && !s->names[i]) return wrong(c, 0, "name %d of the list is NULL", i + 1);
        p = name_at(s, i, p, &length);
        if (!is_name(c, p, length)) return false;
        if (find_name(s, p, length, i) >= 0)
            return wrong_name(c, p, "a name that stands in the list twice");
        p = next_name(p, length);
    }
    return true;
}

/* ---- operands ------------------------------------------------------------------------------- */

static void push(compiler *c, operand x)
{
    *top(c, 0) = x; /* there is room: the parser knows how high the stack gets */
    c->height++;
}

static bool push_name(compiler *c, const tg__step *s)
{
    const int i = find_name(c->source, s->text, s->length, c->source->n);
    if (i < 0)
        return wrong(c, s->at, "there is no value named %.*s in the list", shown_length(s->length),
                     s->text);
    c->uses_last |= i == c->source->n - 1;
    push(c, (operand){ .place = (uint32_t)i, .at = s->at });
    return true;
}

/* The place of an operand; a number gets one when it is first needed as a value. */
static bool place_of(compiler *c, const operand *x, uint32_t *place)
{
    *place = x->place;
    if (!x->is_number) return true;
    tg_value *const number = more(&c->number, sizeof *number);
    if (!number) return no_memory(c);
    *number = tg__of_number(x->number);
    *place =
        (uint32_t)(c->source->n + c->e.depth) + (uint32_t)(c->number.used / sizeof *number) - 1;
    return true;
}

/* Appends a step that takes the uppermost n operands and pushes its result in their place. */
static bool emit(compiler *c, int code, int n, size_t at, uint32_t attributes)
{
    const tg__op *const op = tg__ops[code];
    if (n > TG__PLACES) return too_large(c, at);
    tg__expr_step *const step = more(&c->step, sizeof *step);
    uint16_t *const place = more(&c->place, (size_t)n * sizeof *place);
    if (!step || !place) return no_memory(c);
    *step = (tg__expr_step){ .code = (uint16_t)code,
                             .map = (uint16_t)(op->kind == TG__MAP && n <= 2 ? n : 0),
                             .operands = (uint32_t)n,
                             .first = (uint32_t)(c->place.used / sizeof *place) - (uint32_t)n,
                             .at = (uint32_t)at,
                             .attributes = attributes };
    for (int i = 0; i < n; i++) {
        uint32_t p;
        if (!place_of(c, top(c, n - i), &p)) return false;
        if (p >= TG__PLACES) return too_large(c, at);
        place[i] = (uint16_t)p;
    }
    c->height -= n;
    step->y = (uint32_t)(c->source->n + c->height);
    push(c, (operand){ .place = step->y, .at = at });
    return true;
}

/* Room for the attributes of one call. */
static void *attributes_room(compiler *c, const tg__attributes *kind, uint32_t *offset)
{
    void *const room = tg__arena_push(&c->attributes, kind->size);
    *offset = room ? (uint32_t)((char *)room - c->attributes.data) : 0;
    return room;
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* Numbers behind the operands of an op that takes a list, reshape(x, 3, 2): leaves n operands. */
static bool take_list(compiler *c, const tg__step *s, const tg__op *op, int n, uint32_t *offset)
{
    tg_list_attributes *const list = attributes_room(c, op->attributes, offset);
    if (!list) return no_memory(c);
    *list = (tg_list_attributes){ .count = s->operands - n };
    for (int i = 0; i < list->count; i++) {
        const operand *const x = top(c, list->count - i);
        if (!x->is_number || x->number != trunc(x->number) || fabs(x->number) > 0x1p53)
            return wrong(c, x->at, "%s takes whole numbers here", op->name);
        if (i == TG_MAX_RANK) return wrong(c, x->at, "more than %d numbers", TG_MAX_RANK);
        list->item[i] = (int64_t)x->number;
    }
    c->height -= list->count;
    return true;
}

static bool read_attributes(compiler *c, const tg__step *s, const tg__op *op, uint32_t *offset)
{
    void *const out = attributes_room(c, op->attributes, offset);
    c->word.used = 0;
    char *const text = tg__arena_push(&c->word, s->attributes_length + 1);
    if (!out || !text) return no_memory(c);
    memcpy(text, s->attributes, s->attributes_length);
    text[s->attributes_length] = 0;
    char message[160];
    size_t where = 0;
    if (tg__attributes_read(op->attributes, text, out, message, sizeof message, &where) == TG_OK)
        return true;
    return wrong(c, (size_t)(s->attributes - c->source->text) + where, "%s: %s", op->name, message);
}

/* Whether all operands are numbers, and the op is one that gives a number then; that number. */
static bool fold(const compiler *c, int code, int n, double *y)
{
    double x[3] = { 0 };
    if (tg__ops[code]->kind != TG__MAP) return false;
    for (int i = 0; i < n; i++) {
        if (!top(c, n - i)->is_number) return false;
        x[i] = top(c, n - i)->number;
    }
    *y = tg__scalar_value(code, x[0], x[1], x[2]);
    return true;
}

static bool wrong_count(compiler *c, const tg__step *s, const tg__op *op, int wanted)
{
    return wrong(c, s->at, "%s takes %s%d operand%s, not %d", op->name,
                 wanted < 0 ? "at least " : "", wanted < 0 ? 1 : wanted,
                 wanted == 1 || wanted < 0 ? "" : "s", s->operands);
}

/* Parts of derivatives have no name that is found. */
static int find_op(const tg__step *s)
{
    char name[64];
    if (s->length >= sizeof name) return 0;
    memcpy(name, s->text, s->length);
    name[s->length] = 0;
    return tg__find(name);
}

static bool call(compiler *c, const tg__step *s)
{
    const int code = find_op(s);
    if (!code)
        return wrong(c, s->at, "there is no operation named %.*s", shown_length(s->length),
                     s->text);
    const tg__op *const op = tg__ops[code];
    if (c->source->elementwise && op->kind != TG__MAP)
        return wrong(c, s->at, "%s is not elementwise: a rule may not use it", op->name);
    const int wanted = tg__operands(op->letters);
    const bool list = op->attributes == &tg__attributes_list && s->operands > wanted && wanted > 0;
    int n = list ? wanted : s->operands;
    if (n < 1 || (wanted > 0 && n != wanted)) return wrong_count(c, s, op, wanted);
    uint32_t attributes = TG__DEFAULTS;
    if (list && s->attributes)
        return wrong(c, (size_t)(s->attributes - c->source->text), "%s has its numbers already",
                     op->name);
    if (list && !take_list(c, s, op, n, &attributes)) return false;
    if (s->attributes && !op->attributes->fields)
        return wrong(c, (size_t)(s->attributes - c->source->text), "%s takes no attributes",
                     op->name);
    if (s->attributes && !read_attributes(c, s, op, &attributes)) return false;
    double y;
    if (fold(c, code, n, &y)) {
        const size_t at = top(c, n)->at;
        c->height -= n;
        push(c, (operand){ .is_number = true, .number = y, .at = at });
        return true;
    }
    return emit(c, code, n, s->at, attributes);
}

/* One position or range in brackets: a view. */
static bool part(compiler *c, const tg__step *s)
{
    if (c->source->elementwise)
        return wrong(c, s->at, "a part is not elementwise: a rule may not use it");
    if (top(c, 1)->is_number) return wrong(c, s->at, "a number has no parts");
    if (s->axis == 0) c->selected = 0;
    uint32_t offset;
    if (s->range) {
        tg_slice_attributes *const a = attributes_room(c, &tg__attributes_slice, &offset);
        if (!a) return no_memory(c);
        *a = (tg_slice_attributes){ .axis = s->axis - c->selected,
                                    .start = s->has_start ? s->start : TG_END,
                                    .stop = s->has_stop ? s->stop : TG_END,
                                    .step = s->step };
        return emit(c, TG__CODE_slice, 1, s->at, offset);
    }
    tg_select_attributes *const a = attributes_room(c, &tg__attributes_select, &offset);
    if (!a) return no_memory(c);
    *a = (tg_select_attributes){ .axis = s->axis - c->selected, .index = s->start };
    c->selected++;
    return emit(c, TG__CODE_select, 1, s->at, offset);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool read_text(compiler *c)
{
    const char *const text = c->source->text;
    if (!text) {
        snprintf(c->mistake->reason, sizeof c->mistake->reason, "the text is NULL");
        return wrong_code(c, TG_ERROR_ARGUMENT, NULL, 0);
    }
    const char *const end = memchr(text, 0, LONGEST_TEXT + 1);
    if (!end) return wrong(c, 0, "the expression is longer than %d characters", LONGEST_TEXT);
    const size_t length = (size_t)(end - text);
    tg__step *const step = tg__arena_push(&c->read, (length + 1) * sizeof *step);
    if (!step) return no_memory(c);
    c->e = (tg__expression){ .text = text, .step = step, .room = (int)length + 1 };
    if (!tg__expression_read(&c->e)) return wrong(c, c->e.at, "%s", c->e.message);
    return tg__arena_grow(&c->stack, (size_t)c->e.depth * sizeof(operand)) || no_memory(c);
}

static bool compile(compiler *c)
{
    if (!read_text(c) || !check_names(c)) return false;
    for (int i = 0; i < c->e.steps; i++) {
        const tg__step *const s = &c->e.step[i];
        bool ok = true;
        switch (s->kind) {
        case TG__STEP_NUMBER:
            push(c, (operand){ .is_number = true, .number = s->number, .at = s->at });
            break;
        case TG__STEP_NAME: ok = push_name(c, s); break;
        case TG__STEP_CALL: ok = call(c, s); break;
        case TG__STEP_PART: ok = part(c, s); break;
        }
        if (!ok) return false;
    }
    return true;
}

/* Copies an arena to where the block goes on, and moves that on. */
static const void *put(char **to, const tg__arena *a)
{
    char *const start = *to;
    if (a->used) memcpy(start, a->data, a->used);
    *to += (a->used + 63) / 64 * 64;
    return start;
}

/* Everything in one block: what is aligned to 64 bytes in an arena is so relative to its start,
   which alignment of 16 is enough for. */
static tg_expr *pack(compiler *c)
{
    uint32_t result;
    if (!place_of(c, top(c, 1), &result)) return NULL;
    if (result >= TG__PLACES) return too_large(c, 0), NULL;
    const tg__arena *const parts[] = { &c->attributes, &c->number, &c->step, &c->place };
    const size_t text = strlen(c->source->text) + 1, head = (sizeof(tg_expr) + 63) / 64 * 64;
    size_t bytes = head + text;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        bytes += (parts[i]->used + 63) / 64 * 64;
    tg__memory memory = { .allocator = c->source->allocator };
    tg_expr *const e = tg__allocate(&memory, bytes);
    if (!e) return no_memory(c), NULL;
    char *to = (char *)e + head;
    *e = (tg_expr){ .memory = memory,
                    .bytes = bytes,
                    .names = c->source->n,
                    .numbers = (int)(c->number.used / sizeof(tg_value)),
                    .steps = (int)(c->step.used / sizeof(tg__expr_step)),
                    .first_number = (uint32_t)(c->source->n + c->e.depth),
                    .result = result,
                    .uses_last = c->uses_last };
    e->attributes = put(&to, &c->attributes);
    e->number = put(&to, &c->number);
    e->step = put(&to, &c->step);
    e->place = put(&to, &c->place);
    e->text = memcpy(to, c->source->text, text);
    return e;
}

tg_expr *tg__expr_compile(const tg__expr_source *source, tg__expr_mistake *mistake)
{
    compiler c = { .source = source, .mistake = mistake, .memory.allocator = source->allocator };
    tg__arena *const all[] = { &c.read,   &c.stack,      &c.step, &c.place,
                               &c.number, &c.attributes, &c.word };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tg__arena_init(all[i], &c.memory);
    tg_expr *const e = compile(&c) ? pack(&c) : NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tg__arena_free(all[i]);
    return e;
}

void tg_expr_free(tg_expr *e)
{
    if (!e) return;
    tg__memory memory = e->memory;
    tg__deallocate(&memory, e, e->bytes);
}
