/* What programs hold: see memory.h. */
#include "memory.h"

#include "program/run.h"

double program_bytes(const tg_program *p, const tg_workspace *w)
{
    size_t bytes = p->memory.bytes + w->memory.bytes;
    for (int i = 0; i < TG__PLANS; i++) {
        const tg__plan *const plan = atomic_load(&p->plan[i]);
        if (plan) bytes += plan->memory.bytes;
    }
    for (int i = 0; i < w->members; i++) bytes += w->desk[i].memory.bytes;
    return (double)bytes;
}
