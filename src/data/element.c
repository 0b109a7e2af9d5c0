/* Elements as files hold them, and their conversion: see inner.h. */
#include "inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    size_t size;
    tg_type type;
} kinds[TG__FILE_KINDS] = {
    [TG__FILE_F64] = { 8, TG_F64 },  [TG__FILE_F32] = { 4, TG_F32 }, [TG__FILE_F16] = { 2, TG_F32 },
    [TG__FILE_BF16] = { 2, TG_F32 }, [TG__FILE_S64] = { 8, TG_I64 }, [TG__FILE_S32] = { 4, TG_I64 },
    [TG__FILE_S16] = { 2, TG_I64 },  [TG__FILE_S8] = { 1, TG_I64 },  [TG__FILE_U64] = { 8, TG_I64 },
    [TG__FILE_U32] = { 4, TG_I64 },  [TG__FILE_U16] = { 2, TG_I64 }, [TG__FILE_U8] = { 1, TG_I64 },
    [TG__FILE_BOOL] = { 1, TG_I64 },
};

size_t tg__kind_size(tg__kind kind)
{
    return kinds[kind].size;
}

bool tg__elements_count(const tg__elements *e, size_t *count, size_t *bytes)
{
    /* The product without its zeros must be a number too: strides are made of it. */
    size_t product = 1;
    bool none = false;
    for (int i = 0; i < e->rank; i++) {
        if ((int64_t)(size_t)e->shape[i] != e->shape[i]) return false; /* size_t may be 32 bits */
        none |= e->shape[i] == 0;
        if (e->shape[i] && !tg__data_times(product, (size_t)e->shape[i], &product)) return false;
    }
    *count = none ? 0 : product;
    return product <= INT64_MAX / 8 && tg__data_times(*count, kinds[e->kind].size, bytes);
}

static inline uint64_t bits_of(const uint8_t *p, size_t n, bool big_endian)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++) bits |= (uint64_t)p[big_endian ? n - 1 - i : i] << 8 * i;
    return bits;
}

uint64_t tg__bits(const uint8_t *p, size_t n, bool big_endian)
{
    return bits_of(p, n, big_endian);
}

static float single_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* binary16 of IEEE 754: 1 bit of sign, 5 of exponent, 10 of fraction. A NaN keeps its fraction. */
static float half_of(uint32_t bits)
{
    const uint32_t sign = (bits & 0x8000) << 16, fraction = bits & 0x3ff;
    const uint32_t exponent = bits >> 10 & 0x1f;
    if (exponent == 31) return single_of(sign | 0x7f800000 | fraction << 13);
    if (exponent > 0) return single_of(sign | (exponent + 112) << 23 | fraction << 13);
    const float tiny = (float)fraction * 0x1p-24f;
    return sign ? -tiny : tiny;
}

static float single_element(tg__kind kind, uint64_t bits)
{
    if (kind == TG__FILE_F16) return half_of((uint32_t)bits);
    return single_of(kind == TG__FILE_BF16 ? (uint32_t)bits << 16 : (uint32_t)bits);
}

/* Two's complement, whatever the machine thinks of shifts; unsigned ones above INT64_MAX are the
   caller's to look for. */
static int64_t integer_element(tg__kind kind, uint64_t bits)
{
    switch (kind) {
    case TG__FILE_S32: return (int64_t)(bits ^ 0x80000000u) - INT64_C(0x80000000);
    case TG__FILE_S16: return (int64_t)(bits ^ 0x8000u) - 0x8000;
    case TG__FILE_S8: return (int64_t)(bits ^ 0x80u) - 0x80;
    case TG__FILE_BOOL: return bits != 0;
    default: return (int64_t)bits;
    }
}

static double double_element(tg__kind kind, uint64_t bits)
{
    double x;
    switch (kinds[kind].type) {
    case TG_F32: return single_element(kind, bits);
    case TG_F64: memcpy(&x, &bits, sizeof x); return x;
    default: return (double)integer_element(kind, bits);
    }
}

/* ---- many elements --------------------------------------------------------------------------- */

enum { STRETCH = 256 };

/* The bits of n elements. Inlined with a constant size, so that loading one is one instruction. */
static inline void load_sized(const uint8_t *p, size_t n, size_t size, bool big_endian,
                              uint64_t *bits)
{
    if (big_endian)
        for (size_t i = 0; i < n; i++) bits[i] = bits_of(p + i * size, size, true);
    else
        for (size_t i = 0; i < n; i++) bits[i] = bits_of(p + i * size, size, false);
}

static void load(const uint8_t *p, size_t n, size_t size, bool big_endian, uint64_t *bits)
{
    switch (size) {
    case 8: load_sized(p, n, 8, big_endian, bits); return;
    case 4: load_sized(p, n, 4, big_endian, bits); return;
    case 2: load_sized(p, n, 2, big_endian, bits); return;
    default: load_sized(p, n, 1, big_endian, bits); return;
    }
}

void tg__elements_read_f64(const tg__file *file, const tg__elements *e, double *out)
{
    size_t n, bytes;
    uint64_t bits[STRETCH];
    const size_t size = kinds[e->kind].size;
    if (!tg__elements_count(e, &n, &bytes)) return;
    for (size_t i = 0; i < n; i += STRETCH) {
        const size_t some = n - i < STRETCH ? n - i : STRETCH;
        load(file->data + e->from + i * size, some, size, e->big_endian, bits);
        for (size_t k = 0; k < some; k++) out[i + k] = double_element(e->kind, bits[k]);
    }
}

/* Stores n <= STRETCH elements from the i-th on. Returns how many of them fit their type. */
static size_t store(const tg__elements *e, const uint64_t *bits, size_t n, void *out, size_t i)
{
    double *const f64 = out;
    float *const f32 = out;
    int64_t *const i64 = out;
    switch (kinds[e->kind].type) {
    case TG_F64: memcpy(f64 + i, bits, n * sizeof *f64); return n;
    case TG_F32:
        for (size_t k = 0; k < n; k++) f32[i + k] = single_element(e->kind, bits[k]);
        return n;
    default:
        for (size_t k = 0; k < n; k++) {
            i64[i + k] = integer_element(e->kind, bits[k]);
            if (e->kind == TG__FILE_U64 && bits[k] > INT64_MAX) return k;
        }
        return n;
    }
}

/* Goes through a column-first array in row-major order: at is where the next element lies. Returns
   the place of an element that does not fit its type, or n. */
static size_t store_columns(const tg__elements *e, const uint8_t *p, void *out, size_t n)
{
    const size_t size = kinds[e->kind].size;
    int64_t index[TG_MAX_RANK] = { 0 }, stride[TG_MAX_RANK + 1] = { 1 };
    for (int k = 0; k < e->rank; k++) stride[k + 1] = stride[k] * e->shape[k];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = tg__bits(p + at * size, size, e->big_endian);
        if (store(e, &bits, 1, out, i) == 0) return at;
        for (int k = e->rank - 1; k >= 0; k--) {
            at += (size_t)stride[k];
            if (++index[k] < e->shape[k]) break;
            at -= (size_t)stride[k + 1];
            index[k] = 0;
        }
    }
    return n;
}

static size_t store_rows(const tg__elements *e, const uint8_t *p, void *out, size_t n)
{
    uint64_t bits[STRETCH];
    const size_t size = kinds[e->kind].size;
    for (size_t i = 0; i < n; i += STRETCH) {
        const size_t some = n - i < STRETCH ? n - i : STRETCH;
        load(p + i * size, some, size, e->big_endian, bits);
        const size_t fit = store(e, bits, some, out, i);
        if (fit < some) return i + fit;
    }
    return n;
}

tg_ndarray *tg__elements_read(const tg__file *file, const tg__elements *e, tg_status *status)
{
    size_t n, bytes;
    if (!tg__elements_count(e, &n, &bytes)) return NULL;
    const tg_type type = kinds[e->kind].type;
    const size_t wide = type == TG_F32 ? sizeof(float) : sizeof(double);
    tg_ndarray *const array = malloc(sizeof *array + n * wide); /* n was counted in the file */
    if (!array) return tg__data_no_memory(status, file->name, n * wide), NULL;
    void *const out = array + 1;
    *array = (tg_ndarray){ .type = type, .rank = e->rank, .data = out };
    memcpy(array->shape, e->shape, sizeof array->shape);
    const uint8_t *const p = file->data + e->from;
    const size_t bad = e->columns_first ? store_columns(e, p, out, n) : store_rows(e, p, out, n);
    if (bad == n) return array;
    tg__file_wrong(file, e->from + 8 * bad, status, "a number above 2^63 - 1");
    free(array);
    return NULL;
}
