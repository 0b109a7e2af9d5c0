/* Which kernels this machine runs: see kernels.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

extern const tg__kernels tg__kernels_f64_base, tg__kernels_f32_base;
#if TG_LEVELS > 1
extern const tg__kernels tg__kernels_f64_v3, tg__kernels_f32_v3;
extern const tg__kernels tg__kernels_f64_v4, tg__kernels_f32_v4;
#endif

static const tg__kernels *chosen[2] = { &tg__kernels_f64_base, &tg__kernels_f32_base };
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void)
{
#if TG_LEVELS > 1
    __builtin_cpu_init();
    const char *forced = getenv("TAPEGRAD_LEVEL");
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    int level = v4 ? 4 : v3 ? 3 : 1;
    if (forced && strcmp(forced, "base") == 0) level = 1;
    if (forced && strcmp(forced, "v3") == 0 && v3) level = 3;
    if (level == 4) chosen[0] = &tg__kernels_f64_v4, chosen[1] = &tg__kernels_f32_v4;
    if (level == 3) chosen[0] = &tg__kernels_f64_v3, chosen[1] = &tg__kernels_f32_v3;
#endif
}

const tg__kernels *tg__kernels_for(tg_type type)
{
    pthread_once(&once, choose);
    return chosen[type == TG_F32];
}
