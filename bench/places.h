/* How fast a loop is depends on where its code lies. The plain loops that operations are measured
   against are compiled PLACES times for each type, and their functions begin 16 bytes further at
   each place: with PLACE 0 to 3, and TG_REAL_F32 for f32. */
#ifndef BENCH_PLACES_H
#define BENCH_PLACES_H

enum {
    PLACES = 4,
    REPEATS = 3, /* at each place */
    REPEATS_IN_MEMORY = 2
};
#define AT_PLACES(F, NAME, TYPE) F(NAME, TYPE, 0) F(NAME, TYPE, 1) F(NAME, TYPE, 2) F(NAME, TYPE, 3)
#define PLAIN_AT(NAME, TYPE, PLACE) plain_##NAME##_##TYPE##_##PLACE

#ifdef PLACE
#ifdef TG_REAL_F32
typedef float real;
#define REAL f32
#else
typedef double real;
#define REAL f64
#endif
#define PLAIN_HERE(...) PLAIN_AT(__VA_ARGS__)
#define PLAIN(NAME) PLAIN_HERE(NAME, REAL, PLACE)
#endif

#endif
