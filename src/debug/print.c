/* The tape as text, and as a graph for Graphviz. */
#include <math.h>
#include <string.h>

#include "codes.h" /* generated */
#include "debug/look.h"

enum { ELEMENTS = 4, LIMIT = 200, LINE = 1024, OPERANDS = 6 };

typedef struct print {
    tg__look *l;
    tg_print_options o;
    FILE *file;
    uint32_t first, end; /* instructions that are looked at */
    char *shown;         /* by instruction */
    size_t left_out;     /* that belong, and are too many */
} print;

/* ---- what is shown --------------------------------------------------------------------------- */

/* Takes from shown what is not made from the value from. */
static void keep_descendants(print *p)
{
    tg__look *const l = p->l;
    const uint32_t source = tg__look_maker(l, p->o.from.id);
    for (uint32_t i = 0; i < p->end; i++) {
        uint32_t room[2];
        int n;
        const uint32_t *const id = tg__operand_ids(l->t, &l->t->head.code[i], room, &n);
        bool from = i == source;
        for (int j = 0; j < n; j++) {
            const uint32_t maker = tg__look_maker(l, id[j]);
            from |= maker >= source && p->shown[maker];
        }
        p->shown[i] = p->shown[i] && from && i >= source;
    }
}

/* Takes from shown what is more than depth steps back from the last instruction. */
static bool keep_near(print *p)
{
    tg__look *const l = p->l;
    int *const far = tg__look_room(l, p->end, sizeof *far); /* 1 + the distance; 0: unknown */
    if (!far) return false;
    if (p->end) far[p->end - 1] = 1;
    for (uint32_t i = p->end; i-- > 0;) {
        uint32_t room[2];
        int n;
        if (!far[i] || far[i] > p->o.depth + 1) p->shown[i] = 0;
        if (!far[i]) continue;
        const uint32_t *const id = tg__operand_ids(l->t, &l->t->head.code[i], room, &n);
        for (int j = 0; j < n; j++) {
            int *const d = &far[tg__look_maker(l, id[j])];
            if (!*d || *d > far[i] + 1) *d = far[i] + 1;
        }
    }
    return true;
}

static void keep_named(print *p)
{
    for (uint32_t i = 0; i < p->end; i++) {
        if (!p->shown[i]) continue;
        const char *const name = tg__look_name(p->l, p->l->t->head.code[i].y);
        p->shown[i] = name && strstr(name, p->o.name);
    }
}

static void keep_newest(print *p)
{
    const size_t limit = p->o.limit ? p->o.limit : LIMIT;
    size_t n = 0;
    for (uint32_t i = p->end; i-- > 0;) {
        if (!p->shown[i] || n++ < limit) continue;
        p->shown[i] = 0;
        p->left_out++;
    }
}

static bool select_shown(print *p, bool to)
{
    tg__look *const l = p->l;
    p->end = to ? l->last + 1 : l->t->head.n_code;
    p->shown = tg__look_room(l, p->end, 1);
    if (!p->shown) return false;
    for (uint32_t i = 0; i < p->end; i++) p->shown[i] = to ? tg__look_needs(l, i) : 1;
    if (p->o.from.tape) keep_descendants(p);
    if (p->o.depth > 0 && !keep_near(p)) return false;
    if (p->o.name) keep_named(p);
    keep_newest(p);
    return true;
}

/* ---- words ----------------------------------------------------------------------------------- */

static const char *kind_of(const tg_tape *t, uint32_t i)
{
    static const char *const kinds[] = { "parameter", "input", "constant" };
    const tg__instruction *const in = &t->head.code[i];
    if (tg__value_array(t, in->y).s->type == TG_I64) return "index";
    return in->a < 3 ? kinds[in->a] : "leaf";
}

static void say_operation(const print *p, tg__text *x, uint32_t i)
{
    const tg_tape *const t = p->l->t;
    uint32_t room[2];
    int n;
    if (t->head.code[i].op == TG__LEAF) {
        tg__say(x, "%s", kind_of(t, i));
        return;
    }
    const uint32_t *const id = tg__operand_ids(t, &t->head.code[i], room, &n);
    tg__say(x, "%s(", tg__name_at(t, i));
    for (int j = 0; j < n && j < OPERANDS; j++) {
        if (j) tg__say(x, ", ");
        tg__say_value(p->l, x, id[j]);
    }
    tg__say(x, n > OPERANDS ? ", ...)" : ")");
}

static int64_t elements_of(const print *p)
{
    return p->o.elements == 0 ? ELEMENTS : p->o.elements;
}

static bool has_gradient(const tg_tape *t, uint32_t id)
{
    const uint32_t offset = id & TG__DESCRIPTOR ? tg__descriptor_of(t, id)->offset : id;
    return tg__value_array(t, id).s->type != TG_I64 && offset < t->graded &&
           tg__has_gradient(t, id);
}

static bool begin_print(print *p, const char *what, tg_tape *tape, const tg_print_options *options,
                        FILE *file, tg_status *status)
{
    p->o = options ? *options : (tg_print_options){ 0 };
    p->file = file;
    const bool to = p->o.to.tape;
    if (!to && !tg__look_begin_tape(p->l, what, tape, status)) return false;
    if (to && !tg__look_begin(p->l, what, p->o.to, status)) return false;
    if (!file) return tg__look_fail(p->l, TG_ERROR_ARGUMENT, "the file is NULL");
    if (p->l->t != tape)
        return tg__look_fail(p->l, TG_ERROR_HANDLE, "to is a value of another tape");
    if (p->o.from.tape && !tg__look_takes(p->l, p->o.from, "from")) return false;
    return select_shown(p, to);
}

static bool end_print(print *p, bool ok)
{
    if (ok && ferror(p->file))
        ok = tg__look_fail(p->l, TG_ERROR_FILE, "the file cannot be written");
    tg__look_end(p->l);
    return ok;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_line(const print *p, uint32_t i)
{
    const tg_tape *const t = p->l->t;
    const uint32_t y = t->head.code[i].y;
    const tg__array a = tg__value_array(t, y);
    const tg_site site = tg__site_of(t, i);
    const char *const name = tg__look_name(p->l, y);
    char line[LINE];
    tg__text x = { line, sizeof line, 0 };
    tg__say(&x, "%%%u ", i);
    if (name) {
        tg__say_value(p->l, &x, y);
        tg__say(&x, " ");
    }
    tg__say(&x, "= ");
    say_operation(p, &x, i);
    fprintf(p->file, "%-36s", line);
    x = (tg__text){ line, sizeof line, 0 };
    tg__say(&x, " %s", TG__SHAPE_TEXT(a.s));
    if (p->o.elements >= 0) {
        tg__say(&x, "  ");
        tg__say_elements(&x, a, elements_of(p));
        if (has_gradient(t, y)) {
            tg__say(&x, "  gradient ");
            tg__say_elements(&x, tg__adjoint_array(t, y), elements_of(p));
        }
    }
    fprintf(p->file, "%s", line);
    if (site.file) fprintf(p->file, "  %s:%d", site.file, site.line);
    fprintf(p->file, "\n");
}

bool tg_print_tape(tg_tape *tape, const tg_print_options *options, FILE *file, tg_status *status)
{
    tg__look l;
    print p = { .l = &l };
    const bool ok = begin_print(&p, "print_tape", tape, options, file, status);
    if (ok && p.left_out) fprintf(file, "... %zu earlier ones\n", p.left_out);
    for (uint32_t i = 0; ok && i < p.end; i++)
        if (p.shown[i]) print_line(&p, i);
    return end_print(&p, ok);
}

/* ---- Graphviz -------------------------------------------------------------------------------- */

/* The bytes of the character of UTF-8 that begins here; 0: none does. */
static int utf8_length(const unsigned char *c)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const int n = c[0] < 0x80 ? 1 : c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : c[0] >= 0xc0 ? 2 : 0;
    uint32_t code = n > 1 ? c[0] & (0x7fu >> n) : c[0];
    for (int i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    const bool allowed = n && code >= least[n] && code <= 0x10ffff && code >> 11 != 0x1b &&
                         code != 0xfffe && code != 0xffff;
    return allowed ? n : 0;
}

/* A line of a label. What XML could not hold is written as its number. */
static void print_escaped(FILE *file, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        const int n = utf8_length(c);
        if (n == 0 || *c < ' ' || *c == 0x7f) {
            fprintf(file, "\\\\x%02x", *c++);
            continue;
        }
        if (*c == '"' || *c == '\\') fprintf(file, "\\%c", *c);
        else if (*c == '&') fprintf(file, "&amp;");
        else fprintf(file, "%.*s", n, (const char *)c);
        c += n;
    }
}

static void print_label(const print *p, uint32_t i)
{
    const tg_tape *const t = p->l->t;
    const uint32_t y = t->head.code[i].y;
    const tg__array a = tg__value_array(t, y);
    const tg_site site = tg__site_of(t, i);
    char line[LINE];
    tg__text x = { line, sizeof line, 0 };
    tg__say_value(p->l, &x, y);
    print_escaped(p->file, line);
    fprintf(p->file, "\\n");
    print_escaped(p->file, t->head.code[i].op == TG__LEAF ? kind_of(t, i) : tg__name_at(t, i));
    if (a.s->rank) fprintf(p->file, " %s", TG__SHAPE_TEXT(a.s));
    if (p->o.elements >= 0) {
        x.used = 0;
        tg__say_elements(&x, a, elements_of(p));
        fprintf(p->file, "\\n%s", line);
        if (has_gradient(t, y)) {
            x.used = 0;
            tg__say_elements(&x, tg__adjoint_array(t, y), elements_of(p));
            fprintf(p->file, "\\ngradient %s", line);
        }
    }
    if (!site.file) return;
    fprintf(p->file, "\\n");
    print_escaped(p->file, site.file);
    fprintf(p->file, ":%d", site.line);
}

static const char *look_of(const tg_tape *t, uint32_t i)
{
    const tg__instruction *const in = &t->head.code[i];
    if (tg__first_nonfinite(tg__value_array(t, in->y), false) >= 0)
        return "color=\"#c00000\" penwidth=2";
    if (in->op != TG__LEAF)
        return in->flags & TG__INACTIVE ? "style=\"rounded,dashed\"" : "style=rounded";
    if (in->a == TG_PARAMETER && tg__has_gradient(t, in->y))
        return "style=filled fillcolor=\"#d5e5f5\"";
    return "style=filled fillcolor=\"#eeeeee\"";
}

static void print_node(const print *p, uint32_t i)
{
    const tg_tape *const t = p->l->t;
    fprintf(p->file, "  n%u [%s label=\"", i, look_of(t, i));
    print_label(p, i);
    fprintf(p->file, "\"];\n");
    uint32_t room[2];
    int n;
    const uint32_t *const id = tg__operand_ids(t, &t->head.code[i], room, &n);
    for (int j = 0; j < n; j++) {
        const uint32_t maker = tg__look_maker(p->l, id[j]);
        if (!p->shown[maker]) continue;
        fprintf(p->file, "  n%u -> n%u", maker, i);
        if (id[j] != t->head.code[maker].y) {
            char line[LINE];
            tg__text x = { line, sizeof line, 0 };
            tg__say_value(p->l, &x, id[j]);
            fprintf(p->file, " [label=\"");
            print_escaped(p->file, line);
            fprintf(p->file, "\"]");
        }
        fprintf(p->file, ";\n");
    }
}

bool tg_print_dot(tg_tape *tape, const tg_print_options *options, FILE *file, tg_status *status)
{
    tg__look l;
    print p = { .l = &l };
    const bool ok = begin_print(&p, "print_dot", tape, options, file, status);
    if (ok) {
        fprintf(file, "digraph tape {\n  node [shape=box fontname=\"sans-serif\" fontsize=10];\n"
                      "  edge [fontname=\"sans-serif\" fontsize=9];\n");
        if (p.left_out) fprintf(file, "  label=\"%zu earlier ones are left out\";\n", p.left_out);
        for (uint32_t i = 0; i < p.end; i++)
            if (p.shown[i]) print_node(&p, i);
        fprintf(file, "}\n");
    }
    return end_print(&p, ok);
}
