// core/elementary.h as functions of arrays, for test_elementary.py.
#include "core/elementary.h"

using namespace smalti::SMALTI_LEVEL;

namespace {

template <class Function>
void apply(const float *x, float *y, int64_t count, Function function) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Floats in, out;
    load(x + i, in);
    function(in, out);
    store(out, y + i);
  }
}

}  // namespace

#define ARRAY_OF(name)                                                    \
  extern "C" void name##s(const float *x, float *y, int64_t count) {      \
    apply(x, y, count, [](const Floats &v, Floats &to) { name(v, to); }); \
  }
ARRAY_OF(exponential)
ARRAY_OF(logarithm)
ARRAY_OF(sine)
ARRAY_OF(cosine)
ARRAY_OF(arc_sine)
