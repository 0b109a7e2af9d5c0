/* Another library on the 2-100-3 network of batch.h, one sample at a time. */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include "../batch.h"

/* start, which may be NULL, is called once before; step adds the gradient to d. */
typedef struct peer {
    const char *name;
    void (*start)(void);
    void (*step)(const double *p, const double *x, const double *y, double *d);
} peer;

extern const peer peer_adolc, peer_adolc_replayed, peer_eigen;

#endif
