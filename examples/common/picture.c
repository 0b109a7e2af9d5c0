/* Pictures: see picture.h. */
#include "common/picture.h"

#include <stdio.h>

#include "common/cli.h"

tg_plot *picture_new(const char *path, const tg_plot_options *options)
{
    tg_status status;
    if (!tg_plot_writable(path, &status)) fail("%s", status.message);
    if (!tg_plot_gnuplot(&status)) {
        printf("no picture: %s\n", status.message);
        return NULL;
    }
    tg_plot *picture = tg_plot_new(options);
    if (!picture) fail("no memory for the picture");
    return picture;
}

void picture_write(tg_plot *picture, const char *path)
{
    tg_status status;
    if (!picture) return;
    if (!tg_plot_write(picture, path, &status)) fail("%s", status.message);
    printf("picture: %s\n", path);
    tg_plot_free(picture);
}
