/* What the parts of running a program share: workspace.c has the memory, data.c what comes in and
   goes out, steps.c the steps of a plan, run.c the batch. */
#ifndef TG_PROGRAM_RUN_H
#define TG_PROGRAM_RUN_H

#include "base/team.h"
#include "program/plan.h"

enum { TG__RUN_MESSAGE = 256 };

/* What a plan needs for running. Pointers of operands are worked out once; those to shared inputs
   again when the caller's data has moved, those to batch inputs for every block. Of the plan for one
   instance links and copies are all that a run has to follow. */
typedef struct tg__space {
    const tg__plan *plan; /* NULL: not made yet */
    tg__arena body, own, partials, strips, sums, pointers, lanes, moving, given, inputs, staged, links, copies;
    char *shared; /* the first member's own, for all */
    uint32_t block;
} tg__space;

/* One instance: what is `view` bytes behind where an input is. */
typedef struct tg__link {
    void *to;
    int64_t view;
    size_t bytes; /* that are copied there; 0: the pointer is */
    uint32_t input;
} tg__link;

/* One instance: what is written where no layout is given, `offset` bytes behind where an output goes. */
typedef struct tg__copy_out {
    const void *from;
    size_t bytes, offset;
    uint32_t output, number; /* number: among what is written */
    bool adjacent, floating;
} tg__copy_out;

/* Instances for which a guard's condition says something else than when it was recorded. */
typedef struct tg__flips {
    int64_t count, first;
    uint32_t node; /* the first such guard of the first such instance */
} tg__flips;

/* Of one member of the team. */
typedef struct tg__desk {
    tg__memory memory;
    tg__space space[TG__PLANS];
    tg__flips flips;   /* of its chunks */
    tg_status status;  /* of the first of them that failed */
    bool flipped;      /* in the present block: */
    uint32_t flip[TG__BATCH_CHUNK]; /* by instance of the block: its first such guard; 0: none */
    tg__arena scratch;
    char message[TG__RUN_MESSAGE];
} tg__desk;

struct tg_workspace {
    const tg_program *program;
    tg__memory memory;
    size_t bytes;
    uint64_t backwards; /* calls of tg_run_backward so far */
    int members;
    tg__team *team; /* NULL: one member */
    tg__desk desk[];
};

/* One run. */
typedef struct tg__replay {
    const tg_program *program;
    const tg__plan *plan;
    const tg__graph *g;
    tg__space *w;
    const void *const *inputs;
    void *const *outputs;
    void **p;               /* of every operand */
    const ptrdiff_t *lane;  /* of every operand */
    const tg_run_options *options;
    tg_status *status;
    int64_t count;
    int64_t first;          /* instance of the block */
    bool finite;            /* what one instance wrote, as far as it is looked at */
    tg__desk *desk;
} tg__replay;

static inline size_t tg__operand_count(const tg__plan *plan)
{
    return plan->operands.used / sizeof(tg__operand);
}

static inline void tg__write_real(void *at, tg_type type, double x)
{
    if (type == TG_F64) *(double *)at = x;
    else *(float *)at = (float)x;
}

/* ---- workspace.c ------------------------------------------------------------------------------- */

/* A member's memory for a plan. */
static inline tg__space *tg__space_of(tg_workspace *w, int member, tg__plan_kind kind)
{
    return &w->desk[member].space[kind];
}

/* Makes every member's, and the plan; false with the error. */
bool tg__spaces_make(tg_workspace *w, tg__plan_kind kind, tg_status *status);

/* ---- inputs.c ---------------------------------------------------------------------------------- */

/* Whether rows of tables and indices among the inputs are all in range; false with an error. */
bool tg__run_check_inputs(const tg__replay *r);

/* Makes room for a block of inputs whose instances do not lie one behind the other. */
bool tg__run_stage(const tg__replay *r, tg__space *w);

/* Brings together the block's n instances of such inputs. */
void tg__run_gather(const tg__replay *r, int64_t n);

/* Where the block's first instance of an input is. */
const char *tg__run_input(const tg__replay *r, uint32_t input);

/* ---- data.c ------------------------------------------------------------------------------------ */

/* Whether a run can begin; false with its error. */
bool tg__run_check(const tg_program *p, const tg_workspace *w, int64_t count,
                   const void *const *inputs, void *const *outputs, tg_status *status);

/* Where an operand of the workspace or a constant is. */
void *tg__space_at(const tg__space *w, const tg__graph *g, const tg__operand *o);

/* Finds every operand that stays where it is during a run; and those of the block that begins at
   r->first. */
void tg__run_point(const tg__replay *r, uint32_t block);
void tg__run_point_block(const tg__replay *r);

/* The same for one instance, of the plan for it, and brings its inputs' numbers. */
void tg__run_take_single(const tg__replay *r);

/* Writes the outputs of n instances, or (not each) of the whole run, where the caller wants them. */
void tg__run_write(const tg__replay *r, bool each, int64_t n);

/* Writes all outputs of the one instance, by the plan for it. False: that is quick, and a number is infinite or NaN. */
bool tg__run_write_single(const tg__replay *r);

/* Overwrites the states, when all else has succeeded. */
void tg__run_write_states(const tg__replay *r);

/* Whether no output has an infinity or NaN. */
bool tg__run_all_finite(const tg__replay *r);

/* ---- run.c ------------------------------------------------------------------------------------- */

/* One instance again and again: what runs have in common is checked and found once. Between runs the
   caller changes what inputs and outputs point at; an output may become NULL, an input not. */
typedef struct tg__repeat {
    tg__replay run;
    tg_run_options options;
    tg_workspace *workspace;
} tg__repeat;

/* False with an error. */
bool tg__repeat_begin(tg__repeat *k, const tg_program *p, tg_workspace *w, const void *const *inputs,
                      void *const *outputs, tg_status *status);

/* Run number `run`, as tg_run_with has it. */
bool tg__repeat_run(tg__repeat *k, uint64_t run);

/* ---- steps.c ----------------------------------------------------------------------------------- */

/* The steps of a stage for n instances; false with the error of one. */
bool tg__run_steps(tg__replay *r, tg__stage stage, int64_t n);

/* The chain of steps from s on, for n instances (strips.c). */
bool tg__run_chain(tg__replay *r, const tg__step *s, const tg__chain *chain, int64_t n);

/* Puts the error of a step's rule, in an instance of the block, into the run's status. Returns false. */
bool tg__rule_failed(tg__replay *r, const tg__step *s, const tg__call *c, tg_code code, int64_t lane);

/* "file:line: " of a node, in text; "" if its position is unknown. The number of characters. */
int tg__run_site(const tg__replay *r, uint32_t node, char *text, size_t size);

#endif
