/* Threads that wait for work: a caller and its helpers do one job together, each its part. */
#ifndef TG_BASE_TEAM_H
#define TG_BASE_TEAM_H

#include "base/arena.h"

typedef struct tg__team tg__team;

/* What member i of a team does, 0 being the caller's own part. */
typedef void tg__part(void *job, int i);

/* A team of so many members, the caller among them; NULL when there is no memory, or no thread. */
tg__team *tg__team_new(tg__memory *m, int members);

/* NULL is fine. */
void tg__team_free(tg__team *team);

/* Does the job; returns when every member is done. */
void tg__team_run(tg__team *team, tg__part *part, void *job);

#endif
