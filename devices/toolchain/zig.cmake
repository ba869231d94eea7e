# Cross-compiles by zig's clang, which brings every target's C library:
#   cmake -DCMAKE_TOOLCHAIN_FILE=devices/toolchain/zig.cmake -DZIG_TARGET=aarch64-linux-gnu.2.28
# needs the Python package ziglang in the python3 of the PATH. The number is the oldest glibc.
set(ZIG_TARGET "" CACHE STRING "CPU, system and C library, as zig names them")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ZIG_TARGET)
string(REGEX MATCH "^[^-]+" cpu "${ZIG_TARGET}")
if(NOT cpu)
  message(FATAL_ERROR "ZIG_TARGET is empty; give one such as aarch64-linux-gnu.2.28")
endif()

if(ZIG_TARGET MATCHES "linux")
  set(CMAKE_SYSTEM_NAME Linux)
else()
  set(CMAKE_SYSTEM_NAME WASI)
endif()
set(CMAKE_SYSTEM_PROCESSOR ${cpu})
foreach(language C CXX)
  set(CMAKE_${language}_COMPILER_TARGET ${ZIG_TARGET})
endforeach()
set(CMAKE_C_COMPILER python3 -m ziglang cc)
set(CMAKE_CXX_COMPILER python3 -m ziglang c++)
set(CMAKE_AR ${CMAKE_CURRENT_LIST_DIR}/ar CACHE FILEPATH "")
set(CMAKE_RANLIB ${CMAKE_CURRENT_LIST_DIR}/ranlib CACHE FILEPATH "")
