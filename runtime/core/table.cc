// The op table of one instruction-set level. Compiled once a level, like every kernel.
#include "core/op.h"

namespace smalti::SMALTI_LEVEL {

#define SMALTI_OP(name) extern const Op name;
#include "ops/ops.inc"
#undef SMALTI_OP

#define SMALTI_OP(name) &name,
static const Op *const ops[] = {
#include "ops/ops.inc"
};
#undef SMALTI_OP

#define SMALTI_QUOTE(text) #text
#define SMALTI_NAME(text) SMALTI_QUOTE(text)
extern const Level level;
const Level level = {SMALTI_NAME(SMALTI_LEVEL), ops};

}  // namespace smalti::SMALTI_LEVEL
