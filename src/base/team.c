/* Teams: see team.h. Members look out for work for a short while before they sleep: a job is often
   followed by the next. */
#define _GNU_SOURCE
#include "base/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { LOOKS = 2000 };

typedef struct member {
    tg__team *team;
    pthread_t thread;
    int number;
} member;

struct tg__team {
    tg__memory *memory;
    size_t bytes;
    int helpers; /* that have been started */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_uint jobs; /* begun so far */
    atomic_int busy;  /* helpers that have not finished the last one */
    atomic_bool over;
    tg__part *part;
    void *job;
    member helper[];
};

/* Waits until there is a job after number `seen`, or the team is over. */
static void wait_for_job(tg__team *t, unsigned seen)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load(&t->jobs) != seen || atomic_load(&t->over)) return;
        sched_yield();
    }
    pthread_mutex_lock(&t->mutex);
    while (atomic_load(&t->jobs) == seen && !atomic_load(&t->over))
        pthread_cond_wait(&t->changed, &t->mutex);
    pthread_mutex_unlock(&t->mutex);
}

static void announce(tg__team *t)
{
    pthread_mutex_lock(&t->mutex);
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->mutex);
}

static void *work(void *user)
{
    member *const me = user;
    tg__team *const t = me->team;
    for (unsigned seen = 0;; seen++) {
        wait_for_job(t, seen);
        if (atomic_load(&t->over)) return NULL;
        t->part(t->job, me->number);
        atomic_fetch_sub(&t->busy, 1);
    }
}

tg__team *tg__team_new(tg__memory *m, int members)
{
    const size_t bytes = sizeof(tg__team) + (size_t)members * sizeof(member);
    tg__team *const t = tg__allocate(m, bytes);
    if (!t) return NULL;
    t->memory = m;
    t->bytes = bytes;
    t->helpers = 0;
    atomic_init(&t->jobs, 0);
    atomic_init(&t->busy, 0);
    atomic_init(&t->over, false);
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->changed, NULL);
    for (int i = 0; i < members - 1; i++) {
        t->helper[i].team = t;
        t->helper[i].number = i + 1;
        if (pthread_create(&t->helper[i].thread, NULL, work, &t->helper[i]) != 0) {
            tg__team_free(t);
            return NULL;
        }
        t->helpers++;
    }
    return t;
}

void tg__team_free(tg__team *t)
{
    if (!t) return;
    atomic_store(&t->over, true);
    announce(t);
    for (int i = 0; i < t->helpers; i++) pthread_join(t->helper[i].thread, NULL);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->mutex);
    tg__deallocate(t->memory, t, t->bytes);
}

void tg__team_run(tg__team *t, tg__part *part, void *job)
{
    t->part = part;
    t->job = job;
    atomic_store(&t->busy, t->helpers);
    atomic_fetch_add(&t->jobs, 1);
    announce(t);
    part(job, 0);
    while (atomic_load(&t->busy)) sched_yield();
}
