/* Start values of parameters. */
#include "inner.h"

#include <math.h>

#include <tapegrad/tape.h>

/* The path by FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo), then the seed through the finalizer of
   SplitMix64 (G. Steele, D. Lea, C. Flood, 2014). */
uint64_t tg__nn_seed(uint64_t seed, const char *path)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    for (; *path; path++) h = (h ^ (unsigned char)*path) * UINT64_C(0x100000001B3);
    h += seed * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    h = (h ^ h >> 27) * UINT64_C(0x94D049BB133111EB);
    return h ^ h >> 31;
}

const char *tg__nn_init_wrong(tg_nn_init init)
{
    if (init.scheme < TG_INIT_DEFAULT || init.scheme > TG_INIT_KAIMING_NORMAL)
        return "there is no such initialiser";
    if (!isfinite(init.a) || !isfinite(init.b) || !isfinite(init.gain))
        return "an initialiser's number is not finite";
    if (init.scheme == TG_INIT_UNIFORM && init.a > init.b)
        return "an initialiser's lower bound is above the upper one";
    return init.scheme == TG_INIT_NORMAL && init.b < 0
               ? "an initialiser's standard deviation is negative"
               : NULL;
}

tg_nn_init tg__nn_within(double bound)
{
    return (tg_nn_init){ TG_INIT_UNIFORM, .a = -bound, .b = bound };
}

static void fans(const tg__nn_parameter *p, double *in, double *out)
{
    double first = 1, second = 1, rest = 1;
    for (int i = 0; i < p->rank; i++) {
        double *const part = i == 0 ? &first : i == 1 ? &second : &rest;
        *part *= (double)p->shape[i];
    }
    *in = p->rank < 2 ? first : second * rest;
    *out = first * rest;
}

static double or_default(double x, double instead)
{
    return x != 0 ? x : instead;
}

/* What scaled schemes come down to: one of the others. */
static tg_nn_init resolve(const tg__nn_parameter *p, tg_nn_init init)
{
    double in, out;
    fans(p, &in, &out);
    const double xavier = or_default(init.gain, 1) / sqrt((in + out) / 2);
    const double kaiming = or_default(init.gain, sqrt(2)) / sqrt(in);
    switch (init.scheme) {
    case TG_INIT_UNIFORM: return init.a == 0 && init.b == 0 ? tg__nn_within(1) : init;
    case TG_INIT_NORMAL: return (tg_nn_init){ TG_INIT_NORMAL, init.a, or_default(init.b, 1), 0 };
    case TG_INIT_XAVIER_UNIFORM: return tg__nn_within(sqrt(3) * xavier);
    case TG_INIT_XAVIER_NORMAL: return (tg_nn_init){ TG_INIT_NORMAL, 0, xavier, 0 };
    case TG_INIT_KAIMING_UNIFORM: return tg__nn_within(sqrt(3) * kaiming);
    case TG_INIT_KAIMING_NORMAL: return (tg_nn_init){ TG_INIT_NORMAL, 0, kaiming, 0 };
    case TG_INIT_ONES: return (tg_nn_init){ TG_INIT_CONSTANT, 1, 0, 0 };
    case TG_INIT_ZEROS: return (tg_nn_init){ TG_INIT_CONSTANT, 0, 0, 0 };
    default: return init;
    }
}

tg_value tg__nn_start(tg_tape *tape, tg_tape *scratch, const tg__nn_parameter *p, tg_nn_init init,
                      uint64_t seed)
{
    const tg_nn_init r = resolve(p, init);
    tg_reset(scratch);
    const tg_value drawn = r.scheme == TG_INIT_UNIFORM
                               ? tg_uniform_new(scratch, seed, r.a, r.b, p->rank, p->shape, NULL)
                           : r.scheme == TG_INIT_NORMAL
                               ? tg_normal_new(scratch, seed, r.a, r.b, p->rank, p->shape, NULL)
                               : tg_full_new(scratch, r.a, p->rank, p->shape, NULL);
    const double *const data = tg_data(drawn);
    if (!data) return (tg_value){ 0 };
    const tg_value v = tg_leaf_new(tape, TG_PARAMETER, TG_F64, data, p->rank, p->shape, NULL);
    return v.generation ? tg_name(v, p->name) : v;
}
