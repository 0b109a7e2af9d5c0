/* Memory: where it comes from, how much of it, and that all of it goes back. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tapegrad.h>

#include "base/arena.h"

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(memory, .init = quiet);

static void expect(bool held, const char *text, int line)
{
    cr_expect(held, "line %d: %s", line, text);
}

/* Criterion's own assertions would print macros in full. */
#define EXPECT(condition) expect((condition), #condition, __LINE__)

typedef struct meter {
    size_t bytes, calls;
} meter;

static void *take(void *user, size_t bytes)
{
    meter *const m = user;
    void *const p = malloc(bytes);
    if (p) m->bytes += bytes, m->calls++;
    return p;
}

static void give_back(void *user, void *memory, size_t bytes)
{
    ((meter *)user)->bytes -= bytes;
    free(memory);
}

/* ---- arenas --------------------------------------------------------------------------------- */

static bool holds(const char *data, size_t begin, size_t end, char wanted)
{
    for (size_t i = begin; i < end; i++)
        if (data[i] != wanted) return false;
    return true;
}

/* Grows byte by byte and by leaps; what was there stays, what is new is zero. */
static void expect_growth(tg__memory *m)
{
    tg__arena a;
    tg__arena_init(&a, m);
    const size_t sizes[] = { 1, 63, 64, 65, 100, 65536, 65537, 200000, 1000000, 1000001, 5000000 };
    size_t filled = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert(tg__arena_grow(&a, sizes[i]));
        cr_expect(a.capacity >= sizes[i] && (uintptr_t)a.data % 64 == 0);
        cr_expect(holds(a.data, 0, filled, 7) && holds(a.data, filled, a.capacity, 0), "size %zu",
                  sizes[i]);
        memset(a.data, 7, sizes[i]);
        filled = sizes[i];
    }
    tg__arena_settle(&a);
    cr_expect(holds(a.data, 0, filled, 7));
    cr_expect(a.capacity < 2 * filled + 64);
    tg__arena_free(&a);
    cr_expect(m->bytes == 0);
}

Test(memory, arenas_grow_and_keep_what_they_hold_wherever_their_memory_comes_from)
{
    meter counted = { 0 };
    tg__memory reserving = { .reserve = 1 << 30 }, small = { .reserve = 100000 },
               tiny = { .reserve = 1 }, late = { .reserve = 1 << 30, .reserve_from = 1 << 17 }, plain = { 0 };
    tg__memory own = { .allocator = { take, give_back, &counted } };
    expect_growth(&reserving);
    expect_growth(&small);
    expect_growth(&tiny);
    expect_growth(&late);
    expect_growth(&plain);
    expect_growth(&own);
    cr_expect(counted.bytes == 0 && counted.calls > 5);
    cr_expect(reserving.allocations < 15, "doubling: %zu", reserving.allocations);
}

Test(memory, an_arena_that_begins_in_a_part_of_another_one_gets_its_own_memory_when_it_grows)
{
    meter counted = { 0 };
    tg__memory kinds[] = { { .first = 64 }, { .first = 64, .reserve = 1 << 26, .reserve_from = 1 << 12 },
                           { .first = 64, .allocator = { take, give_back, &counted } } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        tg__memory *const m = &kinds[i];
        tg__arena block, a, b;
        tg__arena_init(&block, m), tg__arena_init(&a, m), tg__arena_init(&b, m);
        cr_assert(tg__arena_lend(&block, &a, 100) && tg__arena_lend(&block, &b, 1000));
        cr_expect(a.capacity >= 100 && b.capacity >= 1000 && (uintptr_t)b.data % 64 == 0);
        cr_expect(holds(a.data, 0, 100, 0) && holds(b.data, 0, 1000, 0), "new memory is zero");
        memset(a.data, 1, 100), memset(b.data, 2, 1000);
        a.used = 100, b.used = 1000;
        cr_assert(tg__arena_lend(&block, &a, 5000));
        cr_expect(a.lent && a.used == 100 && holds(a.data, 0, 100, 1) && holds(a.data, 100, 5000, 0), "a larger part");
        cr_assert(tg__arena_grow(&a, 20000) && tg__arena_lend(&block, &a, 40000));
        cr_expect(!a.lent && a.capacity >= 40000 && holds(a.data, 0, 100, 1) && holds(a.data, 100, 40000, 0));
        memset(a.data, 3, 40000);
        cr_expect(b.lent && holds(b.data, 0, 1000, 2), "its neighbour stays");
        tg__arena_free(&a), tg__arena_free(&b), tg__arena_free(&block);
        cr_expect(m->bytes == 0 && counted.bytes == 0);
    }
}

Test(memory, what_is_borrowed_of_a_block_is_zero_and_given_back)
{
    enum { LASTING = 1 << 20, BORROWED = 6 << 20 };
    for (int reserved = 0; reserved < 2; reserved++) {
        tg__memory m = { .reserve = reserved ? (size_t)1 << 32 : 0 };
        tg__arena block, a;
        tg__arena_init(&block, &m);
        block.raw = true;
        EXPECT(tg__arena_grow(&block, LASTING + BORROWED + 64));
        char *const lasting = tg__arena_push(&block, LASTING);
        memset(lasting, 1, LASTING);
        for (int again = 0; again < 3; again++) {
            tg__arena_init(&a, &m);
            const size_t bytes = again == 1 ? BORROWED / 2 : BORROWED;
            EXPECT(tg__arena_grow(&block, LASTING + BORROWED + 64));
            EXPECT(tg__arena_borrow(&block, &a, bytes));
            EXPECT(a.data == lasting + LASTING && a.capacity == bytes && holds(a.data, 0, bytes, 0));
            memset(a.data, 2, bytes);
            const size_t had = m.bytes;
            tg__arena_free(&a);
            tg__arena_return(&block, LASTING);
            EXPECT(block.used == LASTING && holds(lasting, 0, LASTING, 1));
            EXPECT(reserved ? m.bytes < had : m.bytes == had);
        }
        tg__arena_init(&a, &m); /* more than the block has left */
        EXPECT(tg__arena_borrow(&block, &a, 2 * BORROWED) && !a.lent && holds(a.data, 0, 2 * BORROWED, 0));
        tg__arena_free(&a);
        tg__arena_free(&block);
        EXPECT(m.bytes == 0);
    }
}

Test(memory, a_reserved_arena_does_not_move)
{
    tg__memory m = { .reserve = 1 << 26 };
    tg__arena a;
    tg__arena_init(&a, &m);
    cr_assert(tg__arena_grow(&a, 1));
    const char *const data = a.data;
    cr_assert(tg__arena_grow(&a, 1 << 26));
    cr_expect(a.data == data && !a.outgrown);
    cr_assert(tg__arena_grow(&a, (1 << 26) + 1));
    cr_expect(a.data != data && a.outgrown && data[(1 << 26) - 1] == 0,
              "beyond the reserve it does, and the old one stays");
    tg__arena_free(&a);
    cr_expect(m.bytes == 0);
}

Test(memory, an_arena_that_becomes_large_moves_to_reserved_space_once)
{
    tg__memory m = { .first = 1024, .reserve = 1 << 26, .reserve_from = 1 << 17 };
    tg__arena a;
    tg__arena_init(&a, &m);
    cr_assert(tg__arena_grow(&a, 1024));
    cr_expect(!a.reserved);
    memset(a.data, 3, 1024);
    const char *const small = a.data;
    cr_assert(tg__arena_grow(&a, 1 << 18));
    const char *const large = a.data;
    cr_expect(a.reserved && a.outgrown && holds(small, 0, 1024, 3) && holds(large, 0, 1024, 3));
    tg__arena_settle(&a);
    cr_assert(tg__arena_grow(&a, 1 << 26));
    cr_expect(a.data == large && !a.outgrown && m.bytes == a.capacity);
    m.max_bytes = m.bytes + 1000;
    cr_expect(!tg__arena_grow(&a, (1 << 26) + 1), "there is a limit");
    tg__arena_free(&a);
    cr_expect(m.bytes == 0);
}

Test(memory, outgrown_blocks_stay_readable_until_they_are_settled)
{
    meter counted = { 0 };
    tg__memory m = { .allocator = { take, give_back, &counted } };
    tg__arena a;
    tg__arena_init(&a, &m);
    const char *old[8];
    for (int i = 0; i < 8; i++) {
        cr_assert(tg__arena_grow(&a, (size_t)(100 << i) * 100));
        a.data[0] = (char)(i + 1);
        old[i] = a.data;
    }
    for (int i = 0; i < 8; i++)
        cr_expect(old[i][0] == (i < 7 && old[i] != old[i + 1] ? i + 1 : old[i][0]));
    const size_t before = counted.bytes;
    tg__arena_settle(&a);
    cr_expect(counted.bytes < before && counted.bytes == m.bytes && a.data[0] == 8);
    tg__arena_free(&a);
    cr_expect(counted.bytes == 0);
}

Test(memory, sizes_beyond_all_memory_are_refused_and_change_nothing)
{
    tg__memory reserving = { .reserve = 1 << 20 }, plain = { 0 };
    tg__memory *const all[] = { &reserving, &plain };
    for (int i = 0; i < 2; i++) {
        tg__arena a;
        tg__arena_init(&a, all[i]);
        cr_assert(tg__arena_grow(&a, 1000));
        const tg__arena before = a;
        const size_t bytes = all[i]->bytes;
        const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2 + 1, SIZE_MAX / 2,
                                 (size_t)1 << 62 };
        for (int j = 0; j < 5; j++) {
            cr_expect(!tg__arena_grow(&a, sizes[j]), "%zu", sizes[j]);
            cr_expect(memcmp(&a, &before, sizeof a) == 0 && all[i]->bytes == bytes, "%zu",
                      sizes[j]);
        }
        cr_expect(!tg__arena_push(&a, SIZE_MAX) && !tg__arena_push(&a, SIZE_MAX - 100));
        tg__arena_free(&a);
    }
}

Test(memory, a_limit_is_kept_to_the_byte)
{
    tg__memory m = { .max_bytes = 100000 };
    tg__arena a;
    tg__arena_init(&a, &m);
    cr_expect(tg__arena_grow(&a, 70000) && m.bytes <= 100000,
              "less than doubling, where that is too much");
    cr_expect(!tg__arena_grow(&a, 100001) && m.bytes <= 100000);
    void *const p = tg__allocate(&m, 100000 - m.bytes);
    cr_expect(p && m.bytes == 100000 && !tg__allocate(&m, 1));
    tg__deallocate(&m, p, 100000 - (a.capacity + 64));
    tg__arena_free(&a);
    cr_expect(m.bytes == 0);
}

/* ---- tapes ---------------------------------------------------------------------------------- */

/* A model of n values, of tensors, scalars and names. Its value is n. */
static double model(tg_tape *t, int n)
{
    const tg_value v = tg_name(tg_param(t, NULL, n), "v"), one = tg_scalar(t, 1);
    tg_value s = one;
    for (int i = 0; i < n; i++) s = tg_mul(s, one);
    const tg_value y = tg_mul(tg_sum(tg_exp(v)), s);
    return tg_backward(y) && tg_grad(v) && tg_grad(v)[n - 1] == 1 &&
                   tg_grad_item(one) == (double)n * n + n
               ? tg_item(y)
               : NAN;
}

Test(memory, the_bytes_held_are_those_the_allocator_gave_and_all_go_back)
{
    meter m = { 0 };
    const tg_allocator allocator = { take, give_back, &m };
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .allocator = &allocator });
    EXPECT(tg_stats(t).bytes_held == m.bytes);
    EXPECT(model(t, 1000) == 1000 && tg_stats(t).bytes_held == m.bytes);
    EXPECT(model(t, 100000) == 100000 && tg_stats(t).bytes_held == m.bytes &&
           tg_stats(t).allocations == m.calls);
    const size_t most = m.bytes;
    tg_reset(t);
    EXPECT(tg_stats(t).bytes_held == m.bytes && m.bytes < most); /* outgrown blocks are gone */
    const size_t calls = m.calls;
    EXPECT(model(t, 100000) == 100000 && m.calls == calls);
    tg_tape_free(t);
    EXPECT(m.bytes == 0);
}

Test(memory, an_allocator_and_a_reservation_give_the_same_results)
{
    meter m = { 0 };
    const tg_allocator allocator = { take, give_back, &m };
    const tg_tape_options options[] = {
        { 0 }, { .allocator = &allocator }, { .reserve = 1 }, { .reserve = 1 << 17 }
    };
    for (int i = 0; i < 4; i++) {
        tg_tape *const t = tg_tape_new(&options[i]);
        EXPECT(model(t, 50000) == 50000);
        tg_tape_free(t);
    }
    EXPECT(m.bytes == 0);
}

Test(memory, data_read_before_the_arena_moved_stay_readable)
{
    meter m = { 0 };
    const tg_allocator allocator = { take, give_back, &m };
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .allocator = &allocator });
    const double d[3] = { 1, 2, 3 };
    const tg_value v = tg_param(t, d, 3);
    const double *const early = tg_data(v);
    EXPECT(model(t, 200000) == 200000);
    EXPECT(early[0] == 1 && early[2] == 3 && tg_data(v) != early && tg_data(v)[2] == 3);
    tg_tape_free(t);
}

Test(memory, a_byte_limit_is_an_error_and_never_exceeded)
{
    for (size_t limit = 1000; limit < 3000000; limit += limit / 8 + 1) {
        tg_tape *const t = tg_tape_new(&(tg_tape_options){ .max_bytes = limit });
        if (!t) continue;
        double y = 0;
        for (int n = 1; !isnan(y); n *= 2) {
            y = model(t, n);
            cr_expect(isnan(y) == (tg_error_of(t) != NULL) && (isnan(y) || y == n),
                      "limit %zu, n %d: %g", limit, n, y);
            cr_expect(tg_stats(t).bytes_held <= limit, "limit %zu", limit);
            tg_reset(t);
        }
        cr_expect(isnan(y));
        tg_tape_free(t);
    }
}

Test(memory, the_error_of_a_limit_tells_the_limit)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .max_bytes = 1000000 });
    const tg_value v = tg_param(t, NULL, 50000), y = tg_add(v, tg_add(v, v));
    EXPECT(isnan(tg_item(y)));
    EXPECT(tg_error_of(t) && tg_error_of(t)->code == TG_ERROR_MEMORY);
    EXPECT(
        strstr(tg_error_of(t)->message, "add: no memory within the tape's limit of 1000000 bytes"));
    tg_tape_free(t);
}

/* ---- little address space ------------------------------------------------------------------- */

/* Whether the model works in a process that may have so much address space above what it has now.
   */
static bool works_within(size_t more, int n)
{
    const pid_t child = fork();
    if (child == 0) {
        FILE *const f = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;
        if (!f || fscanf(f, "%lu", &pages) != 1) _exit(2);
        const rlim_t limit = pages * (unsigned long)sysconf(_SC_PAGESIZE) + more;
        if (setrlimit(RLIMIT_AS, &(struct rlimit){ limit, limit })) _exit(2);
        tg_tape *const t = tg_tape_new(NULL);
        const double y = t ? model(t, n) : NAN;
        if (y != n && t && !tg_error_of(t)) _exit(3);
        tg_tape_free(t);
        _exit(y == n ? 0 : 1);
    }
    int status;
    cr_assert(child > 0 && waitpid(child, &status, 0) == child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2, "status %d", status);
    return WEXITSTATUS(status) == 0;
}

/* Sanitizers need terabytes of address space themselves. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
Test(memory, a_tape_makes_do_with_little_address_space)
{
    EXPECT(works_within((size_t)16 << 30, 1000000));
    EXPECT(works_within((size_t)4 << 30, 1000000));
    EXPECT(works_within((size_t)1 << 30, 1000000));
    EXPECT(works_within((size_t)256 << 20, 1000000)); /* 56 MB are used */
    EXPECT(!works_within((size_t)16 << 20, 1000000));
    EXPECT(works_within((size_t)16 << 20, 1000));
    EXPECT(!works_within(0, 1000000));
}
#else
Test(memory, without_a_limit_a_tape_works_in_a_child_process)
{
    EXPECT(works_within((size_t)1 << 50, 1000));
}
#endif
