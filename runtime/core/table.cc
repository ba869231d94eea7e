// The op table of one instruction-set level. Compiled once a level, like every kernel.
#include "core/op.h"

#ifndef SMALTI_OTHERS  // the level that has all but the products of packed weights
#define SMALTI_OTHERS SMALTI_LEVEL
#endif

#define SMALTI_OP(name) extern const Op name;
namespace smalti::SMALTI_OTHERS {
#include "ops/ops.inc"
}
namespace smalti::SMALTI_LEVEL {
#include "ops/ops.inc"
#undef SMALTI_OP

#define SMALTI_OP(name) &SMALTI_OTHERS::name,
#define SMALTI_PACKED_OP(name) &name,
static const Op *const ops[] = {
#include "ops/ops.inc"
};
#undef SMALTI_OP

#define SMALTI_QUOTE(text) #text
#define SMALTI_NAME(text) SMALTI_QUOTE(text)
extern const Level level;
const Level level = {SMALTI_NAME(SMALTI_LEVEL), ops};

}  // namespace smalti::SMALTI_LEVEL
