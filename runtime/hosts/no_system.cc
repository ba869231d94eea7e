// What WebAssembly's C library asks of a system, answered here: no files, no environment. So the
// module imports nothing and any host can load it. The C library names these functions (WASI
// preview 1).
#include <stdint.h>

namespace {
constexpr int32_t kDone = 0, kBadFile = 8;  // as WASI numbers them
}

extern "C" {

int32_t __imported_wasi_snapshot_preview1_environ_sizes_get(int32_t count, int32_t bytes) {
  *reinterpret_cast<uint32_t *>(count) = 0;
  *reinterpret_cast<uint32_t *>(bytes) = 0;
  return kDone;
}

int32_t __imported_wasi_snapshot_preview1_environ_get(int32_t, int32_t) { return kDone; }

// Zig's own, the one of these that does not go through a function of the C library.
int close(int) { return -1; }

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t, int64_t, int32_t, int32_t) {
  return kBadFile;
}

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t, int32_t, int32_t, int32_t) {
  return kBadFile;
}

[[noreturn]] void __imported_wasi_snapshot_preview1_proc_exit(int32_t) { __builtin_trap(); }
}
