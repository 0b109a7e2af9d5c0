/* Capsules: a failing check as a text file, from which the same check can be run again.

       tapegrad capsule 1
       check NAME of KIND
       seed 7, scheme 0, rtol 0, step 0, directions 0
       input 0: 3 numbers (3)
       0.25
       ...
       found: the message
       again: TAPEGRAD_REPLAY=this file, and the program
       recorded: what a model has on its tape, instruction by instruction

   Numbers are written with 17 digits: they come back as they were. */
#define _POSIX_C_SOURCE 200809L /* readlink */
#include "check/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME 128

static const char *name_of(const tg__check *c)
{
    return c->options.name ? c->options.name : "unnamed";
}

/* A name as one word of letters, digits and a few others, for a file. */
static void as_word(const char *name, char word[NAME])
{
    size_t i = 0;
    for (; name[i] && i + 1 < NAME; i++) {
        const char x = name[i];
        const bool plain = (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') ||
                           (x >= '0' && x <= '9') || x == '-' || x == '.';
        word[i] = plain ? x : '_';
    }
    word[i] = 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The program that runs, as a command. */
static const char *program(char *text, size_t size)
{
    const ssize_t n = readlink("/proc/self/exe", text, size - 1);
    if (n <= 0) return "the program that made this";
    text[n] = 0;
    return text;
}

static void write_to(const tg__check *c, FILE *file, const char *word, const char *path)
{
    const tg_check_options *o = &c->options;
    char name[1024];
    fprintf(file, "tapegrad capsule 1\ncheck %s of %s\n", word, c->kind);
    fprintf(file, "seed %llu, scheme %d, rtol %.17g, step %.17g, directions %zu\n",
            (unsigned long long)o->seed, (int)o->scheme, o->rtol, o->step, o->directions);
    for (int i = 0; i < c->n; i++) {
        const tg_check_input *x = &c->inputs[i];
        const size_t n = tg__input_size(x);
        fprintf(file, "input %d: %zu numbers (", i, n);
        for (int d = 0; d < x->rank; d++)
            fprintf(file, "%s%lld", d ? ", " : "", (long long)x->shape[d]);
        fprintf(file, ")\n");
        for (size_t k = 0; k < n; k++) fprintf(file, "%.17g\n", x->data[k]);
    }
    fprintf(file, "found: %s\nagain: TAPEGRAD_REPLAY=%s %s\n", c->report->message, path,
            program(name, sizeof name));
    if (!c->print) return;
    fprintf(file, "recorded:\n");
    c->print(c, file);
}

void tg__write_capsule(const tg__check *c)
{
    char word[NAME], path[1024];
    const char *const directory = getenv("TAPEGRAD_CAPSULES");
    as_word(name_of(c), word);
    if (!c->inputs || !c->sheet) return; /* it came to nothing before it began */
    if (c->options.capsule) snprintf(path, sizeof path, "%s", c->options.capsule);
    else if (directory && directory[0] && c->options.name)
        snprintf(path, sizeof path, "%s/%s.capsule", directory, word);
    else return;
    FILE *const file = fopen(path, "w");
    const size_t used = strlen(c->report->message), room = sizeof c->report->message - used;
    if (!file) {
        snprintf(c->report->message + used, room, " (no capsule: %s cannot be written)", path);
        return;
    }
    write_to(c, file, word, path);
    const bool bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad)
        snprintf(c->report->message + used, room, " (no capsule: %s cannot be written)", path);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_input(tg__check *c, FILE *file, int input, const double **data)
{
    int number;
    size_t size;
    const size_t n = tg__input_size(&c->inputs[input]);
    if (fscanf(file, " input %d: %zu numbers (%*[^)\n]", &number, &size) != 2)
        return tg__stop(c, TG_FAILED, "failed: the capsule has no input %d", input);
    if (size != n)
        return tg__stop(c, TG_FAILED, "failed: input %d has %zu numbers in the capsule, here %zu",
                        input, size, n);
    double *const x = tg__push_doubles(c, n);
    if (!x) return tg__stop_for_memory(c);
    bool read = fgetc(file) != EOF; /* the ) */
    for (size_t k = 0; k < n && read; k++) read = fscanf(file, "%lf", &x[k]) == 1;
    data[input] = x;
    return read ? true : tg__stop(c, TG_FAILED, "failed: the capsule's input %d is cut off", input);
}

/* The head; *mine: it is of this check. */
static bool read_head(tg__check *c, FILE *file, tg_check_options *o, bool *mine)
{
    char name[NAME], kind[NAME], word[NAME];
    unsigned long long seed;
    int version, scheme;
    as_word(name_of(c), word);
    *mine = false;
    if (fscanf(file, "tapegrad capsule %d check %127s of %127s", &version, name, kind) != 3 ||
        version != 1)
        return tg__stop(c, TG_FAILED, "failed: the file that TAPEGRAD_REPLAY names is no capsule");
    if (strcmp(name, word) != 0 || strcmp(kind, c->kind) != 0) return true;
    if (fscanf(file, " seed %llu, scheme %d, rtol %lf, step %lf, directions %zu", &seed, &scheme,
               &o->rtol, &o->step, &o->directions) != 5 ||
        scheme < TG_LADDER || scheme > TG_FORWARD || !(o->rtol >= 0) || !(o->step >= 0))
        return tg__stop(c, TG_FAILED, "failed: the capsule's options cannot be read");
    o->seed = seed;
    o->scheme = (tg_scheme)scheme;
    *mine = true;
    return true;
}

/* Takes options and inputs from the capsule that is to be replayed, if it is of this check. */
bool tg__replay(tg__check *c, const double **data)
{
    const char *const path = getenv("TAPEGRAD_REPLAY");
    bool mine;
    if (!path || !path[0]) return true;
    FILE *const file = fopen(path, "r");
    if (!file)
        return tg__stop(c, TG_FAILED,
                        "failed: %s, which TAPEGRAD_REPLAY names, cannot be "
                        "read",
                        path);
    bool read = read_head(c, file, &c->options, &mine);
    for (int i = 0; i < c->n && read && mine; i++) read = read_input(c, file, i, data);
    fclose(file);
    return read;
}
