/* Memory: see arena.h. */
#define _GNU_SOURCE
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FIRST_BYTES = 1 << 16, ALIGNMENT = 64, PARTS = 16, HUGE_PAGE = 2 << 20 };

/* The header of an outgrown block, kept in its first bytes' place: a list of what settle gives
   back. */
typedef struct outgrown {
    struct outgrown *next;
    void *data;
    size_t bytes;    /* charged */
    size_t reserved; /* of address space; 0: data was allocated */
} outgrown;

/* zero: all of it. The system knows which memory is new, and touches none of that. */
static void *obtain(const tg__memory *m, size_t bytes, bool zero)
{
    if (!m->allocator.allocate) return zero ? calloc(1, bytes) : malloc(bytes);
    void *const p = m->allocator.allocate(m->allocator.user, bytes);
    return p && zero ? memset(p, 0, bytes) : p;
}

static void give_back(const tg__memory *m, void *p, size_t bytes)
{
    if (m->allocator.allocate) m->allocator.release(m->allocator.user, p, bytes);
    else free(p);
}

/* Counts bytes more, if the limit allows them. */
static bool charge(tg__memory *m, size_t bytes)
{
    if (m->max_bytes && (bytes > m->max_bytes || m->bytes > m->max_bytes - bytes)) return false;
    m->bytes += bytes;
    m->allocations++;
    return true;
}

static void *allocate(tg__memory *m, size_t bytes, bool zero)
{
    if (!charge(m, bytes)) return NULL;
    void *p = obtain(m, bytes, zero);
    if (!p) m->bytes -= bytes;
    return p;
}

void *tg__allocate(tg__memory *m, size_t bytes)
{
    return allocate(m, bytes, false);
}

void tg__deallocate(tg__memory *m, void *p, size_t bytes)
{
    if (!p) return;
    give_back(m, p, bytes);
    m->bytes -= bytes;
}

void tg__arena_init(tg__arena *a, tg__memory *m)
{
    *a = (tg__arena){ .memory = m };
}

/* The block that the arena has now. */
static outgrown block_of(const tg__arena *a)
{
    if (a->reserved) return (outgrown){ a->outgrown, a->data, a->capacity, a->reserved };
    return (outgrown){ a->outgrown, a->data - a->data[-1], a->capacity + ALIGNMENT, 0 };
}

static void free_block(tg__memory *m, const outgrown *o)
{
    if (!o->reserved) {
        tg__deallocate(m, o->data, o->bytes);
        return;
    }
    munmap(o->data, o->reserved);
    m->bytes -= o->bytes;
}

void tg__arena_settle(tg__arena *a)
{
    for (outgrown *o = a->outgrown, *next; o; o = next) {
        next = o->next;
        free_block(a->memory, o);
        tg__deallocate(a->memory, o, sizeof *o);
    }
    a->outgrown = NULL;
}

void tg__arena_free(tg__arena *a)
{
    tg__arena_settle(a);
    if (a->data && !a->lent) {
        const outgrown last = block_of(a);
        free_block(a->memory, &last);
    }
    tg__arena_init(a, a->memory);
}

/* Address space for an arena: as much as was asked for, or the half, the half of that ..., but no
   more than one part in PARTS of what is left, so that arenas to come and blocks that grow by
   doubling find some too. It begins where a huge page can. */
static void reserve(tg__arena *a, size_t least)
{
    for (size_t bytes = a->memory->reserve; bytes >= least && bytes >= FIRST_BYTES; bytes /= 2) {
        bytes -= bytes % FIRST_BYTES; /* whole pages */
        if (bytes > SIZE_MAX / PARTS) continue;
        char *p = mmap(NULL, bytes * PARTS, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) continue;
        const size_t before = bytes > HUGE_PAGE ? -(uintptr_t)p % HUGE_PAGE : 0;
        if (before) munmap(p, before);
        p += before;
        munmap(p + bytes, bytes * (PARTS - 1) - before);
        a->data = p;
        a->reserved = bytes;
        return;
    }
}

/* Reserved address space in place of the block there is. */
static bool move_to_reserved(tg__arena *a, size_t capacity)
{
    tg__memory *const m = a->memory;
    const tg__arena was = *a;
    outgrown *old = NULL;
    if (a->data && !a->lent && !(old = tg__allocate(m, sizeof *old))) return false;
    if (charge(m, capacity)) {
        reserve(a, capacity);
        if (a->reserved) {
            madvise(a->data, a->reserved, MADV_HUGEPAGE); /* before it is touched; if it can be had */
            if (was.capacity) memcpy(a->data, was.data, was.raw ? was.used : was.capacity);
            a->dirty = was.used;
            if (old) *old = block_of(&was), a->outgrown = old;
            a->capacity = capacity;
            a->lent = false;
            return true;
        }
        m->bytes -= capacity;
    }
    tg__deallocate(m, old, sizeof *old);
    return false;
}

/* A larger block in place of the one there is, which stays readable as an outgrown one. */
static bool move(tg__arena *a, size_t capacity)
{
    tg__memory *m = a->memory;
    outgrown *old = NULL;
    if (a->data && !a->lent && !(old = tg__allocate(m, sizeof *old))) return false;
    char *p = capacity > SIZE_MAX - ALIGNMENT ? NULL : allocate(m, capacity + ALIGNMENT, !a->raw);
    if (!p) {
        tg__deallocate(m, old, sizeof *old);
        return false;
    }
    /* The distance to the block's start, 1 to 64, is kept in the byte before the data. */
    const size_t shift = ALIGNMENT - (uintptr_t)p % ALIGNMENT;
    char *data = p + shift;
    data[-1] = (char)shift;
    if (a->capacity) memcpy(data, a->data, a->raw ? a->used : a->capacity);
    if (old) {
        *old = block_of(a);
        a->outgrown = old;
    }
    a->data = data;
    a->capacity = capacity;
    a->reserved = 0;
    a->dirty = capacity;
    a->lent = false;
    return true;
}

/* The same where small arenas are blocks: reserved address space is for large ones. */
static bool grow_late(tg__arena *a, size_t capacity)
{
    if (capacity < a->memory->reserve_from || capacity > a->memory->reserve) return move(a, capacity);
    if (!a->reserved) return move_to_reserved(a, capacity) || move(a, capacity);
    if (capacity > a->reserved) return move(a, capacity);
    if (!charge(a->memory, capacity - a->capacity)) return false;
    a->capacity = capacity;
    return true;
}

static bool grow_to(tg__arena *a, size_t capacity)
{
    const tg__memory *const m = a->memory;
    if (m->reserve_from) return grow_late(a, capacity);
    if (!a->data && m->reserve) reserve(a, capacity);
    if (capacity > a->reserved) return move(a, capacity);
    if (!charge(a->memory, capacity - a->capacity)) return false;
    a->capacity = capacity;
    return true;
}

bool tg__arena_extend(tg__arena *a, size_t bytes)
{
    const size_t first = a->memory->first ? a->memory->first : FIRST_BYTES;
    const size_t doubled = a->capacity > SIZE_MAX / 2 ? 0 : 2 * a->capacity;
    const size_t grown = doubled > first ? doubled : first, needed = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    /* Who asks for more than that knows how much it will be; and what doubling cannot have, the bytes
       needed, in whole cache lines, may. */
    return bytes <= SIZE_MAX / 2 && ((grown > needed && grow_to(a, grown)) || grow_to(a, needed));
}

void *tg__arena_push(tg__arena *a, size_t bytes)
{
    const size_t start = (a->used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    /* Room for nothing is somewhere, too: NULL means that there is no memory. */
    if (bytes > SIZE_MAX / 2 || !tg__arena_grow(a, start + (bytes ? bytes : 1))) return NULL;
    a->used = start + bytes;
    return a->data + start;
}

bool tg__arena_lend(tg__arena *block, tg__arena *a, size_t bytes)
{
    if (a->data && !a->lent) return tg__arena_grow(a, bytes);
    if (bytes <= a->capacity) return true;
    char *const data = tg__arena_push(block, bytes);
    if (!data) return false;
    if (a->used) memcpy(data, a->data, a->used);
    a->data = data;
    a->capacity = bytes;
    a->lent = true;
    return true;
}

bool tg__arena_borrow(tg__arena *block, tg__arena *a, size_t bytes)
{
    const size_t start = (block->used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (start > block->capacity || bytes > block->capacity - start) return tg__arena_grow(a, bytes);
    if (!tg__arena_lend(block, a, bytes)) return false;
    if (start < block->dirty) memset(a->data, 0, block->dirty - start < bytes ? block->dirty - start : bytes);
    return true;
}

void tg__arena_return(tg__arena *block, size_t used)
{
    if (block->dirty < block->used) block->dirty = block->used;
    block->used = used;
    if (!block->reserved) return;
    /* Whole large pages go back to the system. */
    const size_t kept = (used + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (kept >= block->capacity || madvise(block->data + kept, block->capacity - kept, MADV_DONTNEED)) return;
    block->memory->bytes -= block->capacity - kept;
    block->capacity = block->dirty = kept;
}
