/* The walks over the tape: backwards, adding to the adjoints of each instruction's operands, and
   forwards, computing values again. */
#include <string.h>

#include "tape/record.h"
#include "tape/scalar.h"
#include "tape/tape.h"

enum { FEW = 4 };

/* An instruction's operands and result as arrays for its rules. */
typedef struct step {
    tg__call call;
    bool wanted; /* some operand has a gradient */
    tg__array few_x[FEW], few_dx[FEW], *dx;
    size_t few_steps[FEW], *steps; /* of the operands' gradients from plane to plane */
    uint32_t room[2];
    char message[256];
} step;

static tg_value failed(tg_tape *t, uint32_t i, const step *s, tg_code code)
{
    const tg_site site = tg__site_of(t, i);
    return tg__error(t, code, tg__name_at(t, i), &site, "%s",
                     code == TG_ERROR_MEMORY ? "no memory" : s->message);
}

static uint32_t offset_of(const tg_tape *t, uint32_t id)
{
    return id & TG__DESCRIPTOR ? tg__descriptor_of(t, id)->offset : id;
}

static bool is_idle(const tg_tape *t, uint32_t id)
{
    return t->flagged && tg__value_array(t, id).s->n > 0 &&
           tg__plane_flags(t)[offset_of(t, id)] & TG__UNWANTED;
}

static bool set_up(tg_tape *t, uint32_t i, bool backward, step *s)
{
    const tg__instruction *in = &t->head.code[i];
    int n;
    const uint32_t *id = tg__operand_ids(t, in, s->room, &n);
    tg__array *x = s->few_x, *dx = s->few_dx;
    s->steps = s->few_steps;
    t->scratch.used = 0;
    if (n > FEW) {
        x = tg__arena_push(&t->scratch, (size_t)n * sizeof *x);
        dx = tg__arena_push(&t->scratch, (size_t)n * sizeof *dx);
        s->steps = tg__arena_push(&t->scratch, (size_t)n * sizeof *s->steps);
        if (!x || !dx || !s->steps) return false;
    }
    s->dx = dx;
    s->call = (tg__call){ .op = tg__op_table[in->op],
                          .code = in->op,
                          .k = t->k,
                          .attributes = tg__attributes_of(t, in),
                          .n = n,
                          .x = x,
                          .y = tg__value_array(t, in->y),
                          .g = NULL,
                          .dx = dx,
                          .scratch = &t->scratch,
                          .message = s->message,
                          .message_size = sizeof s->message };
    for (int j = 0; j < n; j++) x[j] = tg__value_array(t, id[j]);
    s->wanted = false;
    for (int j = 0; backward && j < n; j++) {
        const char letter = tg__letter(s->call.op->letters, j);
        const bool wanted =
            tg__is_differentiable(letter) && tg__is_active(t, id[j]) && !is_idle(t, id[j]);
        s->wanted |= wanted;
        if (!wanted) {
            dx[j] = (tg__array){ x[j].s, NULL };
        } else if (t->flagged) {
            const tg__adjoints all = tg__adjoint_planes(t, id[j]);
            dx[j] = all.first;
            s->steps[j] = all.step;
        } else {
            dx[j] = tg__adjoint_array(t, id[j]);
        }
    }
    return true;
}

/* ---- backward -------------------------------------------------------------------------------- */

static bool all_zero(tg__array g)
{
    if (g.s->type == TG_F64) {
        const double *p = g.p;
        for (int64_t i = 0; i < g.s->n; i++)
            if (p[i] != 0) return false;
    } else {
        const float *p = g.p;
        for (int64_t i = 0; i < g.s->n; i++)
            if (p[i] != 0) return false;
    }
    return true;
}

/* One instruction of any kind. A zero incoming gradient contributes nothing, and takes no time. */
static bool step_back(tg_tape *t, uint32_t i)
{
    const tg__instruction *in = &t->head.code[i];
    if (in->op == TG__LEAF || in->flags & TG__INACTIVE) return true;
    const tg__array g = tg__adjoint_array(t, in->y);
    if (all_zero(g)) return true;
    step s;
    if (!set_up(t, i, true, &s)) return failed(t, i, &s, TG_ERROR_MEMORY), false;
    if (!s.wanted) return true; /* all its leaves were frozen after it was recorded */
    s.call.g = g.p;
    const tg_code code = s.call.op->backward(&s.call);
    if (code != TG_OK) failed(t, i, &s, code);
    return code == TG_OK;
}

/* To the next plane. */
static void go_on(const tg_tape *t, step *s)
{
    for (int j = 0; j < s->call.n; j++)
        if (s->dx[j].p) s->dx[j].p = (char *)s->dx[j].p + s->steps[j] * t->element;
    s->call.g = (const char *)s->call.g + (size_t)s->call.y.s->n * t->element;
}

/* How many planes of a gradient from number `from` on are not zero. */
static size_t count_planes(const tg_tape *t, tg__array g, size_t from)
{
    const size_t bytes = (size_t)g.s->n * t->element;
    size_t end = from;
    while (end < t->planes && !all_zero((tg__array){ g.s, (char *)g.p + end * bytes })) end++;
    return end - from;
}

/* The same for several cotangents: what there is to know of the instruction is found out once, and rules
   that take several planes get all up to the next zero one. */
static bool step_back_planes(tg_tape *t, uint32_t i)
{
    const tg__instruction *in = &t->head.code[i];
    if (in->op == TG__LEAF || in->flags & TG__INACTIVE || is_idle(t, in->y)) return true;
    const tg__array g = tg__adjoint_planes(t, in->y).first;
    size_t plane = 0, first = 0;
    while (first < t->planes && count_planes(t, g, first) == 0) first++;
    if (first == t->planes) return true;
    step s;
    if (!set_up(t, i, true, &s)) return failed(t, i, &s, TG_ERROR_MEMORY), false;
    if (!s.wanted) return true;
    s.call.g = g.p;
    s.call.steps = s.steps;
    const size_t used = t->scratch.used;
    while (plane < t->planes) {
        const size_t n = plane < first ? 0 : count_planes(t, g, plane);
        s.call.planes = s.call.op->writes ? n : 1;
        const tg_code code = n ? s.call.op->backward(&s.call) : TG_OK;
        if (code != TG_OK) return failed(t, i, &s, code), false;
        t->scratch.used = used;
        for (size_t j = n ? s.call.planes : 1; j > 0; j--, plane++) go_on(t, &s);
    }
    return true;
}

static bool walk_back(tg_tape *t, uint32_t last)
{
    const bool several = t->flagged;
    for (uint32_t end = last + 1; end > 0; end--) {
        if (t->type == TG_F64)
            end = several ? tg__scalar_backward_planes(t, end) : tg__scalar_backward(t, end);
        if (end == 0) break;
        if (!(several ? step_back_planes(t, end - 1) : step_back(t, end - 1))) return false;
    }
    return true;
}

/* Whether nothing ever looks at a leaf's adjoints: data that no gradient is wanted by, nor was when something
   was recorded of it. */
static bool is_data(const tg_tape *t, const tg__instruction *leaf)
{
    if (!(leaf->flags & TG__INACTIVE && leaf->y & TG__DESCRIPTOR)) return false;
    const tg__descriptor *const d = tg__descriptor_of(t, leaf->y);
    return d->s.type != TG_I64 && !(d->flags & TG__ASKED);
}

/* Adjoints of everything on the tape become zero, but for large data among its first leaves: clearing those of
   a batch would take as long as a small model does with it. */
static void clear_all(tg_tape *t)
{
    enum { LARGE = 1 << 15 /* bytes */ };
    const size_t size = t->head.n_values * t->element * t->planes;
    size_t from = 0;
    for (uint32_t i = 0; size >= LARGE && t->planes == 1 && i < t->head.n_code; i++) {
        const tg__instruction *const in = &t->head.code[i];
        if (in->op != TG__LEAF) break;
        if (!is_data(t, in)) continue;
        const tg__array x = tg__adjoint_array(t, in->y);
        const size_t bytes = (size_t)x.s->n * t->element, begin = (size_t)((char *)x.p - t->adjoint);
        if (bytes < LARGE || begin < from) continue;
        memset(t->adjoint + from, 0, begin - from);
        from = begin + bytes;
    }
    memset(t->adjoints.data + from, 0, size - from);
}

/* The same; with keep_leaves those of leaves stay as they are. */
static void clear(tg_tape *t, bool keep_leaves)
{
    if (!keep_leaves) {
        clear_all(t);
        return;
    }
    for (uint32_t i = 0; i < t->head.n_code; i++) {
        const tg__instruction *in = &t->head.code[i];
        const tg__array y = tg__adjoint_array(t, in->y);
        if (in->op != TG__LEAF && y.s->type != TG_I64) memset(y.p, 0, (size_t)y.s->n * t->element);
    }
    /* Leaves newer than the gradients there are start from zero. */
    if (t->graded < t->head.n_values)
        memset(t->adjoint + t->graded * t->element, 0, (t->head.n_values - t->graded) * t->element);
}

static void seed(const tg_tape *t, uint32_t root, const double *cotangent)
{
    const tg__array d = tg__adjoint_array(t, root);
    const tg__shape *s = d.s;
    const double one = 1;
    tg__shape source = *s;
    source.type = TG_F64;
    tg__shape_finish(&source);
    tg__walk w;
    tg__walk_begin(
        &w, 2,
        (const tg__array[]){ d, { &source, (void *)(uintptr_t)(cotangent ? cotangent : &one) } });
    do {
        const double *c = (const double *)(void *)w.p[1];
        for (int64_t i = 0; i < w.n; i++) {
            if (s->type == TG_F64)
                ((double *)(void *)w.p[0])[i * w.stride[0]] += c[i * w.stride[1]];
            else ((float *)(void *)w.p[0])[i * w.stride[0]] += (float)c[i * w.stride[1]];
        }
    } while (tg__walk_next(&w));
}

/* ---- values out of date ---------------------------------------------------------------------- */

static void tell_stale(tg_tape *t, uint32_t i, uint32_t leaf)
{
    const tg_site site = tg__site_of(t, i);
    const tg_site made = tg__site_of(t, leaf);
    const char *name =
        tg_name_of((tg_value){ t, t->head.code[leaf].y, tg__generation_of(t, leaf) });
    tg__error(t, TG_ERROR_HISTORY, "backward", &site,
              "%s was recorded here from the leaf %s%sof %s:%d, which has been written since: "
              "record again, or call "
              "tg_forward",
              tg__name_at(t, i), name ? name : "", name ? " " : "",
              made.file ? made.file : "?", made.line);
}

/* Where an entry's range begins, for comparing: 0 if it is everything that was recorded from its
   leaf. */
static uint32_t beginning(const tg__stale *s)
{
    return s->from == s->leaf + 1 ? 0 : s->from;
}

/* A value is out of date if a path leads from it to a written leaf through an instruction of the
   leaf's range. For the entries whose range begins at from: lowest[i] is the lowest instruction,
   not below from, on any path from root to i, which is all that the end of a range is to be
   compared with. */
static bool out_of_date_since(tg_tape *t, uint32_t root, uint32_t from, uint32_t *lowest)
{
    const tg__stale *list = (const tg__stale *)(void *)t->stale.data;
    if (root < from) return false;
    memset(lowest, 0xff, (root + (size_t)1) * sizeof *lowest);
    lowest[root] = root;
    for (uint32_t i = root + 1; i-- > 0;) {
        const tg__instruction *in = &t->head.code[i];
        if (lowest[i] == UINT32_MAX) continue;
        if (in->op != TG__LEAF && i >= from) lowest[i] = i;
        if (in->op == TG__LEAF && in->b && beginning(&list[in->b - 1]) == from && lowest[i] != i &&
            lowest[i] < list[in->b - 1].to) {
            tell_stale(t, lowest[i], i);
            return true;
        }
        uint32_t room[2];
        int m;
        const uint32_t *id = tg__operand_ids(t, in, room, &m);
        for (int j = 0; j < m; j++) {
            const uint32_t maker = tg__maker(t, id[j]);
            if (maker < i && lowest[i] < lowest[maker]) lowest[maker] = lowest[i];
        }
    }
    return false;
}

/* Whether the value of instruction root was made, by any path, from a leaf that was written
   afterwards. Ranges begin elsewhere than at their leaf only after tg_forward of an earlier value:
   as a rule there is one round. */
static bool out_of_date(tg_tape *t, uint32_t root)
{
    const tg__stale *list = (const tg__stale *)(void *)t->stale.data;
    const size_t n = t->stale.used / sizeof *list;
    if (n == 0) return false;
    t->scratch.used = 0;
    uint32_t *lowest = tg__arena_push(&t->scratch, (root + (size_t)1) * sizeof *lowest);
    if (!lowest) {
        tg__error(t, TG_ERROR_MEMORY, "backward", NULL, "no memory");
        return true;
    }
    for (uint32_t from = 0, next; from != UINT32_MAX; from = next) {
        if (out_of_date_since(t, root, from, lowest)) return true;
        next = UINT32_MAX;
        for (size_t i = 0; i < n; i++) {
            const uint32_t other = beginning(&list[i]);
            if (other > from && other < next) next = other;
        }
    }
    return false;
}

/* ---- the whole walk -------------------------------------------------------------------------- */

/* Whether an instruction that flags are known before has an operand that is not idle. */
static bool leads_on(const tg_tape *t, const tg__instruction *in)
{
    const uint8_t *const flag = tg__plane_flags(t);
    if (in->op == TG__LEAF || in->flags & TG__INACTIVE) return false;
    const char *const letters = tg__op_table[in->op]->letters;
    if (!in->flags) return !(flag[in->a] & flag[letters[1] ? in->b : in->a] & TG__UNWANTED);
    uint32_t room[2];
    int n;
    const uint32_t *const id = tg__operand_ids(t, in, room, &n);
    for (int j = 0; j < n; j++)
        if (tg__letter(letters, j) != 'i' && tg__is_active(t, id[j]) && !is_idle(t, id[j])) return true;
    return false;
}

/* Flags, and zeros for what is not idle. wrt NULL: for everything. */
static void begin_planes(tg_tape *t, const tg_value *wrt, int m)
{
    uint8_t *const flag = tg__plane_flags(t);
    const size_t bytes = t->planes * t->element;
    memset(flag, wrt ? TG__UNWANTED : 0, t->head.n_values);
    for (int i = 0; i < m; i++) flag[offset_of(t, t->head.code[tg__maker(t, wrt[i].id)].y)] = 0;
    uint32_t first = 0, end = 0; /* to be zero */
    for (uint32_t i = 0; i < t->head.n_code; i++) {
        const tg__instruction *const in = &t->head.code[i];
        const tg__descriptor *const d = in->y & TG__DESCRIPTOR ? tg__descriptor_of(t, in->y) : NULL;
        if (d && (d->s.type == TG_I64 || d->s.n == 0)) continue;
        const uint32_t start = d ? d->offset : in->y, n = d ? (uint32_t)d->s.n : 1;
        if (flag[start] & TG__UNWANTED && !leads_on(t, in)) continue;
        if (n > 1) memset(flag + start, TG__PART, n);
        else flag[start] = 0;
        if (start != end) {
            memset(t->adjoint + first * bytes, 0, (end - first) * bytes);
            first = start;
        }
        end = start + n;
    }
    memset(t->adjoint + first * bytes, 0, (end - first) * bytes);
}

/* Room for the adjoints of everything on the tape, once for each cotangent; flagged: and for flags. */
static bool make_planes(tg_tape *t, size_t count, bool flagged)
{
    const size_t values = t->head.n_values, bytes = values * t->element;
    if (count > SIZE_MAX / 2 / (bytes ? bytes : 1) ||
        !tg__arena_grow(&t->adjoints, count * bytes + (flagged ? values : 0)))
        return false;
    t->adjoints.used = count * bytes;
    t->adjoint = t->adjoints.data;
    t->planes = count;
    t->plane = 0;
    t->flagged = flagged;
    return true;
}

/* What leaves have of several planes becomes all there is: of the first, to which more is added. No
   leaf's place then is behind where it or a later one had been. */
static void keep_one_plane(tg_tape *t)
{
    for (uint32_t i = 0; t->planes > 1 && i < t->head.n_code; i++) {
        const tg__instruction *const in = &t->head.code[i];
        if (in->op != TG__LEAF || tg__value_array(t, in->y).s->type == TG_I64) continue;
        const uint32_t offset =
            in->y & TG__DESCRIPTOR ? tg__descriptor_of(t, in->y)->offset : in->y;
        const tg__array from = tg__adjoint_planes(t, in->y).first;
        if (offset < t->graded)
            memmove(t->adjoint + offset * t->element, from.p, (size_t)from.s->n * t->element);
    }
    t->planes = 1;
}

/* wrt: several cotangents only by these m values; NULL: by everything. */
static bool backward(tg_value root, const tg_backward_options *o, const tg_value *wrt, int m)
{
    tg_tape *t = tg__tape_of(root, "backward", NULL);
    if (!t) return false;
    const uint32_t last = tg__maker(t, root.id);
    const tg_site site = tg__site_of(t, last);
    const tg__shape *s = tg__value_array(t, root.id).s;
    if (s->type == TG_I64 || !tg__has_gradient(t, root.id)) {
        tg__error(t, TG_ERROR_HISTORY, "backward", &site,
                  "the value has no history: it is a constant, an input, detached, or recorded "
                  "without gradients");
        return false;
    }
    if (!o->cotangent && s->n != 1) {
        tg__error(t, TG_ERROR_SHAPE, "backward", &site,
                  "the value has shape %s: without a cotangent it needs one element",
                  TG__SHAPE_TEXT(s));
        return false;
    }
    if (out_of_date(t, last)) return false;
    const size_t count = o->count ? o->count : 1, size = (size_t)s->n;
    if (count > 1 && (o->accumulate || !o->cotangent)) {
        tg__error(t, TG_ERROR_ARGUMENT, "backward", &site,
                  "several cotangents need to be given, and cannot accumulate");
        return false;
    }
    if (o->accumulate) keep_one_plane(t);
    if (!make_planes(t, count, count > 1)) {
        tg__error(t, TG_ERROR_MEMORY, "backward", &site,
                  "no memory for %zu x the gradients of %u values", count, t->head.n_values);
        return false;
    }
    if (t->flagged) begin_planes(t, wrt, m);
    else clear(t, o->accumulate);
    t->graded = t->head.n_values;
    for (; t->plane < count && !is_idle(t, root.id); t->plane++)
        seed(t, root.id, o->cotangent ? o->cotangent + t->plane * size : NULL);
    t->plane = 0;
    const bool ok = walk_back(t, last);
    if (!ok) t->graded = 0;
    return ok;
}

bool tg_backward_with(tg_value root, const tg_backward_options *options)
{
    static const tg_backward_options defaults = { 0 };
    return backward(root, options ? options : &defaults, NULL, 0);
}

bool tg__backward_by(tg_value root, const double *cotangent, size_t count, const tg_value *wrt, int m)
{
    return backward(root, &(tg_backward_options){ .cotangent = cotangent, .count = count }, wrt, m);
}

void tg__gradients_end(tg_tape *t)
{
    t->planes = 0;
    t->graded = 0;
}

bool tg__clear_gradients(tg_tape *t)
{
    if (!make_planes(t, 1, false)) return false;
    clear(t, false);
    t->graded = t->head.n_values;
    return true;
}

bool tg_choose_gradient(tg_tape *t, size_t cotangent)
{
    if (!t || t->failed) return false;
    if (cotangent >= t->planes) {
        tg__error(t, TG_ERROR_ARGUMENT, "choose_gradient", NULL, "cotangent %zu of %zu", cotangent,
                  t->planes);
        return false;
    }
    t->plane = cotangent;
    return true;
}

bool tg_backward(tg_value root)
{
    return tg_backward_with(root, NULL);
}

/* ---- forward --------------------------------------------------------------------------------- */

static bool step_forward(tg_tape *t, uint32_t i)
{
    const tg__instruction *in = &t->head.code[i];
    if (in->op == TG__LEAF) return true;
    if (t->type == TG_F64 && !(in->flags & TG__TENSOR)) {
        const double *v = t->head.values;
        uint32_t room[2];
        int n;
        const uint32_t *id = tg__operand_ids(t, in, room, &n);
        t->head.values[in->y] =
            tg__scalar_value(in->op, v[id[0]], v[id[n > 1]], v[id[n > 2 ? 2 : 0]]);
        return true;
    }
    step s;
    if (!set_up(t, i, false, &s)) return failed(t, i, &s, TG_ERROR_MEMORY), false;
    const tg_code code = s.call.op->forward(&s.call);
    if (code != TG_OK) failed(t, i, &s, code);
    return code == TG_OK;
}

bool tg_forward(tg_value root)
{
    tg_tape *t = tg__tape_of(root, "forward", NULL);
    if (!t) return false;
    const uint32_t last = tg__maker(t, root.id);
    for (uint32_t i = 0; i <= last; i++)
        if (!step_forward(t, i)) return false;
    tg__stale_cut(t, last + 1);
    return true;
}
