/* Hand tracking: 26 angles bend 22 bones, chains of rigid motions; each vertex is moved by a weighted mean
   of its bones' motions, then the hand turned and shifted. Residuals are m points minus what is at u0, u1
   in a triangle of vertices each; the result is their dense Jacobian, 3 m x 28, by u0, u1 of each
   correspondence and the angles.

   Angles 0-2 turn the hand, 3-5 shift it; behind those each of five fingers has 4: its first bone is bent
   and spread, two more are bent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include "rotation.h"
#include <tapegrad/short.h>

enum { BONES = 22, ANGLES = 26, FINGERS = 5, PER_VERTEX = 4, COLUMNS = ANGLES + 2 };

/* (x, 1) -> first three columns times x, plus the last. */
typedef struct motion {
    double m[3][4];
} motion;

typedef struct state {
    given in;
    int64_t n, m;
    double angle[ANGLES];
    motion base[BONES], inverse[BONES]; /* by the bone before; back from where the bone rests */
    double *position, *weight;          /* (n, 4) with a 1 behind, (n, 22) */
    int (*bone)[PER_VERTEX];            /* those whose weights are not 0 */
    int64_t *corner;                    /* (m, 3) */
    double *u, *point;                  /* (m, 2), (m, 3) */
    bool *needed;                       /* (n): corner of some triangle */
    double *moved, (*dmoved)[3][COLUMNS]; /* (n, 3) vertices; by the angles, behind two zeros */
    tg_tape *tape;
    tg_mark mark;
    Value leaf[5], rest[2], weighted, corners[3]; /* leaf: two shifts of u, angles, u, points */
    tg_program *forward;
    compiled program;
    double along[COLUMNS][COLUMNS]; /* the columns' directions */
} state;

static int before(int bone)
{
    return bone < 2 ? bone - 1 : (bone - 2) % 4 == 0 ? 1 : bone - 1;
}

/* The angle that bends a bone; -1: it is stiff. */
static int bend_of(int bone)
{
    const int finger = (bone - 2) / 4, joint = (bone - 2) % 4;
    return bone < 2 || joint == 3 ? -1 : 6 + 4 * finger + (joint == 0 ? 0 : joint + 1);
}

/* The angle that spreads a bone; -1: there is none. */
static int spread_of(int bone)
{
    return bone >= 2 && (bone - 2) % 4 == 0 ? 6 + (bone - 2) + 1 : -1;
}

/* ---- with the library ------------------------------------------------------------------------ */

/* 4 x 4 motions of all bones: turned around x by the bend, then around z by the spread. */
static Value rotations(const state *s)
{
    const Value zero = tg_zeros(s->tape, 1), angles = cat(TG_VALUES(s->leaf[2], zero));
    int64_t bend[BONES], spread[BONES];
    for (int b = 0; b < BONES; b++) {
        bend[b] = bend_of(b) < 0 ? ANGLES : bend_of(b);
        spread[b] = spread_of(b) < 0 ? ANGLES : spread_of(b);
    }
    const Value x = take(angles, index(s->tape, bend, BONES)), z = take(angles, index(s->tape, spread, BONES));
    const Value cx = cos(x), sx = sin(x), cz = cos(z), sz = sin(z);
    const Value o = tg_zeros(s->tape, BONES), one = tg_ones(s->tape, BONES);
    const Value entries = stack(TG_VALUES(cz, neg(mul(sz, cx)), mul(sz, sx), o,
                                          sz, mul(cz, cx), neg(mul(cz, sx)), o,
                                          o, sx, cx, o,
                                          o, o, o, one), .axis = 1);
    return reshape(entries, BONES, 4, 4);
}

/* Rodrigues' formula. */
static Value turning(Value v)
{
    const Value angle = norm(v), axis = div(v, angle), o = tg_zeros(v.tape);
    const Value x = at(axis, 0), y = at(axis, 1), z = at(axis, 2);
    const Value cross = reshape(stack(TG_VALUES(o, neg(z), y, z, o, neg(x), neg(y), x, o)), 3, 3);
    return add(add(mul(cos(angle), tg_eye(v.tape, 3)), mul(sin(angle), cross)),
               mul(sub(1, cos(angle)), outer(axis, axis)));
}

/* Vertices are linear in the motions, the hand's own among them: one product makes all of them. */
static Value model(const state *s)
{
    const Value angles = s->leaf[2], relative = matmul(s->rest[0], rotations(s));
    Value absolute[BONES];
    for (int b = 0; b < BONES; b++) {
        const Value own = select(relative, .index = b);
        absolute[b] = b == 0 ? own : matmul(absolute[before(b)], own);
    }
    const Value motions = slice(matmul(stack(absolute, BONES), s->rest[1]), .axis = 1, .stop = 3);
    const Value columns = reshape(transpose(motions), 4 * BONES, 3);
    const Value moved = matmul(columns, transpose(turning(slice(angles, .stop = 3))));
    const Value shift = reshape(slice(angles, .start = 3, .stop = 6), 3, 1);
    const Value hand = add(matmul(transpose(moved), s->weighted), shift); /* (3, n) */
    const Value u0 = add(select(s->leaf[3], .axis = 1, .index = 0), s->leaf[0]);
    const Value u1 = add(select(s->leaf[3], .axis = 1, .index = 1), s->leaf[1]), u[] = { u0, u1, sub(sub(1, u0), u1) };
    Value e = transpose(s->leaf[4]);
    for (int k = 0; k < 3; k++) e = sub(e, mul(u[k], index_select(hand, s->corners[k], .axis = 1)));
    return transpose(e);
}

/* Each correspondence has its own u: a shift common to all of them gives the columns of each. */
static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const Value e = model(s);
    must(tg_read(e, result, (size_t)(3 * s->m)) && tg_jacobian(e, s->leaf, 3, result + 3 * s->m), "ht");
    tg_release(s->mark);
}

/* Residuals, and for each direction, an instance, their derivative along it. */
static void compile_columns(state *s)
{
    tg_status status = { 0 };
    const Value along[] = { scalar(s->tape, 0), scalar(s->tape, 0), param(s->tape, (double *)NULL, ANGLES) };
    const Value e = model(s);
    Value out[2];
    tg_program *const p = tg_compile(&e, 1, NULL, 0, s->leaf, 5, NULL, &status);
    s->forward = tg_jvp_program(p, (const int[]){ 0, 1, 2 }, 3, &status);
    must(s->forward, status.message);
    tg_program_free(p);
    Value in[8];
    memcpy(in, s->leaf, sizeof s->leaf);
    memcpy(in + 5, along, sizeof along);
    must(tg_call(s->forward, in, 8, out), "ht");
    s->program = compile(out, 2, along, 3, s->leaf, 5);
    tg_release(s->mark);
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    static const double zero = 0;
    const tg_input_layout row = { .instance = COLUMNS }, in[8] = { row, row, row };
    const tg_output_layout out[2] = { { 0 }, { .instance = 1, .column = COLUMNS } };
    run_compiled_with(&s->program, COLUMNS,
                      (const void *[]){ s->along[0], s->along[0] + 1, s->along[0] + 2, &zero, &zero, s->angle, s->u, s->point },
                      (void *[]){ result, result + 3 * s->m }, &(tg_run_options){ .inputs = in, .outputs = out });
}

/* ---- by hand --------------------------------------------------------------------------------- */

/* a after b; one is 0 for a derivative b. */
static motion after(const motion *a, const motion *b, double one)
{
    motion c;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            c.m[i][j] = a->m[i][0] * b->m[0][j] + a->m[i][1] * b->m[1][j] + a->m[i][2] * b->m[2][j] +
                        (j == 3 ? one * a->m[i][3] : 0);
    return c;
}

/* A bone's rotation and its derivatives by bend and spread. */
static void rotate(double bend, double spread, motion *r, motion *by_bend, motion *by_spread)
{
    const double cx = cos(bend), sx = sin(bend), cz = cos(spread), sz = sin(spread);
    *r = (motion){ { { cz, -sz * cx, sz * sx }, { sz, cz * cx, -cz * sx }, { 0, sx, cx } } };
    *by_bend = (motion){ { { 0, sz * sx, sz * cx }, { 0, -cz * sx, -cz * cx }, { 0, cx, -sx } } };
    *by_spread = (motion){ { { -sz, -cz * cx, cz * sx }, { cz, -sz * cx, sz * sx } } };
}

/* Motions of the bones from rest, and with dmotion their derivatives by the four angles of the finger
   that the bone belongs to. */
static void bones(const state *s, motion moved[BONES], motion dmoved[BONES][4])
{
    motion absolute[BONES], dabsolute[BONES][4] = { 0 };
    for (int b = 0; b < BONES; b++) {
        const int bend = bend_of(b), spread = spread_of(b), parent = before(b);
        motion turned_, by[2], relative = s->base[b];
        if (bend >= 0) {
            rotate(s->angle[bend], spread >= 0 ? s->angle[spread] : 0, &turned_, &by[0], &by[1]);
            relative = after(&s->base[b], &turned_, 1);
        }
        absolute[b] = parent < 0 ? relative : after(&absolute[parent], &relative, 1);
        moved[b] = after(&absolute[b], &s->inverse[b], 1);
        if (!dmoved || b < 2) continue;
        for (int a = 0; a < 4; a++)
            if (parent >= 2) dabsolute[b][a] = after(&dabsolute[parent][a], &relative, 1);
        for (int i = 0; i < 2; i++) {
            const int angle = i == 0 ? bend : spread;
            if (angle < 0) continue;
            const motion own = after(&s->base[b], &by[i], 0);
            dabsolute[b][(angle - 6) % 4] = after(&absolute[parent], &own, 0);
        }
        for (int a = 0; a < 4; a++) dmoved[b][a] = after(&dabsolute[b][a], &s->inverse[b], 1);
    }
}

/* y += w (motion of x); one is 0 for a derivative. */
static void move(const motion *a, double w, const double *x, double *y)
{
    for (int i = 0; i < 3; i++)
        y[i] += w * (a->m[i][0] * x[0] + a->m[i][1] * x[1] + a->m[i][2] * x[2] + a->m[i][3] * x[3]);
}

static void turn_point(const double R[9], const double *x, double *y)
{
    for (int i = 0; i < 3; i++) y[i] = R[3 * i] * x[0] + R[3 * i + 1] * x[1] + R[3 * i + 2] * x[2];
}

static void residuals(const state *s, double *result)
{
    for (int64_t i = 0; i < s->m; i++) {
        const double u[3] = { s->u[2 * i], s->u[2 * i + 1], 1 - s->u[2 * i] - s->u[2 * i + 1] };
        for (int j = 0; j < 3; j++) {
            double hand = 0;
            for (int k = 0; k < 3; k++) hand += u[k] * s->moved[s->corner[3 * i + k] * 3 + j];
            result[3 * i + j] = s->point[3 * i + j] - hand;
        }
    }
}

static void plain_of(const state *s, double *result, bool jacobian)
{
    motion moved[BONES], dmoved[BONES][4];
    turned t;
    bones(s, moved, jacobian ? dmoved : NULL);
    turn(s->angle, &t);
    for (int64_t v = 0; v < s->n; v++) {
        const double *const x = s->position + 4 * v;
        double bent[3] = { 0 };
        for (int i = 0; i < PER_VERTEX; i++)
            move(&moved[s->bone[v][i]], s->weight[v * BONES + s->bone[v][i]], x, bent);
        turn_point(t.R, bent, s->moved + 3 * v);
        for (int j = 0; j < 3; j++) s->moved[3 * v + j] += s->angle[3 + j];
        if (!jacobian) continue;
        memset(s->dmoved[v], 0, sizeof s->dmoved[v]);
        for (int k = 0; k < ANGLES; k++) {
            double d[3] = { 0 }, y[3];
            if (k < 3) turn_point(t.dR[k], bent, y);
            if (k >= 3 && k < 6) memcpy(y, (double[]){ k == 3, k == 4, k == 5 }, sizeof y);
            for (int i = 0; k >= 6 && i < PER_VERTEX; i++) {
                const int b = s->bone[v][i];
                if (b >= 2 && (b - 2) / 4 == (k - 6) / 4)
                    move(&dmoved[b][(k - 6) % 4], s->weight[v * BONES + b], x, d);
            }
            if (k >= 6) turn_point(t.R, d, y);
            for (int j = 0; j < 3; j++) s->dmoved[v][j][2 + k] = y[j];
        }
    }
    residuals(s, result);
    double *const rows = result + 3 * s->m;
    for (int64_t i = 0; jacobian && i < s->m; i++) {
        const int64_t *const corner = s->corner + 3 * i;
        const double u[3] = { s->u[2 * i], s->u[2 * i + 1], 1 - s->u[2 * i] - s->u[2 * i + 1] };
        for (int j = 0; j < 3; j++) {
            double *const row = rows + (3 * i + j) * COLUMNS;
            for (int k = 0; k < 2; k++)
                row[k] = s->moved[3 * corner[2] + j] - s->moved[3 * corner[k] + j];
            for (int k = 2; k < COLUMNS; k++) {
                row[k] = 0;
                for (int c = 0; c < 3; c++) row[k] -= u[c] * s->dmoved[corner[c]][j][k];
            }
        }
    }
}

static void primal(void *s, double *result)
{
    plain_of(s, result, false);
}

static void plain(void *s, double *result)
{
    plain_of(s, result, true);
}

/* ---- by hand: expert --------------------------------------------------------------------------- */

/* Bones are turned with the hand before the vertices; the four angles of a finger lie side by side;
   of the vertices only the corners of triangles are done; rows are combined whole. */
typedef double four __attribute__((vector_size(4 * sizeof(double)), may_alias, aligned(8)));

typedef struct bone_motion {
    motion m;
    four d[3][4]; /* by the finger's angles */
} bone_motion;

static void expert_vertex(const state *s, const bone_motion *bone, double dR[3][9], int64_t v)
{
    const double *const x = s->position + 4 * v;
    double bent[3] = { 0 }, (*const d)[COLUMNS] = s->dmoved[v];
    memset(d, 0, sizeof s->dmoved[v]);
    for (int i = 0; i < PER_VERTEX; i++) {
        const int b = s->bone[v][i];
        const double w = s->weight[v * BONES + b];
        move(&bone[b].m, w, x, bent);
        if (b < 2) continue;
        for (int j = 0; j < 3; j++) {
            const four *const by = bone[b].d[j];
            *(four *)(d[j] + 8 + (b - 2) / 4 * 4) +=
                w * (by[0] * x[0] + by[1] * x[1] + by[2] * x[2] + by[3] * x[3]);
        }
    }
    for (int k = 0; k < 3; k++) {
        double y[3];
        turn_point(dR[k], bent, y);
        for (int j = 0; j < 3; j++) d[j][2 + k] = y[j];
        d[k][5 + k] = 1;
        s->moved[3 * v + k] = bent[k] + s->angle[3 + k];
    }
}

static void expert(void *state_, double *result)
{
    const state *const s = state_;
    motion moved[BONES], dmoved[BONES][4];
    bone_motion bone[BONES];
    turned t;
    double dR[3][9];
    bones(s, moved, dmoved);
    turn(s->angle, &t);
    motion hand = { { { 0 } } };
    for (int i = 0; i < 9; i++) hand.m[i / 3][i % 3] = t.R[i];
    for (int b = 0; b < BONES; b++) {
        bone[b].m = after(&hand, &moved[b], 1);
        for (int a = 0; b >= 2 && a < 4; a++) {
            const motion d = after(&hand, &dmoved[b][a], 0);
            for (int i = 0; i < 12; i++) bone[b].d[i / 4][i % 4][a] = d.m[i / 4][i % 4];
        }
    }
    /* Of what the hand has turned already: dR R'. */
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                dR[k][3 * i + j] = t.dR[k][3 * i] * t.R[3 * j] + t.dR[k][3 * i + 1] * t.R[3 * j + 1] +
                                   t.dR[k][3 * i + 2] * t.R[3 * j + 2];
    for (int64_t v = 0; v < s->n; v++)
        if (s->needed[v]) expert_vertex(s, bone, dR, v);
    double *restrict row = result + 3 * s->m;
    for (int64_t i = 0; i < s->m; i++) {
        const int64_t *const c = s->corner + 3 * i;
        const double u0 = s->u[2 * i], u1 = s->u[2 * i + 1], u2 = 1 - u0 - u1;
        for (int j = 0; j < 3; j++, row += COLUMNS) {
            const double *const d0 = s->dmoved[c[0]][j], *const d1 = s->dmoved[c[1]][j];
            const double *const d2 = s->dmoved[c[2]][j];
            const double v0 = s->moved[3 * c[0] + j], v1 = s->moved[3 * c[1] + j], v2 = s->moved[3 * c[2] + j];
            result[3 * i + j] = s->point[3 * i + j] - (u0 * v0 + u1 * v1 + u2 * v2);
            for (int k = 0; k < COLUMNS; k++) row[k] = -(u0 * d0[k] + u1 * d1[k] + u2 * d2[k]);
            row[0] = v2 - v0, row[1] = v2 - v1;
        }
    }
}

/* ---- the rows ---------------------------------------------------------------------------------- */

/* A hand at rest: every bone lies along the one before, turned a little. */
static void draw_bones(state *s, uint64_t *seed)
{
    motion absolute[BONES];
    for (int b = 0; b < BONES; b++) {
        motion unused[2];
        rotate(draw(seed, -.5, .5), draw(seed, -.5, .5), &s->base[b], &unused[0], &unused[1]);
        for (int i = 0; i < 3; i++) s->base[b].m[i][3] = draw(seed, -1, 1);
        absolute[b] = b == 0 ? s->base[b] : after(&absolute[before(b)], &s->base[b], 1);
        motion *const inverse = &s->inverse[b];
        for (int i = 0; i < 3; i++) {
            inverse->m[i][3] = 0;
            for (int j = 0; j < 3; j++) {
                inverse->m[i][j] = absolute[b].m[j][i];
                inverse->m[i][3] -= absolute[b].m[j][i] * absolute[b].m[j][3];
            }
        }
    }
}

/* Weights of four neighbouring bones, which add up to 1. */
static void draw_vertices(state *s, uint64_t *seed)
{
    for (int64_t v = 0; v < s->n; v++) {
        double total = 0;
        const int first = (int)draw(seed, 0, BONES - PER_VERTEX + 1);
        for (int i = 0; i < 3; i++) s->position[4 * v + i] = draw(seed, -2, 2);
        s->position[4 * v + 3] = 1;
        for (int i = 0; i < PER_VERTEX; i++) {
            s->bone[v][i] = first + i;
            total += s->weight[v * BONES + first + i] = draw(seed, 0.1, 1);
        }
        for (int i = 0; i < BONES; i++) s->weight[v * BONES + i] /= total;
    }
}

static Value motions_of(tg_tape *tape, const motion *a)
{
    double m[BONES][4][4] = { { { 0 } } };
    for (int b = 0; b < BONES; b++) {
        memcpy(m[b], a[b].m, sizeof a[b].m);
        m[b][3][3] = 1;
    }
    return input(tape, &m[0][0][0], BONES, 4, 4);
}

static void record_leaves(state *s)
{
    const double zero = 0;
    tg_tape *const t = s->tape = row_tape();
    s->leaf[0] = param(t, &zero);
    s->leaf[1] = param(t, &zero);
    s->leaf[2] = param(t, s->angle, ANGLES);
    s->rest[0] = motions_of(t, s->base);
    s->rest[1] = motions_of(t, s->inverse);
    const Value positions = input(t, s->position, s->n, 1, 4), weights = input(t, s->weight, s->n, BONES, 1);
    s->weighted = contiguous(transpose(reshape(mul(weights, positions), s->n, 4 * BONES)));
    int64_t *const corner = room((size_t)s->m, sizeof *corner);
    for (int k = 0; k < 3; k++) {
        for (int64_t i = 0; i < s->m; i++) corner[i] = s->corner[3 * i + k];
        s->corners[k] = index(t, corner, s->m);
    }
    free(corner);
    s->leaf[3] = input(t, s->u, s->m, 2);
    s->leaf[4] = input(t, s->point, s->m, 3);
    double *const data[] = { s->angle, s->u, s->point };
    for (int i = 0; i < 3; i++) given_add(&s->in, data[i], tg_size(s->leaf[2 + i]), s->leaf[2 + i]);
    s->mark = tg_tape_mark(t);
}

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 9;
    const size_t n = (size_t)(s->n = (const int64_t[]){ 544, 544, 10000 }[size]);
    const size_t m = (size_t)(s->m = (const int64_t[]){ 100, 1000, 10000 }[size]);
    s->position = room(4 * n, sizeof *s->position);
    s->weight = room(BONES * n, sizeof *s->weight);
    s->bone = room(n, sizeof *s->bone);
    s->corner = room(3 * m, sizeof *s->corner);
    s->u = room(2 * m, sizeof *s->u);
    s->point = room(3 * m, sizeof *s->point);
    s->needed = room(n, sizeof *s->needed);
    s->moved = room(3 * n, sizeof *s->moved);
    s->dmoved = room(n, sizeof *s->dmoved);
    for (int i = 0; i < ANGLES; i++) s->angle[i] = draw(&seed, -1, 1);
    draw_bones(s, &seed);
    draw_vertices(s, &seed);
    for (size_t i = 0; i < 3 * m; i++) {
        s->corner[i] = (int64_t)draw(&seed, 0, (double)n);
        s->needed[s->corner[i]] = true;
        s->point[i] = draw(&seed, -2, 2);
        if (i < 2 * m) s->u[i] = draw(&seed, 0, 0.5);
    }
    record_leaves(s);
    for (int i = 0; i < COLUMNS; i++) s->along[i][i] = 1;
    compile_columns(s);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_program_free(s->forward);
    tg_tape_free(s->tape);
    void *const all[] = { s->position, s->weight, s->bone,   s->corner, s->u,
                          s->point,    s->needed, s->moved,  s->dmoved };
    for (int i = 0; i < 9; i++) free(all[i]);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    const size_t m = (size_t)((const state *)state_)->m;
    *values = 3 * m;
    return 3 * m * (1 + COLUMNS);
}

const problem ht = { "ht", { "544, 100", "544, 1000", "10000, 10000" }, start, stop, results,
                     { primal, plain, expert, eager, program }, { 0 } };
