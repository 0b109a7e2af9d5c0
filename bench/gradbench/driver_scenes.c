/* GradBench's functions with Jacobians, ba and ht, and those with derivatives inside, particle and
   saddle. */
#include <math.h>
#include <stdlib.h>

#include "driver.h"
#include "nested.h"
#include <tapegrad/short.h>

/* ---- ba ---------------------------------------------------------------------------------------- */

enum { CAMERA = 11, POINT = 3, ROW = CAMERA + POINT + 1 };

static const json *list_of(work *k, const json *input, const char *key, size_t count)
{
    const json *const list = json_get(input, key);
    if (list && list->kind == JSON_LIST && list->count == count) return list;
    refuse(k, "ba: cam has 11 numbers, x 3, feat 2");
    return NULL;
}

/* The same numbers for each of p observations: (p, count). */
static Value repeated(work *k, const json *list, int64_t p)
{
    double *const x = room((size_t)p * list->count + 1, sizeof *x);
    for (int64_t i = 0; i < p; i++)
        for (size_t j = 0; j < list->count; j++) x[(size_t)i * list->count + j] = list->item[j].number;
    const Value v = input(k->tape, x, p, (int64_t)list->count);
    free(x);
    return v;
}

/* A row of the Jacobian is its observation's own: these are the instances. Camera and point of observation
   i are the i-th, modulo how many there are. */
static void ba_prepare(work *k, const json *input)
{
    static const char *const sizes[] = { "n", "m", "p" };
    for (int i = 0; i < 3; i++) {
        const double size = number_of(k, input, sizes[i]);
        if (!(size >= (i == 2 ? 10 : 1) && size <= 1e8)) refuse(k, "ba: n and m are at least 1, p at least 10");
        else k->size[i] = (int64_t)size;
    }
    const double w = number_of(k, input, "w");
    const json *const camera = list_of(k, input, "cam", CAMERA), *const x = list_of(k, input, "x", POINT);
    const json *const feature = list_of(k, input, "feat", 2);
    if (*k->error) return;
    if (camera->item[0].number == 0 && camera->item[1].number == 0 && camera->item[2].number == 0)
        refuse(k, "ba: a camera that is not turned at all");
    const json weight = { .kind = JSON_LIST, .item = &(json){ .kind = JSON_NUMBER, .number = w }, .count = 1 };
    k->data[0] = repeated(k, camera, k->size[2]);
    k->data[1] = repeated(k, x, k->size[2]);
    k->data[2] = repeated(k, &weight, k->size[2]);
    k->number[0] = feature->item[0].number, k->number[1] = feature->item[1].number;
}

/* a x b + c y d + e z f */
static Value three(const Value *a, const Value *b)
{
    return add(add(mul(a[0], b[0]), mul(a[1], b[1])), mul(a[2], b[2]));
}

/* Both residuals of an observation, and 1 - w^2. */
static void residuals(const work *k, Value camera, Value position, Value w, Value *e)
{
    Value c[CAMERA], x[POINT], axis[3], seen[3];
    for (int i = 0; i < CAMERA; i++) c[i] = at(camera, i);
    for (int i = 0; i < POINT; i++) x[i] = sub(at(position, i), c[3 + i]);
    const Value angle = sqrt(three(c, c)), cosine = cos(angle), sine = sin(angle);
    for (int i = 0; i < 3; i++) axis[i] = div(c[i], angle);
    const Value along = mul(three(axis, x), sub(1, cosine));
    for (int i = 0; i < 3; i++) {
        const int a = (i + 1) % 3, b = (i + 2) % 3;
        const Value across = sub(mul(axis[a], x[b]), mul(axis[b], x[a]));
        seen[i] = add(add(mul(x[i], cosine), mul(across, sine)), mul(axis[i], along));
    }
    const Value u = div(seen[0], seen[2]), v = div(seen[1], seen[2]), r2 = add(square(u), square(v));
    const Value scale = mul(c[6], add(1, mul(r2, add(c[9], mul(c[10], r2)))));
    e[0] = mul(w, sub(add(mul(u, scale), c[7]), k->number[0]));
    e[1] = mul(w, sub(add(mul(v, scale), c[8]), k->number[1]));
    e[2] = sub(1, square(w));
}

static tg_program *compile_residuals(work *k, tg_status *status)
{
    const double some[CAMERA] = { 1, 1, 1, 0, 0, 0, 1 };
    const Value camera = param(k->tape, some, CAMERA), x = param(k->tape, some, POINT), w = scalar(k->tape, 1);
    Value e[3];
    residuals(k, camera, x, w, e);
    for (int i = 0; i < 3; i++) k->in[i] = tg_data(k->data[i]);
    k->count = k->size[2];
    return tg_compile(e, 3, TG_VALUES(camera, x, w), NULL, 0, NULL, status);
}

/* e (2, p), then 1 - w^2 (p). */
static void ba_value(work *k)
{
    tg_status status = { 0 };
    const int64_t p = k->size[2];
    result_of(k, 0, 3 * p);
    k->program = compile_residuals(k, &status);
    if (!is_fine(k, &status)) return;
    for (int i = 0; i < 3; i++) k->to[i] = k->out + i * p;
    make_room(k);
}

/* The values of the Jacobian in the order of its rows: two of 15 for each observation, then one of 1. */
static void ba_jacobian(work *k)
{
    static const int by[] = { 0, 1, 2 }, place[] = { 0, CAMERA, CAMERA + POINT };
    enum { BY = 3, ROWS_BY = 2 * BY }; /* behind the residuals the first two's derivatives */
    static tg_output_layout layout[OUTPUTS];
    for (int i = 0; i < ROWS_BY; i++) layout[BY + i].instance = 2 * ROW;
    tg_status status = { 0 };
    const int64_t p = k->size[2];
    result_of(k, 0, p * (2 * ROW + 1));
    tg_program *const e = compile_residuals(k, &status);
    if (e) k->program = tg_jacobian_program(e, by, 3, &status);
    tg_program_free(e);
    if (!is_fine(k, &status)) return;
    for (int i = 0; i < ROWS_BY; i++) k->to[BY + i] = k->out + i / BY * ROW + place[i % BY];
    k->to[OUTPUTS - 1] = k->out + p * 2 * ROW; /* 1 - w^2 by w */
    k->options.outputs = layout;
    make_room(k);
}

static void ba_write_value(const work *k, json *message)
{
    const int64_t p = k->size[2];
    json *const output = json_add(message, "output", JSON_OBJECT);
    json *const error = json_add(output, "reproj_error", JSON_OBJECT);
    add_numbers(error, "elements", (const double[]){ k->out[0], k->out[p] }, 0, 2);
    json_add_number(error, "repeated", (double)p);
    json *const weight = json_add(output, "w_err", JSON_OBJECT);
    json_add_number(weight, "element", k->out[2 * p]);
    json_add_number(weight, "repeated", (double)p);
}

/* In short, as all observations are alike: the first 30 numbers of each array, and the last one. */
static void ba_write_jacobian(const work *k, json *message)
{
    enum { SHOWN = 2 * ROW };
    const int64_t n = k->size[0], m = k->size[1], p = k->size[2];
    double rows[SHOWN + 1], columns[SHOWN + 1], values[SHOWN + 1];
    for (int i = 0; i < SHOWN; i++) {
        const int j = i % ROW;
        const int64_t after = CAMERA * n + (j < CAMERA + POINT ? j - CAMERA : POINT * m);
        rows[i] = i <= 2 * p ? (double)ROW * i : (double)(2 * ROW * p + i - 2 * p);
        columns[i] = (double)(j < CAMERA ? j : after);
        values[i] = k->out[i];
    }
    rows[SHOWN] = (double)((2 * ROW + 1) * p);
    columns[SHOWN] = (double)(CAMERA * n + POINT * m + p - 1);
    values[SHOWN] = k->out[k->columns - 1];
    json *const output = json_add(message, "output", JSON_OBJECT);
    add_numbers(output, "rows", rows, 0, SHOWN + 1);
    add_numbers(output, "cols", columns, 0, SHOWN + 1);
    add_numbers(output, "vals", values, 0, SHOWN + 1);
}

/* ---- ht ---------------------------------------------------------------------------------------- */

enum { ANGLES = 26, MOST_BONES = 32, FIRST_FINGER = 2, JOINTS = 4 };
enum { POSITIONS, WEIGHTS, POINTS, CORNERS, RELATIVES, INVERSES };

typedef struct hand_model {
    int bones, parent[MOST_BONES];
    bool mirrored, by_triangles; /* the correspondences: points of triangles, or vertices */
    double *along;               /* directions */
    tg_input_layout in[2 + 2];
    tg_output_layout column;
} hand_model;

/* Indices of the vertices that correspond to each point: (m, 3) of triangles, or (m). */
static Value corners_of(work *k, const json *data, const json *triangles, bool by_triangles)
{
    const json *const chosen = json_get(data, "correspondences");
    const size_t m = chosen ? chosen->count : 0, each = by_triangles ? 3 : 1;
    int64_t *const index = room(m * each + 1, sizeof *index);
    for (size_t i = 0; i < m; i++) {
        const double which = chosen->item[i].number;
        if (!by_triangles) index[i] = (int64_t)which;
        else if (!triangles || !(which >= 0 && which < (double)triangles->count) ||
                 triangles->item[(size_t)which].count != 3)
            refuse(k, "ht: there is no such triangle");
        else
            for (size_t j = 0; j < 3; j++) index[3 * i + j] = (int64_t)triangles->item[(size_t)which].item[j].number;
    }
    const Value v = tg_index_new(k->tape, sizeof *index, index, 1, (const int64_t[]){ (int64_t)(m * each) }, NULL);
    free(index);
    return v;
}

static void ht_prepare(work *k, const json *input)
{
    const json *const data = json_get(input, "data"), *const model = json_get(data, "model");
    const json *const us = json_get(input, "us"), *const parents = json_get(model, "parents");
    hand_model *const own = k->own = room(1, sizeof *own);
    k->leaf[0] = tensor(k, TG_PARAMETER, json_get(input, "theta"));
    own->by_triangles = us && us->count > 0;
    if (own->by_triangles) k->leaf[1] = tensor(k, TG_PARAMETER, us);
    k->leaves = own->by_triangles ? 2 : 1;
    k->data[POSITIONS] = tensor(k, TG_INPUT, json_get(model, "base_positions"));
    k->data[WEIGHTS] = tensor(k, TG_INPUT, json_get(model, "weights"));
    k->data[POINTS] = tensor(k, TG_INPUT, json_get(data, "points"));
    k->data[RELATIVES] = tensor(k, TG_INPUT, json_get(model, "base_relatives"));
    k->data[INVERSES] = tensor(k, TG_INPUT, json_get(model, "inverse_base_absolutes"));
    own->bones = parents ? (int)parents->count : 0;
    const json *const mirrored = json_get(model, "is_mirrored");
    own->mirrored = mirrored && mirrored->kind == JSON_TRUE;
    if (own->bones < 1 || own->bones > MOST_BONES || tg_size(k->leaf[0]) != ANGLES ||
        tg_size(k->data[RELATIVES]) != 16 * own->bones || tg_size(k->data[INVERSES]) != 16 * own->bones) {
        refuse(k, "ht: theta has 26 numbers, and there are 1 to 32 bones with a 4 x 4 matrix each");
        return;
    }
    for (int b = 0; b < own->bones; b++) {
        own->parent[b] = (int)parents->item[b].number;
        if (own->parent[b] < -1 || own->parent[b] >= b) refuse(k, "ht: a bone comes before its parent");
    }
    k->data[CORNERS] = corners_of(k, data, json_get(model, "triangles"), own->by_triangles);
    k->size[0] = tg_size(k->data[POINTS]) / 3;
}

/* Turned by the angle x about the first axis, then by z about the third: (4, 4). */
static Value turn(tg_tape *t, Value x, Value z)
{
    const Value zero = tg_number(t, 0), one = tg_number(t, 1);
    const Value cx = cos(x), sx = sin(x), cz = cos(z), sz = sin(z);
    return reshape(stack(TG_VALUES(cz, neg(mul(sz, cx)), mul(sz, sx), zero, sz, mul(cz, cx), neg(mul(cz, sx)), zero,
                                   zero, sx, cx, zero, zero, zero, zero, one)), 4, 4);
}

/* About the axis r by its length (Rodrigues): (3, 3). */
static Value rotation(tg_tape *t, const Value *r)
{
    const Value angle = sqrt(three(r, r)), c = cos(angle), s = sin(angle), rest = sub(1, c);
    Value axis[3], m[9];
    if (tg_true(lt(angle, 1e-4))) {
        for (int i = 0; i < 9; i++) m[i] = tg_number(t, i % 4 == 0);
        return reshape(stack(m, 9), 3, 3);
    }
    for (int i = 0; i < 3; i++) axis[i] = div(r[i], angle);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const Value both = mul(mul(axis[i], axis[j]), rest);
            const Value across = mul(axis[i == j ? 0 : 3 - i - j], s);
            m[3 * i + j] = i == j ? add(both, c) : (j - i + 3) % 3 == 1 ? sub(both, across) : add(both, across);
        }
    return reshape(stack(m, 9), 3, 3);
}

/* The bones' motions from rest: (bones, 4, 4). Of each finger's four joints three bend, and the first
   also spreads. */
static Value motions(const work *k)
{
    const hand_model *const own = k->own;
    Value absolute[MOST_BONES], motion[MOST_BONES];
    int angle = 6;
    for (int b = 0; b < own->bones; b++) {
        const int joint = (b - FIRST_FINGER) % JOINTS;
        Value relative = select(k->data[RELATIVES], .index = b);
        if (b >= FIRST_FINGER && joint < JOINTS - 1 && angle < ANGLES) {
            const Value bend = at(k->leaf[0], angle++);
            const Value spread = joint == 0 ? at(k->leaf[0], angle++) : tg_number(k->tape, 0);
            relative = matmul(relative, turn(k->tape, bend, spread));
        }
        absolute[b] = own->parent[b] < 0 ? relative : matmul(absolute[own->parent[b]], relative);
        motion[b] = matmul(absolute[b], select(k->data[INVERSES], .index = b));
    }
    return stack(motion, own->bones);
}

/* The distances of points to the hand: (m, 3). */
static Value distances(const work *k)
{
    const hand_model *const own = k->own;
    const Value theta = k->leaf[0], turned[3] = { at(theta, 0), at(theta, 1), at(theta, 2) };
    const Value moved = matmul(k->data[POSITIONS], transpose(motions(k))); /* (bones, n, 4) */
    const Value weights = unsqueeze(transpose(k->data[WEIGHTS]), .axis = 2);
    Value vertices = slice(sum(mul(moved, weights), .axis = 0), .axis = 1, .stop = 3);
    if (own->mirrored) {
        const double mirror[] = { -1, 1, 1 };
        vertices = mul(vertices, input(k->tape, mirror, 3));
    }
    vertices = add(matmul(vertices, transpose(rotation(k->tape, turned))), slice(theta, .axis = 0, .start = 3, .stop = 6));
    Value hand = index_select(vertices, k->data[CORNERS], .axis = 0);
    if (own->by_triangles) {
        const Value u0 = slice(k->leaf[1], .axis = 1, .stop = 1), u1 = slice(k->leaf[1], .axis = 1, .start = 1);
        const Value corner = reshape(hand, k->size[0], 3, 3), u[] = { u0, u1, sub(sub(1, u0), u1) };
        const Value of[] = { select(corner, .axis = 1, .index = 0), select(corner, .axis = 1, .index = 1),
                             select(corner, .axis = 1, .index = 2) };
        hand = three(u, of);
    }
    return sub(k->data[POINTS], hand);
}

static void ht_value(work *k)
{
    result_of(k, 0, 3 * k->size[0]);
    compile_work(k, distances(k), false);
}

/* Forward: an instance is a direction, a point's own two coordinates, of all points together, or an angle. */
static void ht_jacobian(work *k)
{
    const int own = k->leaves == 2 ? 2 : 0;
    const int64_t m = k->size[0], columns = own + ANGLES;
    hand_model *const hand = k->own;
    tg_status status = { 0 };
    result_of(k, 3 * m, columns);
    const Value e = distances(k), shift = param(k->tape, (double *)NULL, 2), angles = param(k->tape, (double *)NULL, ANGLES);
    if (!is_fine(k, NULL)) return;
    tg_program *const p = tg_compile(&e, 1, NULL, 0, k->leaf, k->leaves, NULL, &status);
    if (p) k->inner = tg_jvp_program(p, NULL, 0, &status);
    tg_program_free(p);
    if (!is_fine(k, &status)) return;
    Value in[] = { k->leaf[0], angles, angles, angles }, out[2];
    if (own) in[1] = k->leaf[1], in[2] = angles, in[3] = broadcast_to(shift, m, 2);
    if (!tg_call(k->inner, in, own ? 4 : 2, out)) return;
    k->program = tg_compile(out + 1, 1, TG_VALUES(angles, shift), k->leaf, k->leaves, NULL, &status);
    if (!is_fine(k, &status)) return;
    hand->along = room((size_t)(columns * columns), sizeof *hand->along);
    for (int64_t c = 0; c < columns; c++) hand->along[c * columns + c] = 1;
    hand->in[0] = hand->in[1] = (tg_input_layout){ .instance = columns };
    hand->column = (tg_output_layout){ .instance = 1, .column = columns };
    k->options = (tg_run_options){ .inputs = hand->in, .outputs = &hand->column };
    k->count = columns;
    k->in[0] = hand->along + own, k->in[1] = hand->along;
    for (int i = 0; i < k->leaves; i++) k->in[2 + i] = tg_data(k->leaf[i]);
    k->to[0] = k->out;
    make_room(k);
}

static void free_hand(work *k)
{
    if (k->own) free(((hand_model *)k->own)->along);
    free(k->own);
}

/* ---- particle, saddle -------------------------------------------------------------------------- */

static void run_nested(work *k, const problem *p)
{
    const nested *const s = k->own;
    p->way[PROGRAM](k->own, k->out);
    if (s->too_long) refuse(k, "the loop does not end, or not within a million steps");
}

static void particle_run(work *k)
{
    run_nested(k, &particle);
}

static void saddle_run(work *k)
{
    run_nested(k, &saddle);
}

static void stop_nested(work *k)
{
    if (k->own) nested_stop(k->own);
}

static void start_particle(work *k, const json *input, int variant)
{
    const double w = number_of(k, input, "w");
    result_of(k, 0, 0);
    if (!*k->error) k->own = particle_from(variant, w);
}

static void start_saddle(work *k, const json *input, int variant)
{
    const json *const start = json_get(input, "start");
    result_of(k, 0, 4);
    if (!start || start->count != 2 || start->item[0].kind != JSON_NUMBER || start->item[1].kind != JSON_NUMBER)
        refuse(k, "saddle: start is two numbers");
    else k->own = saddle_from(variant, (const double[]){ start->item[0].number, start->item[1].number });
}

/* The outer derivative, then the inner one: r reverse, f forward. */
#define NESTED(VARIANT, NUMBER)                                                                    \
    static void particle_##VARIANT(work *k, const json *input)                                     \
    {                                                                                              \
        start_particle(k, input, NUMBER);                                                          \
    }                                                                                              \
    static void saddle_##VARIANT(work *k, const json *input)                                       \
    {                                                                                              \
        start_saddle(k, input, NUMBER);                                                            \
    }
NESTED(rr, 0)
NESTED(rf, 1)
NESTED(fr, 2)
NESTED(ff, 3)

const function functions_of_scenes[] = {
    { "ba", "objective", ba_prepare, ba_value, run_work, ba_write_value, NULL },
    { "ba", "jacobian", ba_prepare, ba_jacobian, run_work, ba_write_jacobian, NULL },
    { "ht", "objective", ht_prepare, ht_value, run_work, write_result, free_hand },
    { "ht", "jacobian", ht_prepare, ht_jacobian, run_work, write_result, free_hand },
    { "particle", "rr", particle_rr, NULL, particle_run, write_result, stop_nested },
    { "particle", "rf", particle_rf, NULL, particle_run, write_result, stop_nested },
    { "particle", "fr", particle_fr, NULL, particle_run, write_result, stop_nested },
    { "particle", "ff", particle_ff, NULL, particle_run, write_result, stop_nested },
    { "saddle", "rr", saddle_rr, NULL, saddle_run, write_result, stop_nested },
    { "saddle", "rf", saddle_rf, NULL, saddle_run, write_result, stop_nested },
    { "saddle", "fr", saddle_fr, NULL, saddle_run, write_result, stop_nested },
    { "saddle", "ff", saddle_ff, NULL, saddle_run, write_result, stop_nested },
    { 0 },
};
