/* Pictures: see plot.h. A panel's data go to gnuplot as named blocks, $d1, $d2, ...; the words of
   its plot command are gathered meanwhile: gnuplot wants all layers of a panel in one command. */
#define _POSIX_C_SOURCE 200809L /* popen, open_memstream, setenv */
#include "common/plot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cli.h"

const uint32_t plot_colour[PLOT_COLOURS] = { 0x0072B2, 0xD55E00, 0x009E73, 0xCC79A7,
                                             0xE69F00, 0x56B4E9, 0x8C6D1F, 0x4D4D4D };

struct plot {
    FILE *gnuplot;
    FILE *command; /* of the panel; NULL before the first */
    char *text;    /* what was written to command */
    size_t length;
    const char *path;
    int blocks;
};

/* ---- pixels ---------------------------------------------------------------------------------- */

void image_set(image *m, int column, int row, uint32_t colour)
{
    uint8_t *pixel = m->rgb + 3 * ((size_t)row * (size_t)m->width + (size_t)column);
    pixel[0] = (uint8_t)(colour >> 16);
    pixel[1] = (uint8_t)(colour >> 8);
    pixel[2] = (uint8_t)colour;
}

void image_dot(image *m, double x, double y, uint32_t colour)
{
    if (!(x >= m->x0 && x <= m->x1 && y >= m->y0 && y <= m->y1)) return;
    const int column = (int)((x - m->x0) / (m->x1 - m->x0) * m->width);
    const int row = (int)((m->y1 - y) / (m->y1 - m->y0) * m->height);
    for (int r = row - 1; r <= row + 1; r++)
        for (int c = column - 1; c <= column + 1; c++)
            if (r >= 0 && r < m->height && c >= 0 && c < m->width) image_set(m, c, r, colour);
}

bool image_write_ppm(const image *m, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    const size_t bytes = 3 * (size_t)m->width * (size_t)m->height;
    fprintf(f, "P6\n%d %d\n255\n", m->width, m->height);
    const bool written = fwrite(m->rgb, 1, bytes, f) == bytes && !ferror(f);
    return fclose(f) == 0 && written;
}

/* ---- gnuplot --------------------------------------------------------------------------------- */

bool plot_writable(const char *path)
{
    const bool was_there = access(path, F_OK) == 0;
    FILE *f = fopen(path, "ab");
    if (!f) return false;
    fclose(f);
    if (!was_there) remove(path);
    return true;
}

bool plot_has_gnuplot(void)
{
    return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

plot *plot_new(const char *path, int panels)
{
    /* The path travels in the environment: no character in it means anything to the shell. */
    if (setenv("TAPEGRAD_PLOT", path, 1) != 0) return NULL;
    /* A gnuplot that ends early is an error of plot_free, not the end of the program. */
    signal(SIGPIPE, SIG_IGN);
    FILE *gnuplot = popen("exec gnuplot >\"$TAPEGRAD_PLOT\"", "w");
    if (!gnuplot) return NULL;
    plot *p = allocate(1, sizeof *p);
    *p = (plot){ .gnuplot = gnuplot, .path = path };
    fprintf(gnuplot,
            "set encoding utf8\n"
            "set terminal pngcairo noenhanced size %d,540 font 'sans,11' background '#ffffff'\n"
            "set border lc rgb '#606060'\nset tics nomirror out textcolor '#404040'\n"
            "set grid lc rgb '#e0e0e0' lt 1\nset key top right opaque samplen 1.5\n"
            "set multiplot layout 1,%d\n",
            540 * panels, panels);
    return p;
}

static void finish_panel(plot *p)
{
    if (!p->command) return;
    fclose(p->command);
    fprintf(p->gnuplot, "plot %s\n", p->text);
    free(p->text);
    p->command = NULL;
}

static void send_range(plot *p, const char *axis, double lo, double hi)
{
    if (lo < hi) fprintf(p->gnuplot, "set %srange [%g:%g]\n", axis, lo, hi);
    else fprintf(p->gnuplot, "set %srange [*:*]\n", axis);
}

void plot_panel(plot *p, const plot_axes *axes)
{
    finish_panel(p);
    fprintf(p->gnuplot, "set title '%s'\nset xlabel '%s'\nset ylabel '%s'\n", axes->title, axes->x,
            axes->y);
    fprintf(p->gnuplot, "set size %s\n%s logscale y\n", axes->square ? "ratio -1" : "noratio",
            axes->log_y ? "set" : "unset");
    send_range(p, "x", axes->x0, axes->x1);
    send_range(p, "y", axes->y0, axes->y1);
    p->command = open_memstream(&p->text, &p->length);
    if (!p->command) fail("no memory for a picture");
}

/* Begins a block of data and its place in the plot command; the caller adds the style. */
static void begin_layer(plot *p)
{
    fprintf(p->gnuplot, "$d%d << END\n", ++p->blocks);
    fflush(p->command);
    fprintf(p->command, "%s$d%d ", p->length ? ", " : "", p->blocks);
}

void plot_image(plot *p, const image *m)
{
    begin_layer(p);
    const uint8_t *pixel = m->rgb;
    const double dx = (m->x1 - m->x0) / m->width, dy = (m->y1 - m->y0) / m->height;
    for (int row = 0; row < m->height; row++)
        for (int column = 0; column < m->width; column++, pixel += 3)
            fprintf(p->gnuplot, "%.6g %.6g %d %d %d\n", m->x0 + (column + 0.5) * dx,
                    m->y1 - (row + 0.5) * dy, pixel[0], pixel[1], pixel[2]);
    fputs("END\n", p->gnuplot);
    fputs("with rgbimage notitle", p->command);
}

void plot_points(plot *p, plot_style style, const char *label, uint32_t colour, const double *xy,
                 int n)
{
    static const char *const words[] = { [PLOT_DOTS] = "points pt 7 ps 0.45",
                                         [PLOT_SMALL_DOTS] = "points pt 7 ps 0.25",
                                         [PLOT_LINE] = "lines lw 2" };
    begin_layer(p);
    for (int i = 0; i < n; i++) fprintf(p->gnuplot, "%.9g %.9g\n", xy[2 * i], xy[2 * i + 1]);
    fputs("END\n", p->gnuplot);
    fprintf(p->command, "with %s lc rgb '#%06x' ", words[style], (unsigned)colour);
    if (label) fprintf(p->command, "title '%s'", label);
    else fputs("notitle", p->command);
}

/* Whether a regular file ends as every PNG does: gnuplot says nothing when the disk is full. */
static bool is_whole(const char *path)
{
    static const char end[8] = "IEND\xae\x42\x60\x82";
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) return true;
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    char last[sizeof end] = "";
    const bool whole = fseek(f, -(long)sizeof end, SEEK_END) == 0 &&
                       fread(last, sizeof last, 1, f) == 1 && memcmp(last, end, sizeof end) == 0;
    fclose(f);
    return whole;
}

bool plot_free(plot *p)
{
    finish_panel(p);
    fputs("unset multiplot\n", p->gnuplot);
    const bool sent = fflush(p->gnuplot) == 0;
    const bool ended_well = pclose(p->gnuplot) == 0;
    const bool whole = is_whole(p->path);
    free(p);
    return sent && ended_well && whole;
}
