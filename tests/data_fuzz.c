/* Damages the samples at random and parses them: nothing may crash, leak or loop. For sanitizers.

       data_fuzz [ROUNDS [SEED]]

   Without arguments a short run. Exits with 1 only if a sample itself is refused. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/random.h"
#include "data_samples.h"

enum { ROOM = 4096, SHORT_RUN = 20000 };

/* A file being damaged. */
typedef struct victim {
    char bytes[ROOM];
    size_t n;
} victim;

static size_t below(tg__random *r, size_t n)
{
    return (size_t)tg__data_random_below(r, n ? n : 1);
}

/* Numbers on which headers stumble. */
static const uint64_t extremes[] = { 0,         1,          UINT8_MAX, INT16_MAX,  UINT16_MAX,
                                     INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX / 8 };

static void put_extreme(victim *v, tg__random *r)
{
    const uint64_t x = extremes[below(r, sizeof extremes / sizeof *extremes)] + below(r, 3) - 1;
    const size_t wide = (size_t)1 << below(r, 4), at = below(r, v->n);
    for (size_t i = 0; i < wide && at + i < v->n; i++) v->bytes[at + i] = (char)(x >> 8 * i);
}

/* Copies a stretch of the file over another place, or into it. */
static void copy_stretch(victim *v, tg__random *r, bool insert)
{
    const size_t from = below(r, v->n), to = below(r, v->n);
    size_t n = below(r, 64);
    if (n > v->n - from) n = v->n - from;
    if (insert && v->n + n <= ROOM) {
        memmove(v->bytes + to + n, v->bytes + to, v->n - to);
        v->n += n;
    }
    if (n > v->n - to) n = v->n - to;
    if (from + n <= ROOM) memmove(v->bytes + to, v->bytes + from, n);
}

static void cut_out(victim *v, tg__random *r)
{
    const size_t from = below(r, v->n);
    size_t n = below(r, 32);
    if (n > v->n - from) n = v->n - from;
    memmove(v->bytes + from, v->bytes + from + n, v->n - from - n);
    v->n -= n;
}

static void damage(victim *v, tg__random *r)
{
    switch (below(r, 7)) {
    case 0: put_extreme(v, r); return;
    case 1: copy_stretch(v, r, true); return;
    case 2: copy_stretch(v, r, false); return;
    case 3: cut_out(v, r); return;
    case 4: v->bytes[below(r, v->n)] = "0123456789-,:[]{}()'\"\\ \n<>"[below(r, 26)]; return;
    default: v->bytes[below(r, v->n)] ^= (char)(1u << below(r, 8));
    }
}

int main(int count, char **argument)
{
    const long rounds = count > 1 ? strtol(argument[1], NULL, 10) : SHORT_RUN;
    const uint64_t seed = count > 2 ? strtoull(argument[2], NULL, 10) : 1;
    tg__random r = tg__data_random_new(seed, TG__FOR_POINTS, 0);
    long accepted = 0;
    double sum = 0;
    for (long i = 0; i < rounds; i++) {
        const data_sample *const s = data_samples + below(&r, (size_t)data_sample_count);
        victim v = { .n = s->size };
        memcpy(v.bytes, s->bytes, s->size);
        for (size_t k = below(&r, 6); k > 0 && v.n > 0; k--) damage(&v, &r);
        tg_status status;
        void *const parsed = parse_bytes(s->form, v.bytes, v.n, &status);
        if (!parsed) continue;
        accepted++;
        sum += look_through(s->form, parsed);
        drop_parsed(s->form, parsed);
    }
    printf("seed %" PRIu64 ": %ld of %ld files accepted, sum %g\n", seed, accepted, rounds, sum);
    return accepted == 0;
}
