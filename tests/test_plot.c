/* The plot module: what gnuplot is told, which is text and needs no gnuplot; images to the byte;
   every error; gnuplots that are missing, old, killed or mute, which are shell scripts; and, where
   there is a real one, pictures of everything. */
#define _XOPEN_SOURCE 700 /* mkdtemp, posix_openpt */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "finish.h"
#include "plot/inner.h"

static tg_status status;

static void expect_message(bool failed, tg_code code, const char *message)
{
    cr_expect(failed && status.code == code && strcmp(status.message, message) == 0,
              "\"%s\", not \"%s\"", failed ? status.message : "done", message);
}

/* The picture's error. */
static void expect_wrong(tg_plot *p, tg_code code, const char *message)
{
    status = *tg_plot_status(p);
    expect_message(status.code != TG_OK, code, message);
    cr_expect(!tg_plot_script(p));
    tg_plot_free(p);
}

static void expect_script(tg_plot *p, const char *part)
{
    const char *const script = tg_plot_script(p);
    cr_expect(script && strstr(script, part), "\"%s\" is not in:\n%s", part,
              script ? script : tg_plot_status(p)->message);
}

/* A picture with one panel. */
static tg_plot *panel(const tg_plot_axes *axes)
{
    tg_plot *const p = tg_plot_new(NULL);
    cr_assert(p);
    tg_plot_panel(p, axes);
    return p;
}

/* ---- texts and numbers ----------------------------------------------------------------------- */

Test(plot_text, every_character_stands_for_itself)
{
    static const struct {
        const char *text, *quoted, *as_format;
    } rows[] = {
        { "plain", "'plain'", "'plain'" },
        { "it's", "'it'.\"'\".'s'", "'it'.\"'\".'s'" },
        { "'", "''.\"'\".''", "''.\"'\".''" },
        { "", "''", "''" },
        { "a\\n {b}_c^d", "'a\\n {b}_c^d'", "'a\\n {b}_c^d'" },
        { "ends in \\", "'ends in \\'", "'ends in \\'" },
        { "`date` \"q\" @x $d1 #", "'`date` \"q\" @x $d1 #'", "'`date` \"q\" @x $d1 #'" },
        { "50% %d", "'50% %d'", "'50%% %%d'" },
        { "x₁ → é 𝛽", "'x₁ → é 𝛽'", "'x₁ → é 𝛽'" },
        { "two\nlines", "'two'.\"\\n\".'lines'", "'two'.\"\\n\".'lines'" },
        { "tab\tbell\a\r", "'tab bell  '", "'tab bell  '" },
        { "\xff\xc3(\xe2\x82", "'\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd'",
          "'\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd'" },
        { "\xc0\xaf\xed\xa0\x80", "'\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd'",
          "'\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tg__bytes quoted = { 0 }, format = { 0 };
        tg__put_text(&quoted, rows[i].text, false);
        tg__put_text(&format, rows[i].text, true);
        cr_expect_str_eq(quoted.data, rows[i].quoted);
        cr_expect_str_eq(format.data, rows[i].as_format);
        free(quoted.data);
        free(format.data);
    }
}

Test(plot_text, all_texts_are_quoted)
{
    static const char *const names[] = { "5%", "b'" };
    tg_plot *p = tg_plot_new(&(tg_plot_options){ .title = "a'b" });
    tg_plot_panel(
        p,
        &(tg_plot_axes){
            .title = "t'", .x = "x'", .y = "y'", .right = "r'", .x_names = names, .x_count = 2 });
    tg_plot_line(p, 1, NULL, (double[]){ 1 }, &(tg_plot_style){ .label = "l'" });
    tg_plot_text(p, 1, 2, "w' 5%", NULL);
    tg_plot_field(p, &(tg_plot_grid){ 0, 1, 0, 1, 1, 1 }, (double[]){ 1 },
                  &(tg_plot_scale){ .label = "s'" });
    static const char *const parts[] = {
        "title 'a'.\"'\".'b'",       "set title 't'.\"'\".''\n",   "set xlabel 'x'.\"'\".''\n",
        "set ylabel 'y'.\"'\".''\n", "set y2label 'r'.\"'\".''\n", "('5%%' 0, 'b'.\"'\".'' 1)",
        "title 'l'.\"'\".''",        "'w'.\"'\".' 5%' at 1 , 2 ",  "set cblabel 's'.\"'\".''\n",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) expect_script(p, parts[i]);
    tg_plot_free(p);
}

Test(plot_text, numbers_have_a_point_in_every_locale)
{
    static const char *const locales[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR" };
    const char *found = NULL;
    for (size_t i = 0; i < 4 && !found; i++) found = setlocale(LC_NUMERIC, locales[i]);
    tg__bytes out = { 0 };
    tg__put_number(&out, -1.5e-20);
    tg__put_number(&out, 0.25);
    tg__put_number(&out, 3);
    tg__put_number(&out, NAN);
    tg__put_number(&out, -INFINITY);
    cr_expect_str_eq(out.data, "-1.5e-20 0.25 3 NaN NaN ");
    free(out.data);
    if (!found) cr_skip_test("no locale with a decimal comma is installed");
}

/* ---- panels ---------------------------------------------------------------------------------- */

Test(plot_panel, ranges_are_given_chosen_or_both)
{
    const double two[] = { 1, 2 };
    tg_plot *p = panel(&(tg_plot_axes){ .x0 = 0, .x1 = 5, .y0 = NAN, .y1 = 3 });
    tg_plot_line(p, 2, NULL, two, NULL);
    expect_script(p, "set xrange [0 : 5 ]\n");
    expect_script(p, "set yrange [* : 3 ]\n");
    tg_plot_hline(p, -7, NULL);
    tg_plot_vline(p, 9, NULL);
    expect_script(p, "set yrange [* < -7 : 3 ]\n");
    expect_script(p, "set xrange [0 : 5 ]\n");
    tg_plot_free(p);
}

/* gnuplot takes no notice of a bound on a logarithmic axis: numbers are given. */
Test(plot_panel, a_logarithmic_range_includes_lines_across)
{
    tg_plot *p = panel(&(tg_plot_axes){ .log_y = true, .log_x = true });
    tg_plot_line(p, 4, NULL, (double[]){ 1000, 20, -3, 5 }, NULL);
    expect_script(p, "set xrange [* : * ]\nset yrange [* : * ]\n");
    tg_plot_hline(p, 0.003, NULL);
    expect_script(p, "set yrange [0.001 : 1000 ]\n");
    tg_plot_vline(p, 30, NULL);
    expect_script(p, "set xrange [1 : 100 ]\n");
    tg_plot_free(p);
    p = panel(&(tg_plot_axes){ .log_x = true, .x0 = 0.5, .x1 = NAN });
    tg_plot_bars(p, 2, (double[]){ 2, 4 }, (double[]){ 1, 2 }, NULL);
    expect_script(p, "set xrange [0.5 : 4.6 ] noextend\n");
    tg_plot_free(p);
}

/* Whether a pixel of a picture differs from the ground is for the eye; here, that gnuplot is told. */
Test(plot_panel, lines_through_the_panel_and_keys_that_fit)
{
    tg_plot *p = panel(&(tg_plot_axes){ .x1 = 1, .y1 = 1 });
    tg_plot_line(p, 2, (double[]){ -1, 2 }, (double[]){ -1, 2 }, NULL);
    expect_script(p, "set clip two\n");
    expect_script(p, "set key opaque box lc rgb '#d0d0d0' width 1\n");
    tg_plot_free(p);
    p = panel(&(tg_plot_axes){ .x = "x", .key = TG_KEY_BELOW });
    expect_script(p, "set key below center horizontal height 1\n");
    tg_plot_free(p);
}

Test(plot_panel, nothing_to_draw_is_a_picture_too)
{
    tg_plot *p = panel(NULL);
    expect_script(p, "set xrange [0 : 1 ]\nset yrange [0 : 1 ]\nunset key\nplot NaN notitle\n");
    tg_plot_line(p, 2, NULL, (double[]){ NAN, INFINITY }, &(tg_plot_style){ .label = "none" });
    tg_plot_points(p, 0, NULL, NULL, NULL);
    tg_plot_bars(p, 0, NULL, NULL, NULL);
    tg_plot_field(p, &(tg_plot_grid){ 0, 1, 0, 1, 2, 1 }, (double[]){ NAN, NAN }, NULL);
    expect_script(p, "plot NaN with lines lw 2 lc rgb '#0072b2' title 'none'\n");
    tg_plot_free(p);
    p = panel(&(tg_plot_axes){ .log_x = true, .x0 = NAN, .x1 = 50, .y0 = 7, .y1 = NAN });
    expect_script(p, "set xrange [5 : 50 ]\nset yrange [7 : 8 ]\n");
    tg_plot_free(p);
}

Test(plot_panel, lines_have_gaps_where_there_is_no_number)
{
    tg_plot *p = panel(&(tg_plot_axes){ .log_y = true });
    tg_plot_line(p, 6, NULL, (double[]){ 1, NAN, 3, 0, -1, INFINITY }, NULL);
    expect_script(p, "$d1 << END\n1 1 \n\n3 3 \n\n\n\nEND\n");
    tg_plot_free(p);
}

Test(plot_panel, strides_and_colours)
{
    const double xy[] = { 1, 2, 3, 4 };
    tg_plot *p = panel(NULL);
    const tg_plot_style pairs = { .stride = 2 };
    tg_plot_points(p, 2, xy, xy + 1, &pairs);
    tg_plot_points(p, 2, xy, xy + 1, &(tg_plot_style){ .stride = 2, .colour = 0x123456 });
    tg_plot_line(p, 2, xy, xy + 1, &(tg_plot_style){ .stride = 2, .right = true, .dashed = true });
    expect_script(p, "$d1 << END\n1 2 \n3 4 \nEND\n");
    expect_script(p, "pt 7 ps 0.6 lw 1 lc rgb '#0072b2' notitle, $d2");
    expect_script(p,
                  "lc rgb '#123456' notitle, $d3 axes x1y2 with lines lw 2 lc rgb '#d55e00' dt 2");
    expect_script(p, "set y2range");
    tg_plot_free(p);
}

Test(plot_panel, a_script_can_be_had_at_any_time)
{
    tg_plot *p = tg_plot_new(&(tg_plot_options){ .columns = 2 });
    tg_plot_line(p, 1, NULL, (double[]){ 1 }, NULL);
    char *const first = strdup(tg_plot_script(p));
    cr_expect_str_eq(tg_plot_script(p), first);
    tg_plot_panel(p, NULL);
    tg_plot_line(p, 1, NULL, (double[]){ 2 }, NULL);
    const char *const second = tg_plot_script(p);
    const size_t same = strlen(first) - strlen("unset multiplot\n");
    cr_expect(strncmp(first, second, same) == 0 && strlen(second) > strlen(first));
    free(first);
    tg_plot_free(p);
}

/* ---- functions of the plane ------------------------------------------------------------------ */

Test(plot_plane, points_of_a_grid_are_the_middles_of_its_cells)
{
    double xy[12];
    tg_plot_grid_points(&(tg_plot_grid){ 0, 3, 10, 12, 3, 2 }, xy);
    const double expected[] = { 0.5, 10.5, 1.5, 10.5, 2.5, 10.5, 0.5, 11.5, 1.5, 11.5, 2.5, 11.5 };
    for (int i = 0; i < 12; i++) cr_expect_eq(xy[i], expected[i]);
}

/* Reads the points of the block $d1; returns how many. */
static int points_of(tg_plot *p, double (*point)[2], int most)
{
    const char *at = strstr(tg_plot_script(p), "$d1 << END\n") + strlen("$d1 << END\n");
    int n = 0;
    for (; strncmp(at, "END", 3); at = strchr(at, '\n') + 1)
        if (*at != '\n') {
            cr_assert(n < most && sscanf(at, "%lf %lf", &point[n][0], &point[n][1]) == 2);
            n++;
        }
    return n;
}

Test(plot_plane, contours_lie_where_the_function_has_their_value)
{
    enum { N = 100 };
    const tg_plot_grid g = { -2, 2, -2, 2, N, N };
    double *const xy = malloc(2 * N * N * sizeof *xy), *const z = malloc(N * N * sizeof *z);
    static double point[4000][2];
    tg_plot_grid_points(&g, xy);
    for (int i = 0; i < N * N; i++) z[i] = xy[2 * i] * xy[2 * i] + xy[2 * i + 1] * xy[2 * i + 1];
    tg_plot *p = panel(NULL);
    tg_plot_contours(p, &g, z, 1, (double[]){ 2.25 }, NULL);
    const int n = points_of(p, point, 4000);
    double right = 0, up = 0;
    for (int i = 0; i < n; i++) {
        /* Linear between middles: z'' h^2 / 8 off at most, h = 0.04. */
        const double r = hypot(point[i][0], point[i][1]);
        cr_expect(fabs(r * r - 2.25) <= 2 * 0.04 * 0.04 / 8 + 1e-8, "r = %g", r);
        right = fmax(right, point[i][0]);
        up = fmax(up, point[i][1]);
    }
    cr_expect(n > 200 && right > 1.499 && up > 1.499, "%d points, to (%g, %g)", n, right, up);
    tg_plot_free(p);
    free(xy);
    free(z);
}

/* A plane's contour, from edge to edge of the grid and not from middle to middle; and one that turns
   between the last middles and the edge, which is closed. */
Test(plot_plane, contours_go_to_the_edge)
{
    enum { N = 10 };
    const tg_plot_grid g = { -1, 1, 0, 2, N, N };
    double xy[2 * N * N], z[N * N], point[400][2];
    tg_plot_grid_points(&g, xy);
    for (int i = 0; i < N * N; i++) z[i] = xy[2 * i] + 0.25 * xy[2 * i + 1];
    tg_plot *p = panel(NULL);
    tg_plot_contours(p, &g, z, 1, (double[]){ 0.3 }, NULL);
    int n = points_of(p, point, 400);
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < n; i++) {
        cr_expect(fabs(point[i][0] + 0.25 * point[i][1] - 0.3) < 1e-8);
        low = fmin(low, point[i][1]);
        high = fmax(high, point[i][1]);
    }
    cr_expect(low == 0 && high == 2, "from %g to %g", low, high);
    tg_plot_free(p);

    /* It reaches x = 0.95; the last middles are at 0.9. Each end of a line is another one's too. */
    for (int i = 0; i < N * N; i++)
        z[i] = xy[2 * i] + 0.3 * (xy[2 * i + 1] - 1) * (xy[2 * i + 1] - 1);
    p = panel(NULL);
    tg_plot_contours(p, &g, z, 1, (double[]){ 0.95 }, NULL);
    n = points_of(p, point, 400);
    double right = 0;
    for (int i = 0; i < n; i++) {
        int same = 0;
        for (int j = 0; j < n; j++)
            same += hypot(point[i][0] - point[j][0], point[i][1] - point[j][1]) < 1e-6;
        right = fmax(right, point[i][0]);
        if (point[i][1] > 0 && point[i][1] < 2) cr_expect_eq(same, 2);
    }
    cr_expect(fabs(right - 0.947) < 1e-6, "right = %g", right); /* 0.95 - 0.3 * 0.1 * 0.1 */
    tg_plot_free(p);
}

Test(plot_plane, a_saddle_is_cut_where_its_middle_says)
{
    const tg_plot_grid g = { 0, 2, 0, 2, 2, 2 };
    static const struct {
        double z[4];   /* of (0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5) */
        bool at_first; /* one of the lines cuts the first corner off */
    } rows[] = {
        { { 1, 0, 0, 1 }, false }, /* middle 0.5, above the level: 1 is joined with 1 */
        { { 1, -1, -1, 1 }, true },
    };
    for (int i = 0; i < 2; i++) {
        double point[40][2];
        tg_plot *p = panel(NULL);
        tg_plot_contours(p, &g, rows[i].z, 1, (double[]){ 0.4 }, NULL);
        const int n = points_of(p, point, 40);
        int lines = 0;
        bool at_first = false;
        for (int line = 0; line < n; line += 2) {
            const double x = (point[line][0] + point[line + 1][0]) / 2;
            const double y = (point[line][1] + point[line + 1][1]) / 2;
            if (fabs(x - 1) > 0.5 || fabs(y - 1) > 0.5) continue; /* between middle and edge */
            lines++;
            at_first = at_first || (x < 1 && y < 1);
        }
        cr_expect_eq(lines, 2);
        cr_expect_eq(at_first, rows[i].at_first, "saddle %d", i);
        tg_plot_free(p);
    }
}

Test(plot_plane, contours_choose_round_levels)
{
    const tg_plot_grid g = { 0, 1, 0, 2, 1, 2 };
    double point[100][2];
    const tg_plot_grid wide = { 0, 2, 0, 2, 2, 2 };
    tg_plot *p = panel(NULL);
    tg_plot_contours(p, &wide, (double[]){ 0.1, 0.1, 9.9, 9.9 }, 5, NULL, NULL);
    const int n = points_of(p, point, 100);
    cr_expect_eq(n, 24); /* 2, 4, 6, 8, each through three squares */
    for (int i = 0; i < n; i++)
        cr_expect(fabs(point[i][1] - (0.5 + (2 * (i / 6 + 1) - 0.1) / 9.8)) < 1e-8);
    tg_plot_contours(p, &g, (double[]){ 1, 1 }, 5, NULL, NULL); /* constant: none */
    cr_expect_eq(tg_plot_status(p)->code, TG_OK);
    tg_plot_free(p);
}

Test(plot_plane, regions_have_the_colour_of_the_most_probable_class)
{
    const tg_plot_grid g = { 0, 2, 0, 2, 2, 2 };
    const double y[] = { 1, 0, 0, 1, 0.5, 0.5, NAN, NAN };
    tg_image *m = tg_image_regions(&g, y, 2, &status);
    cr_assert(m);
    const uint8_t expected[] = { /* the upper row first: undecided, unknown */
                                 255, 255, 255, 255, 255, 255,
                                 /* 0.45 of #0072b2 and of #d55e00 */
                                 140, 192, 220, 236, 183, 140
    };
    for (size_t i = 0; i < sizeof expected; i++)
        cr_expect_eq(m->rgb[i], expected[i], "byte %zu is %d", i, m->rgb[i]);
    tg_image_free(m);
}

Test(plot_plane, a_confusion_matrix_shows_its_counts)
{
    const int count[] = { 30, 0, 2, 8 };
    tg_plot *p = panel(NULL);
    tg_plot_confusion(p, 2, count, (const char *const[]){ "cat", "50%" });
    expect_script(p, "set xlabel 'predicted'\nset ylabel 'actual'\n");
    expect_script(p, "set ytics ('cat' 0, '50%%' 1) scale 0\n");
    expect_script(p, "set label 1 '30' at 0 , 0 center");
    expect_script(p, "set label 2 '2' at 0 , 1 center"); /* actual 1, predicted 0; none of 0 */
    expect_script(p, "set yrange [1.5 : -0.5 ]");
    tg_plot_free(p);
}

/* ---- images ---------------------------------------------------------------------------------- */

static char folder[] = "/tmp/tapegrad-plot-XXXXXX";

static void enter_folder(void)
{
    cr_assert(mkdtemp(folder) && chdir(folder) == 0);
}

static void leave_folder(void)
{
    if (chdir("/") == 0) {
        char command[64];
        snprintf(command, sizeof command, "/bin/rm -r %s", folder);
        EXPECT_AT_THE_END(system(command) == 0, "%s", command);
    }
}

TestSuite(plot_files, .init = enter_folder, .fini = leave_folder);

static void expect_bytes(const char *path, const char *bytes, size_t n)
{
    char found[256] = "";
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s is not there", path);
    const size_t length = fread(found, 1, sizeof found, f);
    fclose(f);
    cr_expect(length == n && memcmp(found, bytes, n) == 0, "%s has %zu bytes, or others", path,
              length);
}

Test(plot_files, images_to_the_byte)
{
    tg_image *m = tg_image_new(2, 1, &status);
    tg_image_set(m, 1, 0, 0x0a0b0c);
    tg_image_set(m, 2, 0, 0); /* outside */
    tg_image_set(m, 0, -1, 0);
    cr_expect(tg_image_write(m, "a.ppm", &status), "%s", status.message);
    expect_bytes("a.ppm", "P6\n2 1\n255\n\xff\xff\xff\x0a\x0b\x0c", 17);
    cr_expect(tg_image_write(m, "a.pgm", &status), "%s", status.message);
    expect_bytes("a.pgm", "P5\n2 1\n255\n\xff\x0b", 13); /* 0.2126 10 + 0.7152 11 + 0.0722 12 */
    tg_image_free(m);
}

Test(plot_files, dots_lie_where_the_grid_says)
{
    tg_image *m = tg_image_new(5, 5, &status);
    const tg_plot_grid g = { 0, 5, 0, 5, 5, 5 };
    tg_image_dot(m, &g, 4.5, 4.5, 0); /* the upper right corner: 2 by 2 of it */
    tg_image_dot(m, &g, 6, 1, 0);
    tg_image_dot(m, &g, NAN, 1, 0);
    int dark = 0;
    for (int i = 0; i < 25; i++) dark += m->rgb[3 * i] == 0;
    cr_expect_eq(dark, 4);
    cr_expect(m->rgb[3 * 4] == 0 && m->rgb[3 * 9] == 0 && m->rgb[3 * 3] == 0);
    tg_image_free(m);
}

Test(plot_files, images_side_by_side)
{
    const double pixel[] = { 0, 1, 0.5, 2, NAN };
    tg_image *m =
        tg_image_of(&(tg_images){ .n = 5, .width = 1, .height = 1, .pixel = pixel }, &status);
    cr_assert(m, "%s", status.message);
    cr_expect(m->width == 7 && m->height == 5); /* 3 in a row, borders between */
    const uint8_t grey[] = { 255, 0, 128, 0, 255 };
    for (int i = 0; i < 5; i++) {
        const int at = 3 * ((1 + 2 * (i / 3)) * 7 + 1 + 2 * (i % 3));
        cr_expect_eq(m->rgb[at], grey[i], "image %d is %d", i, m->rgb[at]);
    }
    cr_expect_eq(m->rgb[0], 0xc0);
    tg_image_free(m);
}

/* ---- errors ---------------------------------------------------------------------------------- */

Test(plot_files, paths)
{
    tg_plot *p = tg_plot_new(NULL);
    expect_message(!tg_plot_write(p, "a.jpg", &status), TG_ERROR_ARGUMENT,
                   "a.jpg: a picture's name ends in .png or .svg");
    expect_message(!tg_plot_write(p, NULL, &status), TG_ERROR_ARGUMENT,
                   "the path of a picture is NULL");
    expect_message(!tg_plot_writable("png", &status), TG_ERROR_ARGUMENT,
                   "png: a picture's name ends in .png or .svg");
    expect_message(!tg_plot_writable("no/a.png", &status), TG_ERROR_FILE,
                   "no/a.png: cannot be written: No such file or directory");
    expect_message(!tg_image_writable("no/a.ppm", &status), TG_ERROR_FILE,
                   "no/a.ppm: cannot be written: No such file or directory");
    expect_message(!tg_image_writable("a.png", &status), TG_ERROR_ARGUMENT,
                   "a.png: an image's name ends in .ppm or .pgm");
    expect_message(!tg_plot_write(NULL, "a.png", &status), TG_ERROR_MEMORY,
                   "a.png: no memory for a picture");
    tg_image *m = tg_image_new(1, 1, NULL);
    expect_message(!tg_image_write(m, NULL, &status), TG_ERROR_ARGUMENT,
                   "the path of an image is NULL");
    expect_message(!tg_image_write(NULL, "a.ppm", &status), TG_ERROR_ARGUMENT,
                   "a.ppm: the image is NULL");
    cr_assert_eq(symlink("/dev/full", "full.ppm"), 0);
    expect_message(!tg_image_write(m, "full.ppm", &status), TG_ERROR_FILE,
                   "full.ppm: cannot be written: No space left on device");
    cr_expect(tg_plot_writable("new.svg", &status) && access("new.svg", F_OK) != 0);
    tg_image_free(m);
    tg_plot_free(p);
}

Test(plot_errors, a_picture_that_is_null_is_no_trouble)
{
    tg_plot_panel(NULL, NULL);
    tg_plot_line(NULL, 1, NULL, NULL, NULL);
    tg_plot_hline(NULL, 1, NULL);
    tg_plot_text(NULL, 0, 0, "x", NULL);
    tg_plot_field(NULL, NULL, NULL, NULL);
    tg_plot_images(NULL, NULL);
    tg_plot_confusion(NULL, 1, NULL, NULL);
    cr_expect(!tg_plot_script(NULL) && !tg_plot_status(NULL));
    tg_plot_free(NULL);
    tg_image_free(NULL);
}

Test(plot_errors, the_first_one_stays)
{
    tg_plot *p = tg_plot_new(NULL);
    tg_plot_panel(p, NULL);
    tg_plot_panel(p, NULL);
    tg_plot_line(p, -1, NULL, NULL, NULL);
    expect_message(!tg_plot_write(p, "a.png", &status), TG_ERROR_ARGUMENT,
                   "tg_plot_panel: the picture has 1 x 1 panels, and this is one more");
    expect_wrong(p, TG_ERROR_ARGUMENT,
                 "tg_plot_panel: the picture has 1 x 1 panels, and this is one more");
}

Test(plot_errors, pictures_and_panels)
{
    expect_wrong(tg_plot_new(&(tg_plot_options){ .rows = -1 }), TG_ERROR_ARGUMENT,
                 "tg_plot_new: -1 x 1 panels: 1 to 100 each way are possible");
    expect_wrong(
        tg_plot_new(&(tg_plot_options){ .width = 10 }), TG_ERROR_ARGUMENT,
        "tg_plot_new: 1 x 1 panels of 10 x 500 pixels: a panel has at least 50 each way, a "
        "picture at most 20000");
    expect_wrong(panel(&(tg_plot_axes){ .y1 = INFINITY }), TG_ERROR_ARGUMENT,
                 "tg_plot_panel: the range of y is infinite");
    expect_wrong(
        panel(&(tg_plot_axes){ .log_x = true, .x1 = 3 }), TG_ERROR_ARGUMENT,
        "tg_plot_panel: the range of x is 0 to 3: a logarithmic axis needs numbers above 0");
    expect_wrong(panel(&(tg_plot_axes){ .key = (tg_plot_key)99 }), TG_ERROR_ARGUMENT,
                 "tg_plot_panel: there is no place 99 for the key");
    expect_wrong(panel(&(tg_plot_axes){ .x_count = 2 }), TG_ERROR_ARGUMENT,
                 "tg_plot_panel: 2 names of x, and x_names is NULL");
}

Test(plot_errors, layers)
{
    const double one[] = { 1 };
    const int label[] = { 3 }, count[] = { -1 };
    const tg_plot_grid g = { 0, 1, 0, 1, 1, 1 }, flat = { 0, 1, 2, 2, 1, 1 };
    tg_plot *p = panel(NULL);
    tg_plot_line(p, -1, NULL, one, NULL);
    expect_wrong(p, TG_ERROR_ARGUMENT, "tg_plot_line: n is -1");
    p = panel(NULL);
    tg_plot_bars(p, 2, NULL, NULL, NULL);
    expect_wrong(p, TG_ERROR_ARGUMENT, "tg_plot_bars: 2 values, and they are NULL");
    p = panel(NULL);
    tg_plot_points(p, 1, NULL, one, &(tg_plot_style){ .size = -1 });
    expect_wrong(p, TG_ERROR_ARGUMENT,
                 "tg_plot_points: stride 0, mark 0, width 0, size -1: no such style");
    p = panel(NULL);
    tg_plot_classes(p, 1, one, label, 3, NULL, NULL);
    expect_wrong(p, TG_ERROR_INDEX,
                 "tg_plot_classes: the label of point 0 is 3, and there are 3 classes");
    p = panel(NULL);
    tg_plot_contours(p, &flat, one, 1, NULL, NULL);
    expect_wrong(
        p, TG_ERROR_ARGUMENT,
        "tg_plot_contours: a grid of 1 x 1 cells over 0 ... 1, 2 ... 2: it needs 1 to 20000 "
        "each way, and an area");
    p = panel(NULL);
    tg_plot_field(p, NULL, one, NULL);
    expect_wrong(p, TG_ERROR_ARGUMENT, "tg_plot_field: the grid is NULL");
    p = panel(NULL);
    tg_plot_field(p, &g, one, &(tg_plot_scale){ .low = -1, .high = 1, .log = true });
    expect_wrong(p, TG_ERROR_ARGUMENT, "tg_plot_field: a logarithmic scale from -1 to 1");
    p = panel(NULL);
    tg_plot_regions(p, &g, one, 0);
    expect_wrong(p, TG_ERROR_ARGUMENT, "regions of 0 classes: there must be one");
    p = panel(NULL);
    tg_plot_confusion(p, 1, count, NULL);
    expect_wrong(p, TG_ERROR_ARGUMENT, "tg_plot_confusion: class 0 was taken for 0 -1 times");
    p = panel(NULL);
    tg_plot_confusion(p, 0, count, NULL);
    expect_wrong(p, TG_ERROR_ARGUMENT, "tg_plot_confusion: 0 classes: 1 to 1000 are possible");
    p = panel(NULL);
    tg_plot_images(p, &(tg_images){ .n = 1 });
    expect_wrong(p, TG_ERROR_ARGUMENT,
                 "images: 1 of 0 x 0 pixels, 0 in a row: none of these may be below 1, and there "
                 "must be pixels");
    expect_message(
        !tg_image_of(&(tg_images){ .n = 100, .width = 20000, .height = 1, .pixel = one }, &status),
        TG_ERROR_ARGUMENT,
        "images: 100 of 20000 x 1 pixels, 10 in a row, are too many for one picture");
    expect_message(!tg_image_new(0, 1, &status), TG_ERROR_ARGUMENT,
                   "an image of 0 x 1 pixels: 1 to 32768 each way are possible");
}

/* ---- gnuplots that are none ------------------------------------------------------------------ */

/* Puts a shell script in gnuplot's place, or nothing if that is NULL. */
static void pretend(const char *script)
{
    cr_assert_eq(setenv("PATH", folder, 1), 0);
    if (!script) return;
    FILE *f = fopen("gnuplot", "w");
    cr_assert(f);
    fprintf(f, "#!/bin/sh\n%s\n", script);
    fclose(f);
    cr_assert_eq(chmod("gnuplot", 0700), 0);
}

/* A picture of 2 MB, more than any buffer on the way holds. */
static tg_plot *large(void)
{
    const int n = 200000;
    double *const y = calloc((size_t)n, sizeof *y);
    tg_plot *p = panel(NULL);
    tg_plot_line(p, n, NULL, y, NULL);
    free(y);
    return p;
}

static void expect_failure(const char *script, const char *message)
{
    pretend(script);
    FILE *f = fopen("old.png", "w");
    fputs("as it was", f);
    fclose(f);
    tg_plot *p = large();
    expect_message(!tg_plot_write(p, "old.png", &status), TG_ERROR_FILE, message);
    expect_bytes("old.png", "as it was", 9);
    tg_plot_free(p);
}

Test(plot_files, no_gnuplot)
{
    expect_failure(NULL, "gnuplot was not found: is it installed?");
    expect_message(!tg_plot_gnuplot(&status), TG_ERROR_FILE,
                   "gnuplot was not found: is it installed?");
}

#define VERSION(v) "[ \"$1\" = --version ] && echo 'gnuplot " v " patchlevel 1' && exit\n"

Test(plot_files, a_gnuplot_that_is_killed)
{
    expect_failure(VERSION("5.4") "kill -9 $$", "gnuplot was killed by signal 9");
}

Test(plot_files, a_gnuplot_that_fails)
{
    expect_failure(VERSION("5.4") "printf '\\n\\n  no display\\nmore\\n' >&2; exit 3",
                   "gnuplot failed with status 3: no display");
    expect_failure(
        VERSION("5.4") "printf 'plot x(\\n  ^\\n\"<cat\" line 7: no such function\\n' >&2; exit 1",
        "gnuplot failed with status 1: line 7: no such function");
    expect_failure(VERSION("5.4") "exit 4", "gnuplot failed with status 4");
}

Test(plot_files, a_gnuplot_that_is_too_old)
{
    expect_failure(VERSION("4.6") "exit 1", "gnuplot 4.6 is too old: 5.0 is needed");
    expect_message(!tg_plot_gnuplot(&status), TG_ERROR_FILE,
                   "gnuplot 4.6 is too old: 5.0 is needed");
    pretend("echo hello");
    expect_message(!tg_plot_gnuplot(&status), TG_ERROR_FILE,
                   "gnuplot does not say which version it is");
    pretend(VERSION("6.0"));
    cr_expect(tg_plot_gnuplot(&status), "%s", status.message);
}

Test(plot_files, a_gnuplot_that_draws_nothing)
{
    expect_failure(VERSION("5.4") "exit 0", "gnuplot ended without a whole picture");
    expect_failure(VERSION("5.4") "echo half a picture", "gnuplot ended without a whole picture");
}

Test(plot_files, standard_files_may_be_closed)
{
    pretend(VERSION("5.4") "while read -r line; do :; done; printf '</svg>%100s</svg>\\n' x");
    close(0);
    tg_plot *p = panel(NULL);
    cr_expect(tg_plot_write(p, "a.svg", &status), "%s", status.message);
    tg_plot_free(p);
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* One of everything, with texts and numbers that make trouble. */
static tg_plot *everything(void)
{
    enum { N = 12, CELLS = N * N };
    static const char *const names[] = { "50% {x}", "it's \\n", "c\nd" };
    const tg_plot_grid g = { -1, 1, -1, 1, N, N };
    double xy[2 * CELLS], z[CELLS], y[3 * CELLS];
    const double curve[] = { 1, 2, NAN, INFINITY, 3, 1e-300 }, ends[] = { 0, 0, 1, 1 };
    const int label[] = { 0, 1, 2 }, count[] = { 5, 1, 0, 0, 0, 0, 1, 1, 9 };
    tg_plot_grid_points(&g, xy);
    for (int i = 0; i < CELLS; i++) {
        z[i] = i == 17 ? NAN : i == 18 ? -INFINITY : exp(xy[2 * i]) * xy[2 * i + 1];
        for (int k = 0; k < 3; k++) y[3 * i + k] = k == i % 3 ? 0.8 : 0.1;
    }
    tg_plot *p = tg_plot_new(&(tg_plot_options){ 3, 3, 200, 180, "'`date`' \\" });
    for (int key = TG_KEY_TOP_RIGHT; key <= TG_KEY_NONE; key++) {
        tg_plot_panel(p,
                      &(tg_plot_axes){ "t%d", "x", "y", "right", .key = (tg_plot_key)key,
                                       .log_x = key == 1, .log_y = key == 2, .log_right = key == 3,
                                       .square = key == 4, .bare = key == 5 });
        tg_plot_line(p, 6, NULL, curve, &(tg_plot_style){ .label = "l {a}" });
        tg_plot_points(p, 6, NULL, curve, &(tg_plot_style){ .mark = (tg_plot_mark)key });
        if (key == 0) tg_plot_bars(p, 6, NULL, curve, NULL);
        tg_plot_errors(p, 6, NULL, curve, curve, NULL);
        tg_plot_band(p, 6, NULL, curve, curve, &(tg_plot_style){ .right = true });
        tg_plot_segments(p, 1, ends, NULL);
        tg_plot_arrows(p, 1, ends, &(tg_plot_style){ .dashed = true });
        tg_plot_hline(p, 2, &(tg_plot_style){ .label = "h'", .right = key == 3 });
        tg_plot_vline(p, 2, NULL);
        tg_plot_text(p, 2, 2, "&<>'%d\nx", NULL);
        if (key != 4) continue;
        tg_plot_regions(p, &g, y, 3);
        tg_plot_field(p, &g, z, &(tg_plot_scale){ "F'", .diverging = true });
        tg_plot_contours(p, &g, z, 5, NULL, NULL);
        tg_plot_classes(p, 3, xy, label, 3, names, NULL);
    }
    tg_plot_panel(p, NULL);
    tg_plot_confusion(p, 3, count, names);
    tg_plot_panel(p, NULL);
    tg_plot_images(p, &(tg_images){ 3, 4, 4, .pixel = xy, .label = names });
    return p;
}

/* Whether there is a gnuplot to try. */
static void need_gnuplot(void)
{
    if (!tg_plot_gnuplot(&status)) cr_skip_test("%s", status.message);
}

Test(plot_files, everything_at_once)
{
    need_gnuplot();
    tg_plot *p = everything();
    cr_expect(tg_plot_write(p, "all.png", &status), "%s", status.message);
    cr_expect(tg_plot_write(p, "all.svg", &status), "%s", status.message);
    tg_plot_free(p);
    FILE *f = fopen("all.png", "rb");
    uint8_t head[24] = { 0 };
    cr_assert(f && fread(head, 1, sizeof head, f) == sizeof head);
    fclose(f);
    cr_expect(memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0);
    cr_expect(head[18] * 256 + head[19] == 600 && head[22] * 256 + head[23] == 3 * 180 + 36);
    cr_expect_eq(system("test \"$(echo *)\" = 'all.png all.svg'"), 0, "a file is left behind");
}

Test(plot_files, texts_arrive_in_the_picture_as_they_are)
{
    need_gnuplot();
    tg_plot *p = panel(&(tg_plot_axes){ .title = "it's `date` \\n {a}_b 5% x₁", .x = "\xff" });
    tg_plot_write(p, "a.svg", &status);
    tg_plot_free(p);
    static char text[1 << 18];
    FILE *f = fopen("a.svg", "r");
    cr_assert(f, "%s", status.message);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    cr_expect(strstr(text, ">it's `date` \\n {a}_b 5% x₁<"));
    cr_expect(strstr(text, ">\xef\xbf\xbd<"));
}

Test(plot_files, no_init_file_of_the_user_interferes)
{
    need_gnuplot();
    FILE *f = fopen(".gnuplot", "w");
    fputs("exit status 9\n", f);
    fclose(f);
    setenv("HOME", folder, 1);
    tg_plot *p = panel(NULL);
    cr_expect(tg_plot_write(p, "a.png", &status), "%s", status.message);
    tg_plot_free(p);
}

/* ---- progress -------------------------------------------------------------------------------- */

Test(plot_meter, a_log_gets_a_line_for_each_tenth)
{
    FILE *f = tmpfile();
    tg_meter m = tg_meter_start(f, 1000);
    for (int i = 0; i <= 1000; i++) tg_meter_show(&m, i, "loss %d", i);
    cr_expect(tg_meter_end(&m) >= 0);
    char line[100];
    int lines = 0;
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        lines++;
        char expected[64];
        snprintf(expected, sizeof expected, "%3d%%  loss %d", 10 * lines, 100 * lines);
        cr_expect(strncmp(line, expected, strlen(expected)) == 0, "%s, not %s", line, expected);
        cr_expect_eq(strstr(line, " s left\n") != NULL, lines < 10, "%s", line);
    }
    cr_expect_eq(lines, 10);
    fclose(f);
}

Test(plot_meter, it_is_silent_without_a_file_and_takes_any_total)
{
    tg_meter m = tg_meter_start(NULL, 0);
    tg_meter_show(&m, 5, "%s", "nothing");
    cr_expect(tg_meter_end(&m) >= 0);
    FILE *f = tmpfile();
    m = tg_meter_start(f, 0);
    tg_meter_show(&m, 0, "done");
    tg_meter_end(&m);
    char line[100] = "";
    rewind(f);
    cr_expect(fgets(line, sizeof line, f) && strcmp(line, "100%  done\n") == 0, "%s", line);
    fclose(f);
}

Test(plot_meter, a_terminal_gets_a_bar_that_fits)
{
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) cr_skip_test("there are no terminals");
    const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert(terminal >= 0);
    ioctl(terminal, TIOCSWINSZ, &(struct winsize){ .ws_row = 24, .ws_col = 50 });
    FILE *f = fdopen(terminal, "w");
    tg_meter m = tg_meter_start(f, 4);
    tg_meter_show(&m, 1, "too early"); /* ten times a second at most */
    m.shown -= 1;
    m.begun -= 1;
    tg_meter_show(&m, 2, "ééé 0123456789012345678901234567890123456789");
    tg_meter_show(&m, 4, "ok");
    tg_meter_end(&m);
    static const char expected[] = "\r[############            ]  50%  ééé 012345678901\033[K"
                                   "\r[########################] 100%  ok\033[K\r\n";
    char text[400] = "";
    size_t n = 0; /* what is written arrives in pieces */
    for (struct pollfd wait = { .fd = master, .events = POLLIN };
         n < strlen(expected) && poll(&wait, 1, 10000) == 1;) {
        const ssize_t more = read(master, text + n, sizeof text - 1 - n);
        if (more <= 0) break;
        n += (size_t)more;
    }
    cr_expect_str_eq(text, expected);
    fclose(f);
    close(master);
}
