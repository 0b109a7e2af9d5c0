/* The kernels of every instruction-set level that this machine has, whichever are chosen to run. */
#ifndef TESTS_LEVELS_H
#define TESTS_LEVELS_H

#include "kernels/kernels.h"

extern const tg__kernels tg__kernels_f64_base, tg__kernels_f32_base;
#if TG_LEVELS > 1
extern const tg__kernels tg__kernels_f64_v3, tg__kernels_f32_v3;
extern const tg__kernels tg__kernels_f64_v4, tg__kernels_f32_v4;
#endif

static const tg__kernels *level[2][3]; /* by type: base first */
static int levels;

static void find_levels(void)
{
    level[TG_F64][0] = &tg__kernels_f64_base, level[TG_F32][0] = &tg__kernels_f32_base;
    levels = 1;
#if TG_LEVELS > 1
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2")) {
        level[TG_F64][1] = &tg__kernels_f64_v3, level[TG_F32][1] = &tg__kernels_f32_v3;
        levels = 2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            level[TG_F64][2] = &tg__kernels_f64_v4, level[TG_F32][2] = &tg__kernels_f32_v4;
            levels = 3;
        }
    }
#endif
}

#endif
