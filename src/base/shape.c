/* Shapes: see shape.h. */
#include "base/shape.h"

#include <stdio.h>

const char *tg__type_name(tg_type type)
{
    return type == TG_F64 ? "f64" : type == TG_F32 ? "f32" : "i64";
}

bool tg__shape_finish(tg__shape *s)
{
    /* The product of the nonzero dimensions must fit too: strides are made of them, and so are
       gradients. */
    int64_t n = 1, stride = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        if (s->dim[i] < 0) return false;
        s->stride[i] = stride;
        if (s->dim[i] == 0) {
            n = 0;
            continue;
        }
        if (__builtin_mul_overflow(stride, s->dim[i], &stride) || stride > INT32_MAX) return false;
    }
    s->n = n ? stride : 0;
    return true;
}

bool tg__shape_contiguous(const tg__shape *s)
{
    int64_t stride = 1;
    if (s->n <= 1) return true;
    for (int i = s->rank - 1; i >= 0; i--) {
        if (s->dim[i] == 1) continue;
        if (s->stride[i] != stride) return false;
        stride *= s->dim[i];
    }
    return true;
}

int tg__axis(int axis, int rank)
{
    if (axis < 0) axis += rank;
    return axis < 0 || axis >= rank ? -1 : axis;
}

bool tg__broadcast(const tg__shape *a, const tg__shape *b, tg__shape *y)
{
    tg__shape out = { .type = a->type, .rank = a->rank > b->rank ? a->rank : b->rank };
    for (int i = 1; i <= out.rank; i++) {
        int64_t da = i <= a->rank ? a->dim[a->rank - i] : 1;
        int64_t db = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (da != db && da != 1 && db != 1) return false;
        out.dim[out.rank - i] = da == 1 ? db : da;
    }
    if (!tg__shape_finish(&out)) return false;
    *y = out;
    return true;
}

tg__shape tg__broadcast_to(const tg__shape *x, const tg__shape *y)
{
    tg__shape out = *y;
    out.type = x->type;
    for (int i = 0; i < y->rank; i++) {
        int j = i - (y->rank - x->rank);
        out.stride[i] = j < 0 || x->dim[j] != y->dim[i] ? 0 : x->stride[j];
    }
    return out;
}

tg__shape tg__shape_part(const tg__shape *s, unsigned axes)
{
    tg__shape out = { .type = s->type, .n = 1 };
    for (int i = 0; i < s->rank; i++) {
        if (!(axes & 1u << i)) continue;
        out.dim[out.rank] = s->dim[i];
        out.stride[out.rank++] = s->stride[i];
        out.n *= s->dim[i];
    }
    return out;
}

char *tg__shape_text(const tg__shape *s, char *text, size_t size)
{
    size_t used = 0;
    used += (size_t)snprintf(text, size, "(");
    for (int i = 0; i < s->rank && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, i ? ", %lld" : "%lld", (long long)s->dim[i]);
    if (used < size) snprintf(text + used, size - used, ")");
    return text;
}

/* Whether, for every array, an axis with these outer strides continues one of that length with
   these inner strides. */
static bool continues(int arrays, const ptrdiff_t *outer, const ptrdiff_t *inner, int64_t length)
{
    for (int k = 0; k < arrays; k++)
        if (outer[k] != inner[k] * length) return false;
    return true;
}

void tg__walk_begin(tg__walk *w, int arrays, const tg__array *a)
{
    const tg__shape *s = a[0].s;
    w->arrays = arrays;
    w->rank = 0;
    w->n = 1;
    for (int k = 0; k < arrays; k++) {
        w->p[k] = a[k].p;
        w->stride[k] = 1;
    }
    if (s->n == 0) {
        w->n = 0;
        return;
    }
    /* From the innermost axis outwards: grow the row while strides continue, then the outer axes
       one by one. */
    bool row = true;
    ptrdiff_t stride[TG_MAX_RANK][TG__WALK];
    for (int i = s->rank - 1; i >= 0; i--) {
        if (s->dim[i] == 1) continue;
        ptrdiff_t here[TG__WALK];
        for (int k = 0; k < arrays; k++) here[k] = a[k].s->stride[i];
        if (row && w->n == 1) {
            for (int k = 0; k < arrays; k++) w->stride[k] = here[k];
            w->n = s->dim[i];
        } else if (row && continues(arrays, here, w->stride, w->n)) {
            w->n *= s->dim[i];
        } else {
            row = false;
            int r = w->rank;
            if (r > 0 && continues(arrays, here, stride[r - 1], w->dim[r - 1])) {
                w->dim[r - 1] *= s->dim[i];
                continue;
            }
            for (int k = 0; k < arrays; k++) {
                stride[r][k] = here[k];
                w->step[r][k] = here[k] * (ptrdiff_t)tg__type_size(a[k].s->type);
            }
            w->dim[r] = s->dim[i];
            w->at[r] = 0;
            w->rank++;
        }
    }
}

bool tg__walk_next(tg__walk *w)
{
    for (int r = 0; r < w->rank; r++) {
        for (int k = 0; k < w->arrays; k++) w->p[k] += w->step[r][k];
        if (++w->at[r] < w->dim[r]) return true;
        for (int k = 0; k < w->arrays; k++) w->p[k] -= w->step[r][k] * w->dim[r];
        w->at[r] = 0;
    }
    return false;
}

int64_t tg__walk_rows(tg__walk *w, const tg__array *a, ptrdiff_t *row)
{
    for (int k = 0; k < w->arrays; k++)
        row[k] = w->rank ? w->step[0][k] / (ptrdiff_t)tg__type_size(a[k].s->type) : 0;
    if (w->rank == 0) return 1;
    const int64_t m = w->dim[0];
    w->rank--;
    for (int r = 0; r < w->rank; r++) {
        w->dim[r] = w->dim[r + 1];
        w->at[r] = 0;
        for (int k = 0; k < w->arrays; k++) w->step[r][k] = w->step[r + 1][k];
    }
    return m;
}
