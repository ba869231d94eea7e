// y = H D x / sqrt(block), block by block along the last axis (QuIP#, section 3; HIGGS, section 4).
#include "core/hadamard.h"
#include "core/packed.h"

namespace smalti::SMALTI_LEVEL {
namespace {

constexpr int64_t kTaskElements = 1 << 15;

Status shape(const Shape *inputs, const Value *, Shape *output) {
  *output = inputs[0];
  return Status();
}

Status run(const Call &call) {
  const Tensor &x = call.inputs[0];
  const int64_t block = call.attributes[0].i;
  const uint64_t seed = static_cast<uint64_t>(call.attributes[1].i);
  if (x.rank < 1) return fail(SMALTI_INVALID, "x: a scalar has no axis to transform");
  const int64_t width = x.dims[x.rank - 1];
  SMALTI_TRY(check_block(block, width));
  const int64_t rows = width == 0 ? 0 : elements(x) / width;
  const int64_t rows_a_task = kTaskElements / width + 1;
  const float *from = static_cast<const float *>(x.data);
  float *to = static_cast<float *>(call.output->data);
  call.parallel((rows + rows_a_task - 1) / rows_a_task, [&](int64_t task) {
    const int64_t end = (task + 1) * rows_a_task < rows ? (task + 1) * rows_a_task : rows;
    for (int64_t row = task * rows_a_task; row < end; ++row) {
      flip_signs(seed, width, from + row * width, to + row * width);
      hadamard_blocks(to + row * width, width, static_cast<int>(block));
    }
  });
  return Status();
}

}  // namespace

extern const Op HadamardTransform;
const Op HadamardTransform = {"HadamardTransform",
                              1,
                              {{"x", SMALTI_F32}},
                              {"y", SMALTI_F32},
                              2,
                              {{"block", Kind::kInt}, {"seed", Kind::kInt}},
                              shape,
                              run};

}  // namespace smalti::SMALTI_LEVEL
