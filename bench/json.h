/* JSON: texts to trees and back, for what benchmarks write, compare and are asked. No more than that:
   numbers are doubles, a key that comes twice is there twice. Memory that fails ends the program. */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_TEXT, JSON_LIST, JSON_OBJECT } json_kind;

/* Items of a list, or of an object with their keys, in order. */
typedef struct json {
    json_kind kind;
    double number;
    char *text, *key; /* key: in the object that holds it */
    struct json *item;
    size_t count, room;
} json;

/* NULL if the text is not JSON; then *where is how many characters were. The caller frees it. */
json *json_read(const char *text, size_t *where);

/* The same of a file; what goes wrong is printed. */
json *json_read_file(const char *path);

/* NULL is fine. */
void json_free(json *j);

/* Item of this key, or NULL; also where j is NULL or no object. */
const json *json_get(const json *j, const char *key);

/* The number or text at key, or otherwise. */
double json_number(const json *j, const char *key, double otherwise);
const char *json_text(const json *j, const char *key, const char *otherwise);

/* New, empty. */
json *json_new(json_kind kind);

/* At the end of an object or (key NULL) list; what is returned belongs to j and stays until the next is
   added. */
json *json_add(json *j, const char *key, json_kind kind);
void json_add_number(json *j, const char *key, double number);
void json_add_text(json *j, const char *key, const char *text);

/* On one line; the items of the outermost list each on their own where lines is true. NaN and infinity,
   which JSON does not have, are null. */
void json_write(const json *j, FILE *file, bool lines);

#endif
