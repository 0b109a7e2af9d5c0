/* Run by the build: writes files as the elements of an array of characters, one file behind the
   other, with a 0 at the end.

       embed OUTPUT FILE ... */
#include <stdio.h>

static int write_characters(FILE *out, const char *path)
{
    FILE *const in = fopen(path, "r");
    if (!in) return 0;
    int n = 0;
    for (int c; (c = getc(in)) != EOF; n++) fprintf(out, "%d,%s", c, n % 24 == 23 ? "\n" : "");
    return fclose(in) == 0;
}

int main(int argc, char **argv)
{
    FILE *const out = argc > 2 ? fopen(argv[1], "w") : NULL;
    int ok = out != NULL;
    for (int i = 2; ok && i < argc; i++) {
        ok = write_characters(out, argv[i]) && fprintf(out, "'\\n',\n") > 0;
        if (!ok) perror(argv[i]);
    }
    if (ok) ok = fprintf(out, "0\n") > 0;
    return out && fclose(out) == 0 && ok ? 0 : 1;
}
