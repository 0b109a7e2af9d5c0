/* The second derivative that a user's operation has, its derivative or tangent, against the first,
   its backward. */
#ifndef TG_DEBUG_RECORDED_H
#define TG_DEBUG_RECORDED_H

#include "debug/look.h"

typedef struct tg__recorded {
    bool compared, wrong;
    double there, back; /* <v, Ju>, <J'v, u> */
    const char *what;   /* "derivative" or "tangent" */
} tg__recorded;

/* Of a custom operation. False: no memory. */
bool tg__compare_recorded(tg__look *l, const tg__play *p, tg__recorded *r);

#endif
