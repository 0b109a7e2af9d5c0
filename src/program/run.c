/* Running a program: block after block through the steps of its plan. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "program/run.h"

/* ---- sums over the batch ----------------------------------------------------------------------- */

/* Sums of chunks are added in pairs, and those in pairs, always the same tree: a member of the team keeps the sums
   of the largest complete subtrees of its chunks. This is in front of the numbers of one. */
typedef struct subtree {
    _Alignas(64) int64_t first, chunks; /* a power of two, of which first is a multiple */
} subtree;

static size_t subtree_bytes(const tg__replay *r)
{
    return sizeof(subtree) + r->plan->partials;
}

static subtree *last_subtree(const tg__replay *r)
{
    return (subtree *)(void *)(r->w->sums.data + r->w->sums.used - subtree_bytes(r));
}

static void add_numbers(const tg__replay *r, subtree *to, const char *x)
{
    r->g->k->add((int64_t)(r->plan->partials / tg__type_size(r->program->type)), (char *)(to + 1), 1, x, 1);
}

/* The subtree t, of numbers x, comes behind those that the member has, and completes some. False with the error. */
static bool add_subtree(const tg__replay *r, subtree t, const char *x)
{
    tg__arena *const sums = &r->w->sums;
    for (subtree *left; sums->used; sums->used -= subtree_bytes(r)) {
        left = last_subtree(r);
        if (left->chunks != t.chunks || t.first / t.chunks % 2 == 0) break;
        add_numbers(r, left, x);
        t = (subtree){ left->first, 2 * t.chunks };
        x = (char *)(left + 1);
    }
    subtree *const own = tg__arena_push(sums, subtree_bytes(r));
    if (!own) {
        tg__program_fail(r->status, TG_ERROR_MEMORY, "run", "no memory for sums over the batch");
        return false;
    }
    *own = t;
    if (x != (char *)(own + 1)) memcpy(own + 1, x, r->plan->partials);
    return true;
}

/* The chunk's partial sums, which begin again at 0. */
static bool add_partials(const tg__replay *r, int64_t chunk)
{
    if (!add_subtree(r, (subtree){ chunk, 1 }, r->w->partials.data)) return false;
    memset(r->w->partials.data, 0, r->plan->partials);
    return true;
}

/* The subtrees of another member, whose chunks come behind. */
static bool add_sums(const tg__replay *r, const tg__space *other)
{
    for (size_t at = 0; at < other->sums.used; at += subtree_bytes(r)) {
        const subtree *const t = (const subtree *)(const void *)(other->sums.data + at);
        if (!add_subtree(r, *t, (const char *)(t + 1))) return false;
    }
    return true;
}

/* The sums of all subtrees; zeros, if there was no chunk. */
static const char *whole_sums(const tg__replay *r)
{
    tg__arena *const sums = &r->w->sums;
    if (!sums->used) return r->w->partials.data;
    while (sums->used > subtree_bytes(r)) {
        const char *const x = (char *)(last_subtree(r) + 1);
        sums->used -= subtree_bytes(r);
        add_numbers(r, last_subtree(r), x);
    }
    return (char *)(last_subtree(r) + 1);
}

/* The parts of one sum: halves, their halves ..., the same tree at every level. */
static double fold_f64(const double *part)
{
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

static float fold_f32(const float *part)
{
    double half[8];
    for (int i = 0; i < 8; i++) half[i] = (double)(part[i] + part[i + 8]);
    return (float)fold_f64(half);
}

/* The totals, of all partial sums. */
static void fold_sums(const tg__replay *r, const char *sums)
{
    const tg__total *const t = (const tg__total *)(void *)r->plan->totals.data;
    const bool f64 = r->program->type == TG_F64;
    for (uint32_t i = 0; i < r->plan->n_totals; i++) {
        char *const total = r->w->shared + t[i].total;
        const void *const part = sums + t[i].partial;
        if (!t[i].lanes) memcpy(total, part, t[i].n * tg__type_size(r->program->type));
        else if (f64) *(double *)(void *)total = fold_f64(part);
        else *(float *)(void *)total = fold_f32(part);
    }
}

/* ---- guards ------------------------------------------------------------------------------------ */

/* At the end of a block of n instances. */
static void count_flips(const tg__replay *r, int64_t n)
{
    tg__flips *const f = &r->desk->flips;
    for (int64_t l = 0; l < n && r->desk->flipped; l++) {
        if (!r->desk->flip[l]) continue;
        if (f->count++ == 0) f->first = r->first + l, f->node = r->desk->flip[l];
        r->desk->flip[l] = 0;
    }
    r->desk->flipped = false;
}

static void add_flips(tg__flips *sum, const tg__flips *f)
{
    if (f->count && !sum->count) sum->first = f->first, sum->node = f->node;
    sum->count += f->count;
}

/* Says which condition would let C record something else. */
static bool report_flips(const tg__replay *r, const tg__flips *f)
{
    if (!r->status) return false;
    const tg__node *const node = tg__node_at(r->g, f->node);
    const bool then = ((const tg_guard_attributes *)tg__node_data(r->g, node))->expected;
    tg_status *const s = r->status;
    s->code = TG_ERROR_GUARD;
    const int at = tg__run_site(r, f->node, s->message, sizeof s->message - 200);
    char where[48] = "", more[80] = "";
    if (node->stage == TG__BODY) {
        snprintf(where, sizeof where, "instance %lld: ", (long long)f->first);
        snprintf(more, sizeof more, "; %lld of %lld instances go another way", (long long)f->count,
                 (long long)r->count);
    }
    snprintf(s->message + at, sizeof s->message - (size_t)at,
             "%sguard: the condition is %s, it was %s when recorded%s", where,
             then ? "false" : "true", then ? "true" : "false", more);
    return false;
}

/* The steps that are done once. */
static bool do_once(tg__replay *r, tg__stage stage)
{
    r->first = 0;
    r->desk->flips.count = 0;
    const bool ok = tg__run_steps(r, stage, 1);
    count_flips(r, 1);
    return r->desk->flips.count ? report_flips(r, &r->desk->flips) : ok;
}

/* ---- the batch --------------------------------------------------------------------------------- */

/* The instances of one chunk, from first on. */
static bool do_chunk(tg__replay *r, int64_t first)
{
    const int64_t end = r->count - first < TG__BATCH_CHUNK ? r->count : first + TG__BATCH_CHUNK;
    const uint32_t block = r->w->block;
    for (int64_t i = first, n; i < end; i += n) {
        n = end - i < block ? end - i : block;
        r->first = i;
        tg__run_gather(r, n);
        tg__run_point_block(r);
        const bool ok = tg__run_steps(r, TG__BODY, n);
        count_flips(r, n);
        if (!ok) return false;
        tg__run_write(r, true, n);
    }
    return true;
}

/* A run by all members. */
typedef struct sharing {
    const tg__replay *all;
    tg_workspace *w;
    tg__plan_kind kind;
    int members; /* that take part */
    int64_t chunks;
    atomic_int failed; /* the first member that has; their number: none has */
} sharing;

/* Fills in where a member has the values of a plan. */
static void point_to(tg__replay *r, tg_workspace *w, int member, tg__plan_kind kind)
{
    r->w = tg__space_of(w, member, kind);
    r->plan = r->w->plan;
    r->desk = &w->desk[member];
    r->p = (void **)(void *)r->w->pointers.data;
    r->lane = (const ptrdiff_t *)(const void *)r->w->lanes.data;
}

static tg__replay run_of(const tg__replay *all, tg_workspace *w, int member, tg__plan_kind kind)
{
    tg__replay r = *all;
    point_to(&r, w, member, kind);
    return r;
}

/* The first of a member's chunks, which lie one behind the other. */
static int64_t begin_of(const sharing *s, int member)
{
    const int64_t more = s->chunks % s->members;
    return s->chunks / s->members * member + (member < more ? member : more);
}

static void note_failure(sharing *s, int member)
{
    int first = atomic_load(&s->failed);
    while (member < first && !atomic_compare_exchange_weak(&s->failed, &first, member)) continue;
}

/* A member's chunks, unless one before them has failed. */
static void do_part(void *job, int member)
{
    sharing *const s = job;
    tg__replay r = run_of(s->all, s->w, member, s->kind);
    r.status = &r.desk->status;
    r.status->code = TG_OK;
    r.status->message[0] = '\0';
    r.desk->flips.count = 0;
    tg__arena_settle(&r.w->sums);
    r.w->sums.used = 0;
    memset(r.w->partials.data, 0, r.plan->partials);
    const int64_t end = begin_of(s, member + 1);
    bool ok = true;
    for (int64_t c = begin_of(s, member); ok && c < end && atomic_load(&s->failed) >= member; c++)
        ok = do_chunk(&r, c * TG__BATCH_CHUNK) && add_partials(&r, c);
    if (!ok) note_failure(s, member);
}

/* What the members have found, in the order of their chunks; false with the error of the first that failed. */
static bool join_parts(const sharing *s, const tg__replay *r)
{
    const int failed = atomic_load(&s->failed);
    tg__flips flips = { 0 };
    for (int i = 0; i < s->members && i <= failed; i++) add_flips(&flips, &s->w->desk[i].flips);
    if (flips.count) return report_flips(r, &flips);
    if (failed < s->members) {
        if (r->status) *r->status = s->w->desk[failed].status;
        return false;
    }
    for (int i = 1; i < s->members; i++)
        if (!add_sums(r, tg__space_of(s->w, i, s->kind))) return false;
    return true;
}

static uint32_t block_of(const tg__plan *plan, int64_t count)
{
    if (count >= (int64_t)plan->block) return plan->block;
    return count > 1 ? (uint32_t)count : 1;
}

/* The whole batch by one plan. */
static bool run_plan(const tg__replay *all, tg_workspace *w, tg__plan_kind kind)
{
    tg__replay r = run_of(all, w, 0, kind);
    const uint32_t block = block_of(r.plan, r.count);
    for (int i = 0; i < w->members; i++) {
        tg__replay other = run_of(all, w, i, kind);
        if (!tg__run_stage(&r, other.w)) return false;
        tg__run_point(&other, block);
    }
    if (r.plan->count != UINT64_MAX)
        tg__write_real(r.w->shared + r.plan->count, r.program->type, (double)r.count);
    if (!do_once(&r, TG__EARLY)) return false;
    const int64_t chunks = (r.count + TG__BATCH_CHUNK - 1) / TG__BATCH_CHUNK;
    const int members = chunks > 1 ? w->members : 1;
    sharing s = { .all = all, .w = w, .kind = kind, .members = members, .chunks = chunks, .failed = members };
    if (members > 1) tg__team_run(w->team, do_part, &s);
    else do_part(&s, 0);
    if (!join_parts(&s, &r)) return false;
    fold_sums(&r, whole_sums(&r));
    if (!do_once(&r, TG__LATE)) return false;
    tg__run_write(&r, false, 1);
    return true;
}

/* All steps of the plan for one instance; mostly it is one. */
static bool do_single(tg__replay *r)
{
    const tg__step *const s = tg__plan_steps(r->plan) + r->plan->begin[TG__EARLY];
    if (r->plan->begin[TG__BODY] - r->plan->begin[TG__EARLY] != 1 || s->kind != TG__STEP_SCALARS)
        return do_once(r, TG__EARLY);
    r->g->k->scalars((const uint32_t *)(void *)r->plan->words.data + s->width, r->w->body.data);
    return true;
}

/* One instance by the plan for it. */
static bool run_single(tg__replay *r)
{
    if (r->options->inputs) {
        if (!tg__run_stage(r, r->w)) return false;
        tg__run_gather(r, 1);
    }
    tg__run_take_single(r);
    if (!do_single(r)) return false;
    r->finite = tg__run_write_single(r);
    return true;
}

/* Again by the careful plan, if the one there was is quick and the results are not finite. */
static bool be_careful(const tg__replay *r, tg_workspace *w, tg__plan_kind *kind)
{
    if (!r->plan->quick || (*kind == TG__PLAN_SINGLE ? r->finite : tg__run_all_finite(r))) return true;
    *kind = TG__PLAN_CAREFUL;
    return tg__spaces_make(w, *kind, r->status) && run_plan(r, w, *kind);
}

bool tg_run_with(const tg_program *p, tg_workspace *w, int64_t count, const void *const *inputs,
                 void *const *outputs, const tg_run_options *options, tg_status *status)
{
    static const tg_run_options plain = { .run = 0 };
    if (!tg__run_check(p, w, count, inputs, outputs, status)) return false;
    tg__plan_kind kind = count == 1 ? TG__PLAN_SINGLE : TG__PLAN_QUICK;
    if (!tg__spaces_make(w, kind, status)) return false;
    tg__replay r = { .program = p, .g = &p->graph, .inputs = inputs, .outputs = outputs,
                     .options = options ? options : &plain, .status = status, .count = count };
    point_to(&r, w, 0, kind);
    if (!tg__run_check_inputs(&r)) return false;
    if (!(count == 1 ? run_single(&r) : run_plan(&r, w, kind)) || !be_careful(&r, w, &kind)) return false;
    if (p->states.used) {
        point_to(&r, w, 0, kind);
        tg__run_write_states(&r);
    }
    return true;
}

/* ---- again and again ----------------------------------------------------------------------------- */

bool tg__repeat_begin(tg__repeat *k, const tg_program *p, tg_workspace *w, const void *const *inputs,
                      void *const *outputs, tg_status *status)
{
    if (!tg__spaces_make(w, TG__PLAN_SINGLE, status)) return false;
    *k = (tg__repeat){ .run = { .program = p, .g = &p->graph, .inputs = inputs, .outputs = outputs,
                                .options = &k->options, .status = status, .count = 1 },
                       .workspace = w };
    point_to(&k->run, w, 0, TG__PLAN_SINGLE);
    return true;
}

bool tg__repeat_run(tg__repeat *k, uint64_t run)
{
    tg__replay *const r = &k->run;
    tg__plan_kind kind = TG__PLAN_SINGLE;
    k->options.run = run;
    if (r->program->indices.used && !tg__run_check_inputs(r)) return false;
    return run_single(r) && be_careful(r, k->workspace, &kind);
}

bool tg_run(const tg_program *p, tg_workspace *w, int64_t count, const void *const *inputs,
            void *const *outputs, tg_status *status)
{
    return tg_run_with(p, w, count, inputs, outputs, NULL, status);
}
