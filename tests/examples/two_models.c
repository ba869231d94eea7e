/* Runs a model, a second one, and the first again; with options of their own, or the first one's.
 *   two_models own|shared OUTPUTS MODEL MODEL INPUT */
#define main run_tflite_alone
#include "run_tflite.c"
#undef main

static bool compile_with(runner *r, const char *path, LiteRtOptions options) {
  TRY(LiteRtCreateEnvironment(0, NULL, &r->environment));
  TRY(LiteRtCreateModelFromFile(r->environment, path, &r->model));
  TRY(LiteRtCreateCompiledModel(r->environment, r->model, options, &r->compiled));
  return true;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  runner first = {0}, second = {0};
  const arguments given = {fopen(argv[2], "wb"), NULL, argv + 5, 1};
  const bool shared = strcmp(argv[1], "shared") == 0;
  const bool one = compile(&first, argv[3]) && create_buffers(&first) && run(&first, &given);
  const bool two =
      shared ? compile_with(&second, argv[4], first.options) : compile(&second, argv[4]);
  const bool both = two && create_buffers(&second) && run(&second, &given);
  const bool again = one && run(&first, &given);
  destroy(&second);
  destroy(&first);
  fclose(given.raw);
  return (again ? 0 : 10) + (both ? 0 : 20);
}
