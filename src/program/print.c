/* Programs as text: see tg_program_print. */
#include <inttypes.h>

#include "program/plan.h"
#include "program/planner.h"

/* ---- what the compiler chose for inputs ------------------------------------------------------------ */

/* How a step takes instances of an input. */
typedef enum way { NONE, PLACED, BROUGHT, WHOLE, EACH } way;

static way way_of(const tg_program *p, const tg__step *s, uint32_t input)
{
    switch (s->kind) {
    case TG__STEP_COPY: return BROUGHT;
    case TG__STEP_BLOCK: return WHOLE;
    case TG__STEP_RULE:
    case TG__STEP_BACKWARD:
    case TG__STEP_ASSEMBLE: return EACH;
    default: return tg__is_lane(&p->graph, p->input[input]) ? PLACED : WHOLE;
    }
}

/* How many operands of steps take the input in each way. */
static void count_ways(const tg_program *p, const tg__plan *plan, uint32_t input, uint32_t ways[EACH + 1])
{
    for (uint32_t i = plan->begin[TG__BODY]; i < plan->begin[TG__LATE]; i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        const tg__operand *const o = tg__plan_operands(plan) + s->first;
        for (uint32_t k = 0; k < s->n; k++)
            if (o[k].area == TG__AREA_INPUTS + input) ways[way_of(p, s, input)]++;
    }
}

static void print_input(const tg_program *p, const tg__plan *plan, uint32_t input, FILE *file)
{
    const tg__shape *const s = tg__node_shape(&p->graph, p->input[input]);
    fprintf(file, "input %u %s: ", input, TG__SHAPE_TEXT(s));
    if (tg__node_at(&p->graph, p->input[input])->stage != TG__BODY) {
        fputs("shared\n", file);
        return;
    }
    uint32_t ways[EACH + 1] = { 0 };
    count_ways(p, plan, input, ways);
    fputs("varies", file);
    if (ways[PLACED]) fputs(", lanes where they are", file);
    if (ways[BROUGHT])
        fprintf(file, ", %u of %" PRId64 " elements as lanes side by side", ways[BROUGHT], s->n);
    if (ways[WHOLE]) fputs(", rows, a block of instances at once", file);
    if (ways[EACH]) fputs(", rows, one instance after the other", file);
    if (!ways[PLACED] && !ways[BROUGHT] && !ways[WHOLE] && !ways[EACH]) fputs(", no step takes it", file);
    fputc('\n', file);
}

/* ---- steps ----------------------------------------------------------------------------------------- */

static void print_operand(const tg__operand *o, FILE *file)
{
    static const char *const area[] = { "v", "s", "c", "p", "t" };
    if (o->area >= TG__AREA_INPUTS) fprintf(file, " in%u", o->area - TG__AREA_INPUTS);
    else fprintf(file, " %s%" PRIu64, area[o->area], o->offset);
    if (o->view) fprintf(file, "%+" PRId64, o->view);
}

static const char *name_of(const tg_program *p, const tg__step *s)
{
    static const char *const kind[TG__STEP_KINDS] = {
        [TG__STEP_ASSEMBLE] = "assemble", [TG__STEP_GUARD] = "guard", [TG__STEP_COPY] = "copy", [TG__STEP_DOT] = "dot",
        [TG__STEP_DOTS] = "dots",         [TG__STEP_SUM] = "sum",   [TG__STEP_OUTER] = "outer",
        [TG__STEP_ROWS] = "rows",
    };
    if (kind[s->kind]) return kind[s->kind];
    const tg__node *const node = tg__node_at(&p->graph, s->node);
    if (node->op != TG__NODE_BACKWARD) return tg__ops[node->op]->name;
    return tg__ops[((const tg__back *)tg__node_data(&p->graph, node))->op]->name;
}

static void print_step(const tg_program *p, const tg__plan *plan, const tg__step *s, bool chained,
                       FILE *file)
{
    enum { FEW = 12 };
    const tg__operand *const o = tg__plan_operands(plan) + s->first;
    fprintf(file, "  %s%s%s", chained ? "| " : "", name_of(p, s),
            tg__node_at(&p->graph, s->node)->op == TG__NODE_BACKWARD ? "'" : "");
    if (s->kind == TG__STEP_BLOCK) fputs(" whole", file);
    else if (s->kind == TG__STEP_GATHER) fputs(" of strips", file);
    else if (chained && s->kind == TG__STEP_RULE) fprintf(file, " by rows [%u]", s->width);
    else if (chained && s->kind == TG__STEP_BACKWARD) fputs(" by rows", file);
    else if (s->kind == TG__STEP_BACKWARD || s->kind == TG__STEP_ROWS) fprintf(file, " %u", s->width);
    else if (s->columns) fprintf(file, " %u x %u", s->width, s->columns);
    else if (s->width != 1) fprintf(file, " [%u]", s->width);
    for (uint32_t k = 0; k < s->n - s->kept && k < FEW; k++) print_operand(&o[k], file);
    if (s->n - s->kept > FEW) fputs(" ...", file);
    if (s->kept) fputs("; kept:", file), print_operand(&o[s->n - 1], file);
    fputc('\n', file);
}

void tg_program_print(const tg_program *p, FILE *file)
{
    static const char *const stage[] = { "once, before", "for every block of instances",
                                         "once, after" };
    if (!p || !file) return;
    const tg__plan *const plan = tg__program_plan(p, TG__PLAN_QUICK, "program_print", NULL);
    if (!plan) return;
    fprintf(file, "program: %u inputs (%u vary), %u outputs, %u nodes, %u steps\n", p->n_inputs,
            p->n_batch, p->n_outputs, p->graph.n - 1, plan->begin[3]);
    for (uint32_t i = 0; i < p->n_inputs; i++) print_input(p, plan, i, file);
    fprintf(file, "blocks of %u instances, %" PRIu64 " bytes an instance, %" PRIu64 " bytes shared\n",
            plan->block, plan->body, plan->shared);
    const tg__step *chained = NULL; /* to there a chain goes */
    for (int i = 0; i < 3; i++) {
        fprintf(file, "%s: %u steps\n", stage[i], plan->begin[i + 1] - plan->begin[i]);
        for (uint32_t j = plan->begin[i]; j < plan->begin[i + 1]; j++) {
            const tg__step *const s = tg__plan_steps(plan) + j;
            if (s->chain) chained = s + tg__plan_chain(plan, s)->steps;
            print_step(p, plan, s, s < chained, file);
        }
    }
}

/* ---- nodes ----------------------------------------------------------------------------------------- */

static void print_kind(const tg_program *p, const tg__node *node, FILE *file)
{
    const tg__graph *const g = &p->graph;
    const tg__op *const op = tg__node_op(node);
    if (op) {
        fputs(tg__op_name(op, tg__node_data(g, node)), file);
        return;
    }
    switch (node->op) {
    case TG__NODE_INPUT: fprintf(file, "input %u", tg__node_word(g, node)); break;
    case TG__NODE_COUNT: fputs("how many instances", file); break;
    case TG__NODE_CONSTANT: fputs("constant", file); break;
    case TG__NODE_VIEW: fputs("view", file); break;
    case TG__NODE_ASSEMBLE: fputs("assemble", file); break;
    case TG__NODE_SUM: fputs("sum over the instances", file); break;
    default: {
        const tg__back *const back = tg__node_data(g, node);
        fprintf(file, "%s' by operand %d",
                tg__op_name(tg__ops[back->op], tg__attributes_at(g, back->attributes)), back->by);
    }
    }
}

void tg_program_print_graph(const tg_program *p, FILE *file)
{
    static const char *const stage[] = { "once, before", "each", "once, after" };
    if (!p || !file) return;
    const tg__graph *const g = &p->graph;
    fprintf(file, "program: %u nodes\n", g->n - 1);
    for (uint32_t id = 1; id < g->n; id++) {
        const tg__node *const node = tg__node_at(g, id);
        const uint32_t *const x = tg__node_operands(g, node);
        const uint32_t n = tg__node_parts(node);
        fprintf(file, "  n%u %s = ", id, TG__SHAPE_TEXT(tg__node_shape(g, id)));
        print_kind(p, node, file);
        for (uint32_t j = 0; j < n; j++) fprintf(file, " n%u", x[j]);
        if (node->op == TG__NODE_VIEW) fprintf(file, " from element %" PRId64, tg__node_offset(g, id));
        fprintf(file, "; %s\n", stage[node->stage]);
    }
    for (uint32_t i = 0; i < p->n_outputs; i++) fprintf(file, "output %u: n%u\n", i, p->output[i]);
}
