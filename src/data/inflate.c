/* Decompression by zlib, and what there is to say without it. */
#include "inner.h"

#include <stdlib.h>

#ifdef TG_HAVE_ZLIB

#include <string.h>
#include <zlib.h>

enum { LARGEST_STEP = 1 << 30 };

static unsigned step(size_t left)
{
    return left < LARGEST_STEP ? (unsigned)left : LARGEST_STEP;
}

/* What z.zalloc and z.zfree are by default is malloc and free: written out, since zlib takes them as
   they are. */
typedef struct stream {
    z_stream z;
    uint8_t *out;
    size_t room, made;
} stream;

/* Room for more output: one byte above the limit, so that going over it is seen, and one for the
   zero at the end. */
static bool make_room(stream *s, size_t limit, tg_status *status)
{
    if (s->made + 1 < s->room) return true;
    const size_t most = limit > SIZE_MAX - 2 ? SIZE_MAX : limit + 2;
    size_t wanted = s->room < (1 << 15) ? 1 << 15 : s->room > SIZE_MAX / 2 ? SIZE_MAX : 2 * s->room;
    if (wanted > most) wanted = most;
    uint8_t *const more = realloc(s->out, wanted);
    if (!more) return tg__data_no_memory(status, "what was compressed", wanted);
    s->out = more;
    s->room = wanted;
    return true;
}

static bool run(stream *s, const tg__file *file, size_t from, size_t length, bool gzip,
                size_t limit, tg_status *status)
{
    size_t taken = 0;
    for (;;) {
        if (!make_room(s, limit, status)) return false;
        const unsigned in = step(length - taken), out = step(s->room - 1 - s->made);
        s->z.next_in = (Bytef *)(uintptr_t)(file->data + from + taken);
        s->z.avail_in = in;
        s->z.next_out = s->out + s->made;
        s->z.avail_out = out;
        const int code = inflate(&s->z, Z_NO_FLUSH);
        taken += in - s->z.avail_in;
        s->made += out - s->z.avail_out;
        const size_t here = from + taken;
        if (s->made > limit)
            return tg__file_wrong(file, here, status,
                                  "unpacks to more than the %zu bytes that it should", limit);
        if (code == Z_MEM_ERROR) return tg__data_no_memory(status, "decompression", 1 << 15);
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return tg__file_wrong(file, here, status, "the compressed data are damaged: %s",
                                  s->z.msg ? s->z.msg : "no reason given");
        if (code == Z_STREAM_END && taken == length) return true;
        if (code == Z_STREAM_END && !gzip)
            return tg__file_wrong(file, here, status,
                                  "the compressed data end %zu bytes before their end",
                                  length - taken);
        if (code == Z_STREAM_END) inflateReset(&s->z);
        else if (taken == length && s->z.avail_out > 0)
            return tg__file_wrong(file, here, status, "the compressed data are cut off");
    }
}

bool tg__inflate(const tg__file *file, size_t from, size_t length, bool gzip, size_t limit,
                 tg__file *out, tg_status *status)
{
    stream s;
    memset(&s, 0, sizeof s);
    if (inflateInit2(&s.z, gzip ? 15 + 16 : -15) != Z_OK)
        return tg__data_no_memory(status, "decompression", 1 << 15);
    const bool good = run(&s, file, from, length, gzip, limit, status);
    inflateEnd(&s.z);
    if (!good) {
        free(s.out);
        return false;
    }
    s.out[s.made] = 0;
    *out = (tg__file){ .name = file->name, .data = s.out, .size = s.made, .unpacked = true };
    return true;
}

#else

bool tg__inflate(const tg__file *file, size_t from, size_t length, bool gzip, size_t limit,
                 tg__file *out, tg_status *status)
{
    (void)length, (void)gzip, (void)limit, (void)out;
    return tg__file_wrong(file, from, status,
                          "is compressed, and this tapegrad was built without zlib");
}

#endif
