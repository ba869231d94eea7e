# WebAssembly: a module that needs nothing of its host, for one thread and no engine.
add_executable(smalti ${core} runtime/hosts/one_thread.cc runtime/hosts/no_system.cc)
target_compile_options(smalti PRIVATE -O2 -msimd128)
add_level(portable -msimd128)

# A reactor is what WASI calls a library.
set_target_properties(smalti PROPERTIES LINKER_LANGUAGE C SUFFIX .wasm)
target_link_options(smalti PRIVATE -mexec-model=reactor -Wl,--export-dynamic -Wl,--export=malloc
                    -Wl,--export=free -Wl,-z,stack-size=262144 -Wl,-s)

install(FILES $<TARGET_FILE:smalti> runtime/include/smalti.h runtime/include/smalti.mjs LICENSE
        DESTINATION .)
