/* A program as text: see tg_program_print. */
#include <inttypes.h>

#include "program/plan.h"

static void print_operand(const tg__operand *o, FILE *file)
{
    static const char *const area[] = { "v", "s", "c", "p", "t" };
    if (o->area >= TG__AREA_INPUTS) fprintf(file, " in%u", o->area - TG__AREA_INPUTS);
    else fprintf(file, " %s%" PRIu64, area[o->area], o->offset);
    if (o->view) fprintf(file, "%+" PRId64, o->view);
}

static const char *name_of(const tg_program *p, const tg__step *s)
{
    static const char *const kind[] = {
        [TG__STEP_ASSEMBLE] = "assemble", [TG__STEP_GUARD] = "guard", [TG__STEP_COPY] = "copy", [TG__STEP_DOT] = "dot",
        [TG__STEP_DOTS] = "dots",         [TG__STEP_SUM] = "sum",   [TG__STEP_OUTER] = "outer",
        [TG__STEP_ROWS] = "rows",
    };
    if (kind[s->kind]) return kind[s->kind];
    const tg__node *const node = tg__node_at(&p->graph, s->node);
    if (node->op != TG__NODE_BACKWARD) return tg__ops[node->op]->name;
    return tg__ops[((const tg__back *)tg__node_data(&p->graph, node->data))->op]->name;
}

void tg_program_print(const tg_program *p, FILE *file)
{
    enum { FEW = 12 };
    static const char *const stage[] = { "once, before", "for every block of instances",
                                         "once, after" };
    if (!p || !file) return;
    const tg__plan *const plan = tg__program_plan(p, TG__PLAN_QUICK, "program_print", NULL);
    if (!plan) return;
    fprintf(file, "program: %u inputs (%u vary), %u outputs, %u nodes, %u steps\n", p->n_inputs,
            p->n_batch, p->n_outputs, p->graph.n - 1, plan->begin[3]);
    fprintf(file, "blocks of %u instances, %" PRIu64 " bytes an instance, %" PRIu64 " bytes shared\n",
            plan->block, plan->body, plan->shared);
    const tg__step *chained = NULL; /* to there a chain goes */
    for (int i = 0; i < 3; i++) {
        fprintf(file, "%s: %u steps\n", stage[i], plan->begin[i + 1] - plan->begin[i]);
        for (uint32_t j = plan->begin[i]; j < plan->begin[i + 1]; j++) {
            const tg__step *const s = tg__plan_steps(plan) + j;
            const tg__operand *const o = tg__plan_operands(plan) + s->first;
            if (s->chain) chained = s + s->chain;
            fprintf(file, "  %s%s%s", s < chained ? "| " : "", name_of(p, s),
                    tg__node_at(&p->graph, s->node)->op == TG__NODE_BACKWARD ? "'" : "");
            if (s->kind == TG__STEP_BLOCK) fputs(" whole", file);
            else if (s->kind == TG__STEP_BACKWARD || s->kind == TG__STEP_ROWS)
                fprintf(file, " %u", s->width);
            else if (s->columns) fprintf(file, " %u x %u", s->width, s->columns);
            else if (s->width != 1) fprintf(file, " [%u]", s->width);
            for (uint32_t k = 0; k < s->n && k < FEW; k++) print_operand(&o[k], file);
            fprintf(file, "%s\n", s->n > FEW ? " ..." : "");
        }
    }
}
