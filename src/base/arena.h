/* Memory: the only place that asks the system for any. An arena is one growing array that keeps
   what it has got. With the system's memory it reserves address space and does not move within it;
   beyond that, with a caller's allocator, or where address space is not to be had, it grows by
   doubling, and outgrown blocks stay readable until tg__arena_settle. */
#ifndef TG_BASE_ARENA_H
#define TG_BASE_ARENA_H

#include <tapegrad/value.h>

/* Where arenas get memory, and how much they have. One per tape. */
typedef struct tg__memory {
    tg_allocator allocator; /* allocate NULL: the system */
    size_t reserve;         /* address space for an arena; 0: always grow by doubling */
    size_t reserve_from;    /* the size from which on an arena gets that; before it grows by doubling */
    size_t max_bytes;       /* 0: no limit */
    size_t first;           /* what an arena asks for first; 0: 64 KiB */
    size_t bytes;           /* obtained now */
    size_t allocations;     /* how often more was asked for */
} tg__memory;

typedef struct tg__arena {
    char *data;      /* aligned to 64 bytes; NULL before the first growth */
    size_t used;     /* bytes; the owner's to change, at most capacity */
    size_t capacity; /* bytes that may be used */
    size_t reserved; /* bytes of address space; 0: data was allocated */
    bool lent;       /* data is a part of another arena */
    bool raw;        /* the owner's to set: new memory need not be zero */
    size_t dirty;    /* so much of a raw arena's block may be other than zero */
    void *outgrown;  /* earlier blocks */
    tg__memory *memory;
} tg__arena;

/* One block that is no arena (the tape itself). NULL when there is no memory. */
void *tg__allocate(tg__memory *m, size_t bytes);
void tg__deallocate(tg__memory *m, void *p, size_t bytes);

void tg__arena_init(tg__arena *a, tg__memory *m);
void tg__arena_free(tg__arena *a);

/* Makes capacity at least bytes; false when there is no memory, and then nothing has changed. New
   memory is zero, but of a raw arena. */
bool tg__arena_extend(tg__arena *a, size_t bytes);

static inline bool tg__arena_grow(tg__arena *a, size_t bytes)
{
    return __builtin_expect(bytes <= a->capacity, 1) || tg__arena_extend(a, bytes);
}

/* Gives outgrown blocks back. */
void tg__arena_settle(tg__arena *a);

/* bytes more, aligned to 64, or NULL. They stay readable where they are; after the next growth that
   is no longer where the arena is. */
void *tg__arena_push(tg__arena *a, size_t bytes);

/* Makes capacity at least bytes; where the arena has none of its own yet, by a part of a block which must
   stay as long: several small arenas in one piece of memory. If it grows beyond that, it gets its own. New
   memory is zero if the block's is. To lend to the same arena again leaves the part it had unused. */
bool tg__arena_lend(tg__arena *block, tg__arena *a, size_t bytes);

/* The same for an arena without memory and for a while, of a raw block: zeros, of what the block has left, or if
   that is too little, of the arena's own. What has been lent since the block's use was `used` is given back at
   once. */
bool tg__arena_borrow(tg__arena *block, tg__arena *a, size_t bytes);
void tg__arena_return(tg__arena *block, size_t used);

#endif
