/* Values, types, positions and errors: the nouns that every other header uses. */
#ifndef TAPEGRAD_VALUE_H
#define TAPEGRAD_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TG_API __attribute__((visibility("default")))
#else
#define TG_API
#endif

/* The highest rank of a tensor. A scalar has rank 0. */
#define TG_MAX_RANK 8

/* What a value's elements are. Index tensors (labels, rows) are TG_I64 and have no gradient. */
typedef enum tg_type {
    TG_F64,
    TG_F32,
    TG_I64,
    /* of data passed in only: */
    TG__I8,
    TG__I16,
    TG__I32,
    TG__U8,
    TG__U16,
    TG__U32,
    TG__U64
} tg_type;

/* A tape: an append-only list of recorded operations with the values that they made (tape.h). */
typedef struct tg_tape tg_tape;

/* A scalar or a tensor on a tape: a handle of 16 bytes, passed by value. Its fields are the
   library's. It lives until its tape is released to an earlier mark, reset or freed; using it later
   is an error that the tape reports, as long as the tape itself lives. */
typedef struct tg_value {
    tg_tape *tape;
    uint32_t id;
    uint32_t generation;
} tg_value;

/* A place in the user's source. The macros of tapegrad/ops.h make one for each call. file must
   outlive the tapes that see it. */
typedef struct tg_site {
    const char *file;
    int line;
} tg_site;

/* Why a call failed. */
typedef enum tg_code {
    TG_OK,
    TG_ERROR_SHAPE,    /* shapes, axes or sizes that do not fit the operation */
    TG_ERROR_TYPE,     /* element types that do not fit */
    TG_ERROR_INDEX,    /* an index outside its axis */
    TG_ERROR_HANDLE,   /* a null handle, a stale handle, or values of two tapes */
    TG_ERROR_MEMORY,   /* no memory, or the tape's byte limit reached */
    TG_ERROR_HISTORY,  /* a gradient asked for where nothing was recorded, or after a leaf was
                          changed */
    TG_ERROR_ARGUMENT, /* any other argument that makes no sense */
    TG_ERROR_FILE,     /* the system refuses: a file that is not there, a full disk */
    TG_ERROR_FORMAT,   /* a file's contents are not what they should be */
    TG_ERROR_GUARD,    /* a condition that C code went by (tg_true) is not what it was when recorded:
                          record again */
} tg_code;

/* The first error of a tape. message is the whole line, "model.c:31: matmul: shapes ... do not
   agree: ..."; file is NULL and line 0 where the call was made without a position. All pointers are
   owned by the tape and live until its error is cleared. */
typedef struct tg_error {
    tg_code code;
    const char *message;
    const char *file;
    int line;
    const char *op;
} tg_error;

/* What went wrong with something that is no tape: a file, an optimiser. Where a call takes a pointer
   to one, its last argument, it writes there when it fails and otherwise leaves it alone; NULL:
   nobody wants to know. */
typedef struct tg_status {
    tg_code code;      /* TG_OK: nothing */
    char message[512]; /* one line, without a line end */
} tg_status;

/* Called once for the first error of a tape (of the first one, where values of two tapes give the
   error to both), and for every error that belongs to no tape (null handles). error lives only
   during the call. The handler may clear the error or reset the tape, but must not free it. */
typedef void tg_error_handler(const tg_error *error, void *user);

/* Where a tape's memory comes from. allocate returns NULL when there is none; release gets the size
   it asked for. */
typedef struct tg_allocator {
    void *(*allocate)(void *user, size_t bytes);
    void (*release)(void *user, void *memory, size_t bytes);
    void *user;
} tg_allocator;

#ifdef __cplusplus
}
#endif
#endif
