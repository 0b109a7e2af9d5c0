/* JSON: see json.h. */
#define _POSIX_C_SOURCE 200809L
#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

static void *need(void *p)
{
    if (p) return p;
    fprintf(stderr, "no memory\n");
    exit(1);
}

/* ---- trees ------------------------------------------------------------------------------------- */

json *json_new(json_kind kind)
{
    json *const j = need(calloc(1, sizeof *j));
    j->kind = kind;
    return j;
}

static void clear(json *j)
{
    for (size_t i = 0; i < j->count; i++) clear(&j->item[i]);
    free(j->item);
    free(j->text);
    free(j->key);
}

void json_free(json *j)
{
    if (j) clear(j);
    free(j);
}

json *json_add(json *j, const char *key, json_kind kind)
{
    if (j->count == j->room) {
        j->room = j->room ? 2 * j->room : 8;
        j->item = need(realloc(j->item, j->room * sizeof *j->item));
    }
    json *const item = &j->item[j->count++];
    *item = (json){ .kind = kind, .key = key ? need(strdup(key)) : NULL };
    return item;
}

void json_add_number(json *j, const char *key, double number)
{
    json_add(j, key, JSON_NUMBER)->number = number;
}

void json_add_text(json *j, const char *key, const char *text)
{
    json_add(j, key, JSON_TEXT)->text = need(strdup(text));
}

const json *json_get(const json *j, const char *key)
{
    if (!j || j->kind != JSON_OBJECT) return NULL;
    for (size_t i = 0; i < j->count; i++)
        if (strcmp(j->item[i].key, key) == 0) return &j->item[i];
    return NULL;
}

double json_number(const json *j, const char *key, double otherwise)
{
    const json *const item = json_get(j, key);
    return item && item->kind == JSON_NUMBER ? item->number : otherwise;
}

const char *json_text(const json *j, const char *key, const char *otherwise)
{
    const json *const item = json_get(j, key);
    return item && item->kind == JSON_TEXT ? item->text : otherwise;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static const char *skip(const char *s)
{
    return s + strspn(s, " \t\r\n");
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* The text that begins behind the quote at s, as new memory; *end is behind its own quote, or NULL with
   what is wrong at *s. */
static char *read_text(const char *s, const char **end)
{
    size_t length = 0;
    while (s[length] && s[length] != '"') length += s[length] == '\\' && s[length + 1] ? 2 : 1;
    char *const text = need(malloc(length + 1)), *out = text;
    const char *const stop = s + length;
    *end = *stop ? stop + 1 : NULL;
    while (*end && s < stop) {
        if (*s != '\\') {
            *out++ = *s++;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *const plain = strchr(from, s[1]);
        unsigned code;
        if (plain) *out++ = to[plain - from], s += 2;
        else if (s[1] == 'u' && sscanf(s + 2, "%4x", &code) == 1 && stop - s >= 6) out = put_utf8(out, code), s += 6;
        else *end = NULL;
    }
    *out = 0;
    return text;
}

/* Reads one value into j; returns behind it, or NULL with *bad where it went wrong. */
static const char *read_value(const char *s, json *j, int depth, const char **bad);

static const char *read_items(const char *s, json *j, int depth, const char **bad)
{
    const char close = j->kind == JSON_LIST ? ']' : '}';
    s = skip(s);
    if (*s == close) return s + 1;
    for (;;) {
        json *const item = json_add(j, NULL, JSON_NULL);
        if (j->kind == JSON_OBJECT) {
            *bad = s = skip(s);
            if (*s != '"') return NULL;
            item->key = read_text(s + 1, &s);
            if (!s) return NULL;
            *bad = s = skip(s);
            if (*s++ != ':') return NULL;
        }
        s = read_value(s, item, depth + 1, bad);
        if (!s) return NULL;
        *bad = s = skip(s);
        if (*s == close) return s + 1;
        if (*s++ != ',') return NULL;
    }
}

static const char *read_value(const char *s, json *j, int depth, const char **bad)
{
    static const char *const words[] = { [JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true" };
    *bad = s = skip(s);
    if (depth > DEEPEST) return NULL;
    for (json_kind k = JSON_NULL; k <= JSON_TRUE; k++)
        if (strncmp(s, words[k], strlen(words[k])) == 0) {
            j->kind = k;
            return s + strlen(words[k]);
        }
    if (*s == '[' || *s == '{') {
        j->kind = *s == '[' ? JSON_LIST : JSON_OBJECT;
        return read_items(s + 1, j, depth, bad);
    }
    if (*s == '"') {
        j->kind = JSON_TEXT;
        j->text = read_text(s + 1, &s);
        return s;
    }
    if (*s != '-' && (*s < '0' || *s > '9')) return NULL;
    char *end;
    j->kind = JSON_NUMBER;
    j->number = strtod(s, &end);
    return end > s ? end : NULL;
}

json *json_read(const char *text, size_t *where)
{
    json *const j = json_new(JSON_NULL);
    const char *bad = text, *end = read_value(text, j, 0, &bad);
    if (end) {
        bad = end = skip(end);
        if (!*end) return j;
    }
    if (where) *where = (size_t)(bad - text);
    json_free(j);
    return NULL;
}

json *json_read_file(const char *path)
{
    FILE *const f = fopen(path, "r");
    char *text = NULL;
    size_t length = 0, where;
    if (!f || getdelim(&text, &length, 0, f) < 0) {
        fprintf(stderr, "%s: cannot be read, or is empty\n", path);
        if (f) fclose(f);
        free(text);
        return NULL;
    }
    fclose(f);
    json *const j = json_read(text, &where);
    if (!j) fprintf(stderr, "%s: no JSON at character %zu\n", path, where);
    free(text);
    return j;
}

/* ---- writing ----------------------------------------------------------------------------------- */

static void write_text(const char *s, FILE *file)
{
    fputc('"', file);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') fprintf(file, "\\%c", *s);
        else if ((unsigned char)*s < 0x20) fprintf(file, "\\u%04x", (unsigned)*s);
        else fputc(*s, file);
    }
    fputc('"', file);
}

/* As few digits as give the same number again. */
static void write_number(double x, FILE *file)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits += digits < 15 ? 9 : 1) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    fputs(isfinite(x) ? text : "null", file);
}

static void write_value(const json *j, FILE *file, bool lines)
{
    static const char *const words[] = { "null", "false", "true" };
    if (j->kind <= JSON_TRUE) fputs(words[j->kind], file);
    if (j->kind == JSON_NUMBER) write_number(j->number, file);
    if (j->kind == JSON_TEXT) write_text(j->text, file);
    if (j->kind < JSON_LIST) return;
    const bool list = j->kind == JSON_LIST;
    fputc(list ? '[' : '{', file);
    for (size_t i = 0; i < j->count; i++) {
        fputs(lines ? (i ? ",\n" : "\n") : (i ? ", " : ""), file);
        if (!list) {
            write_text(j->item[i].key, file);
            fputs(": ", file);
        }
        write_value(&j->item[i], file, false);
    }
    fputs(lines ? "\n" : "", file);
    fputc(list ? ']' : '}', file);
}

void json_write(const json *j, FILE *file, bool lines)
{
    write_value(j, file, lines && j->kind == JSON_LIST);
    fputc('\n', file);
}
