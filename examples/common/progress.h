/* Progress of a long loop on standard output: a bar that moves on a terminal; plain lines, at least
   one in two seconds, in a log. */
#ifndef EXAMPLES_PROGRESS_H
#define EXAMPLES_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    bool terminal;
    int64_t total;
    int tenths;   /* of the way, when it was last shown */
    double begun; /* seconds */
    double shown; /* when it was last shown, seconds */
} progress;

/* A loop of total steps begins. */
progress progress_begin(int64_t total);

/* done steps are done. The text behind the bar is only made when it is time to show it: call this
   as often as you like, at least once a second. */
__attribute__((format(printf, 3, 4)))
void progress_show(progress *p, int64_t done, const char *format, ...);

/* Seconds since the loop began. Closes the bar's line. */
double progress_end(const progress *p);

#endif
