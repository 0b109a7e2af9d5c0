/* What is done with the rows of benchmarks, which are a JSON list of objects: held against an earlier
   run, against the list of rows and their targets, drawn. */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include "json.h"
#include "report.h"

extern const char *const side_names[SIDES];

/* Whether it is the library's: how fast it is is what is measured. */
bool side_is_ours(side s);

/* program/name/size/type/layout. */
enum { ID = 160 };
const char *row_id(const json *row, char id[ID]);

/* Prints how rows differ from those of the same id in an earlier run, the file before. A row got slower if one of its
   times, in units of the expert's (or the peer's, or the plain) of the same run if there is one, is
   larger than before by a tenth and by twice the spreads of both; or its memory is by a tenth; or there
   are more allocations. False if any did. */
bool results_compare(const json *rows, const char *before);

/* Reads the list of rows: lines of an id, in which * stands for anything, and targets KEY<=NUMBER or
   KEY>=NUMBER by the rows' keys. An id that begins with ? need not be there. Prints the targets and
   whether they are met, and why not if that is known. False if a row is missing, unknown, or wrong, or has an
   expert that is slower than the C written for the program. With names, only ids that begin with one of them
   are missed. */
bool results_targets(const json *rows, const char *path, int names, char **name);

/* Why targets are missed, by hand: a line with a row, in which * stands for anything, and a target's key; below
   it the reason in lines that begin with blanks. Without them, or for a target of which none is known, print
   gives false. What has been said already is not said again. */
bool reasons_read(const char *path);
bool reasons_print(const char *id, const char *key);
void reasons_end(void);

/* Draws bars of ratios, and cost against size; writes the rows. False if that fails, which is printed. */
bool results_plot(const json *rows, const char *path);
bool results_write(const json *rows, const char *path);

#endif
