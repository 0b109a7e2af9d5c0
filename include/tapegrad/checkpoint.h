/* Checkpoints: everything that training needs to go on as if it had never stopped, in one file.

       tg_checkpoint c = { .net = net, .optimizer = o };
       if (resume && !tg_checkpoint_load("run.safetensors", &c, &status)) puts(status.message);
       for (; c.epoch < 100; c.epoch++) {
           tg_batches_start(batches, c.epoch, 0);
           ...
           tg_checkpoint_save("run.safetensors", &c, &status);
       }

   Start values, dropped elements and the order of minibatches follow from seeds and counts: with
   the counts there is no other state of random numbers to save. Training that is resumed gives the
   bits that it would have given without the interruption. */
#ifndef TAPEGRAD_CHECKPOINT_H
#define TAPEGRAD_CHECKPOINT_H

#include <tapegrad/nn.h>
#include <tapegrad/optim.h>
#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers of the program's own. */
typedef struct tg_checkpoint_numbers {
    const char *name;
    double *x;
    size_t n;
} tg_checkpoint_numbers;

/* What a checkpoint holds. NULL: it is passed over, in saving and in loading. */
typedef struct tg_checkpoint {
    tg_nn *net;                           /* built: parameters and state */
    tg_optimizer *optimizer;              /* its state and its learning rate */
    tg_plateau *plateau;                  /* a schedule's state */
    const tg_checkpoint_numbers *numbers; /* (count), more to be saved, and written in loading */
    size_t count;
    int64_t epoch, batch; /* where training goes on */
    uint64_t seed;        /* the program's own */
} tg_checkpoint;

/* Writes a checkpoint as .safetensors: parameters and state under their names, the optimiser's
   under "optimizer.m.0" and the like, numbers under "numbers.NAME"; epoch, batch, seed and the
   optimiser's rule are notes.
   The file at path is complete, or as it was before, whatever happens and whenever the program is
   killed: a new one is written beside it, brought to disk and put in its place. */
TG_API bool tg_checkpoint_save(const char *path, const tg_checkpoint *checkpoint,
                               tg_status *status);

/* Reads a checkpoint into what checkpoint points to, and epoch, batch and seed into it. Everything
   that is asked for must be in the file, in the same type and shape and of the same rule, and the
   file must hold no parameters, state or numbers besides. False, and nothing has changed, otherwise: status names
   what differs. */
TG_API bool tg_checkpoint_load(const char *path, tg_checkpoint *checkpoint, tg_status *status);

#ifdef __cplusplus
}
#endif
#endif
