/* The rules that all elementwise operations share. Operands come with their own shapes; they are
   seen with the result's (strides of repeated axes 0), which is all there is to broadcasting,
   forward and backward. */
#include "ops/op.h"

/* Operands as the kernels walk them: result first, then operands, all with the result's dimensions.
 */
typedef struct operands {
    tg__shape shape[3];
    tg__array array[1 + 3 + 1];
} operands;

static tg__array seen_as(tg__array x, const tg__shape *y, tg__shape *room)
{
    if (tg__shape_same_dims(x.s, y)) return x;
    *room = tg__broadcast_to(x.s, y);
    return (tg__array){ room, x.p };
}

tg_code tg__map_shape(const tg__call *c, tg__shape *y)
{
    tg__shape_copy(y, c->x[0].s);
    for (int i = 1; i < c->n; i++) {
        if (tg__shape_same_dims(y, c->x[i].s)) continue;
        if (!tg__broadcast(y, c->x[i].s, y))
            return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s do not broadcast",
                            TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[i].s));
    }
    return TG_OK;
}

/* All operands adjacent and of the result's shape: one row, no walk. */
static bool plain(const tg__call *c)
{
    for (int i = 0; i < c->n; i++)
        if (!tg__shape_same_dims(c->x[i].s, c->y.s) || !tg__shape_contiguous(c->x[i].s))
            return false;
    return true;
}

tg_code tg__map_forward(const tg__call *c)
{
    tg__map_forward_kernel *kernel = c->k->map_forward[c->code];
    if (plain(c)) {
        const void *const x[3] = { c->x[0].p, c->n > 1 ? c->x[1].p : NULL,
                                   c->n > 2 ? c->x[2].p : NULL };
        kernel(c->y.s->n, c->y.p, x, (const ptrdiff_t[3]){ 1, 1, 1 });
        return TG_OK;
    }
    operands o;
    o.array[0] = c->y;
    for (int i = 0; i < c->n; i++) o.array[1 + i] = seen_as(c->x[i], c->y.s, &o.shape[i]);
    tg__walk w;
    tg__walk_begin(&w, 1 + c->n, o.array);
    do kernel(w.n, w.p[0], (const void *const *)(w.p + 1), w.stride + 1);
    while (tg__walk_next(&w));
    return TG_OK;
}

static void backward_operand(const tg__call *c, int operand, tg__map_backward_kernel *kernel)
{
    /* y and g lie at the same offsets: one of them walks for both. */
    operands o;
    o.array[0] = c->y;
    for (int i = 0; i < c->n; i++) o.array[1 + i] = seen_as(c->x[i], c->y.s, &o.shape[i]);
    o.array[1 + c->n] = (tg__array){ o.array[1 + operand].s, c->dx[operand].p };
    tg__walk w;
    tg__walk_begin(&w, 2 + c->n, o.array);
    do {
        const ptrdiff_t at = w.p[0] - (char *)c->y.p;
        kernel(w.n, (const char *)c->g + at, w.p[0], (const void *const *)(w.p + 1), w.stride + 1,
               w.p[1 + c->n], w.stride[1 + c->n]);
    } while (tg__walk_next(&w));
}

tg_code tg__map_backward(const tg__call *c)
{
    tg__map_backward_kernel *const *kernel = c->k->map_backward[c->code];
    const bool one_row = plain(c);
    const void *const x[3] = { c->x[0].p, c->n > 1 ? c->x[1].p : NULL,
                               c->n > 2 ? c->x[2].p : NULL };
    for (int i = 0; i < c->n; i++) {
        if (!kernel[i] || !c->dx[i].p) continue;
        if (one_row)
            kernel[i](c->y.s->n, c->g, c->y.p, x, (const ptrdiff_t[3]){ 1, 1, 1 }, c->dx[i].p, 1);
        else backward_operand(c, i, kernel[i]);
    }
    return TG_OK;
}
