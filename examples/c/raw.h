/* What both examples do with the bytes of a tensor: take them from a file, show them. */
#ifndef RAW_H
#define RAW_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Fills a tensor from a file of exactly its size; with zeros where path is NULL. */
static inline bool fill(void *data, size_t bytes, const char *path) {
  memset(data, 0, bytes);
  if (path == NULL) return true;
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    return false;
  }
  const size_t got = fread(data, 1, bytes, file);
  const bool fits = got == bytes && fgetc(file) == EOF;
  fclose(file);
  if (!fits)
    fprintf(stderr, "%s: the input has %zu bytes; give a file of that size\n", path, bytes);
  return fits;
}

/* Writes a tensor's bytes to a file, or, where there is none, its first numbers as text. */
static inline bool show(const void *data, size_t bytes, bool is_float, FILE *raw) {
  if (raw != NULL) {
    const bool written = fwrite(data, 1, bytes, raw) == bytes;
    if (!written) perror("cannot write the outputs");
    return written;
  }
  const size_t count = is_float ? bytes / sizeof(float) : 0;
  for (size_t i = 0; i < count && i < 8; ++i) {
    float number;
    memcpy(&number, (const char *)data + i * sizeof number, sizeof number);
    printf("%g ", number);
  }
  printf("(%zu bytes)\n", bytes);
  return true;
}

/* The command line of both: [-o OUTPUTS] MODEL [INPUT ...] */
typedef struct {
  FILE *raw; /* NULL: show the outputs as text */
  const char *model;
  char **inputs;
  size_t input_count;
} arguments;

static inline bool parse(int argc, char **argv, arguments *given) {
  const bool to_file = argc > 2 && strcmp(argv[1], "-o") == 0;
  const int model = to_file ? 3 : 1;
  if (argc <= model) {
    fprintf(stderr, "usage: %s [-o OUTPUTS] MODEL [INPUT ...]\n", argv[0]);
    return false;
  }
  *given = (arguments){NULL, argv[model], argv + model + 1, (size_t)(argc - model - 1)};
  if (to_file) given->raw = fopen(argv[2], "wb");
  if (to_file && given->raw == NULL) perror(argv[2]);
  return !to_file || given->raw != NULL;
}

/* The file for input i, NULL where none was given. */
static inline const char *input_file(const arguments *given, size_t i) {
  return i < given->input_count ? given->inputs[i] : NULL;
}

/* Closes what `parse` opened; a full disk shows here at the latest. */
static inline bool finish(arguments *given) {
  const bool closed = given->raw == NULL || fclose(given->raw) == 0;
  if (!closed) perror("cannot write the outputs");
  return closed;
}

#endif
