/* Programs as C: see tg_program_emit_c. The file is written when all of its text is there. */
#include <stdio.h>
#include <string.h>

#include "program/emit.h"

enum { STACK_BYTES = 1 << 20 }; /* the most that the functions' arrays may take */

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return name && *name && strchr(letters, *name) && name[strspn(name, all)] == 0;
}

static bool write_file(const tg__emission *all, const tg__emitted *made, FILE *file)
{
    fprintf(file,
            "/* %s, for count instances, which lie one behind the other. Inputs and outputs must not\n"
            "   overlap.%s%s Written by tapegrad. */\n"
            "%s#include <math.h>\n%s#include <stdint.h>\n\n",
            all->name,
            made->draws ? " What is random is drawn anew for every run, by its number." : "",
            made->fails ? "\n   False where tg_run fails: outputs are undefined then." : "",
            all->asserts ? "#include <assert.h>\n" : "", all->bools ? "#include <stdbool.h>\n" : "");
    fwrite(all->text.data, 1, all->text.used, file);
    return !ferror(file);
}

/* All of the text; false with the error. */
static bool write_text(tg__emission *all, const tg_program *p, tg__emitted *made, tg_status *status)
{
    *status = (tg_status){ .code = TG_ERROR_MEMORY, .message = "no memory" };
    all->helper = tg__arena_push(&all->flags, (size_t)tg__op_count * sizeof *all->helper);
    if (!all->helper) return false;
    memset(all->helper, 0, (size_t)tg__op_count * sizeof *all->helper);
    *made = (tg__emitted){ .program = p };
    if (!tg__emit_program(all, made, status)) return false;
    if (made->bytes <= STACK_BYTES) return true;
    status->code = TG_ERROR_MEMORY;
    snprintf(status->message, sizeof status->message,
             "the function's arrays would take %zu bytes on the stack, more than %d", made->bytes,
             STACK_BYTES);
    return false;
}

bool tg_program_emit_c(const tg_program *p, const char *name, FILE *file, tg_status *status)
{
    static const char *const what = "emit_c";
    const char *const why = !p               ? "the program is NULL"
                            : !file          ? "the file is NULL"
                            : !is_name(name) ? "the name is no name in C"
                                             : NULL;
    if (why) {
        tg__program_fail(status, TG_ERROR_ARGUMENT, what, why);
        return false;
    }
    tg__memory memory = { .reserve = 0 };
    tg__emission all = { .name = name, .type = p->type, .memory = &memory };
    tg__emitted made;
    tg_status s;
    tg__arena *const arena[] = { &all.text, &all.functions, &all.flags };
    for (int i = 0; i < 3; i++) tg__arena_init(arena[i], &memory);
    bool ok = write_text(&all, p, &made, &s);
    if (!ok) {
        tg__program_fail(status, s.code, what, s.message);
    } else if (!write_file(&all, &made, file)) {
        tg__program_fail(status, TG_ERROR_FILE, what, "the file cannot be written");
        ok = false;
    }
    for (int i = 0; i < 3; i++) tg__arena_free(arena[i]);
    return ok;
}
