/* The plot module under failing memory: the first, the second, ... allocation fails, until a call needs
   no more. Each failure is reported as one, and what was taken is given back: a sanitizer sees that.
   Linked with malloc, calloc and realloc turned to the ones here. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, setenv */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tapegrad/plot.h>

static long left = -1; /* allocations until the one that fails; negative: none does */

static bool fails(void)
{
    return left >= 0 && left-- == 0;
}

/* What the linker turns the names of libc to. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

static tg_status status;

/* One call that may fail; true if it did what it should. */
typedef bool call(void);

/* A picture by a gnuplot that is a shell script. */
static bool draw(void)
{
    enum { N = 40, CELLS = N * N };
    static double z[3 * CELLS];
    static const int count[] = { 3, 1, 0, 4 }, label[] = { 0, 1 };
    const tg_plot_grid g = { -1, 1, -1, 1, N, N };
    for (int i = 0; i < 3 * CELLS; i++) z[i] = sin(0.1 * i);
    tg_plot *p = tg_plot_new(&(tg_plot_options){ .columns = 4, .title = "title" });
    tg_plot_line(p, CELLS, NULL, z, &(tg_plot_style){ .label = "line" });
    tg_plot_classes(p, 2, z, label, 2, NULL, NULL);
    tg_plot_panel(p, &(tg_plot_axes){ .title = "panel" });
    tg_plot_regions(p, &g, z, 3);
    tg_plot_panel(p, NULL);
    tg_plot_field(p, &g, z, NULL);
    tg_plot_contours(p, &g, z, 5, NULL, NULL);
    tg_plot_confusion(p, 2, count, NULL);
    tg_plot_panel(p, NULL);
    tg_plot_images(p, &(tg_images){ .n = 9, .width = 8, .height = 8, .pixel = z });
    const bool done = tg_plot_write(p, "a.svg", &status);
    tg_plot_free(p);
    return done;
}

static bool write_image(void)
{
    const double pixel[] = { 0, 1, 0.5 };
    tg_image *m =
        tg_image_of(&(tg_images){ .n = 3, .width = 1, .height = 1, .pixel = pixel }, &status);
    const bool done = m && tg_image_write(m, "a.ppm", &status);
    tg_image_free(m);
    return done;
}

/* Fails a call at each of its allocations. Returns how many it had. */
static long torment(call *c, const char *name)
{
    for (long n = 0;; n++) {
        status.code = TG_OK;
        left = n;
        const bool done = c(), reached = left < 0;
        left = -1;
        if (!done && status.code != TG_ERROR_MEMORY) {
            printf("%s: allocation %ld fails: %s\n", name, n, status.message);
            exit(EXIT_FAILURE);
        }
        if (done && !reached) return n;
    }
}

static bool make_gnuplot(void)
{
    FILE *f = fopen("gnuplot", "w");
    if (!f) return false;
    fputs("#!/bin/sh\nwhile read -r line; do :; done\nprintf '<svg>%100s</svg>' x\n", f);
    fclose(f);
    return chmod("gnuplot", 0700) == 0;
}

int main(void)
{
    char folder[] = "/tmp/tapegrad-memory-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder) || setenv("PATH", folder, 1) || !make_gnuplot())
        return EXIT_FAILURE;
    const long drawing = torment(draw, "draw"), image = torment(write_image, "write_image");
    printf("%ld allocations of a picture and %ld of an image failed, each on its own\n", drawing,
           image);
    const char *const names[] = { "a.svg", "a.ppm", "gnuplot" };
    for (int i = 0; i < 3; i++) unlink(names[i]);
    rmdir(folder);
    return drawing > 5 && image > 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
