# GRADUS_ARCH: which instructions the kernels of tensor/cpu may use. They alone: all other code runs on any CPU of its
# kind, and asks, before the first kernel, whether this CPU has what they need (tensor/instructions.h).
if(DEFINED GRADUS_NATIVE)
  message(WARNING "GRADUS_NATIVE is gone and does nothing. Say -DGRADUS_ARCH=native, x86-64-v3 (AVX2 and FMA) or baseline.")
  unset(GRADUS_NATIVE CACHE)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(_arch x86-64-v3)
  if(PROJECT_IS_TOP_LEVEL)
    set(_arch native)
  endif()
else()
  set(_arch baseline)  # what the compiler takes; NEON is part of it on 64-bit ARM
endif()
set(GRADUS_ARCH ${_arch} CACHE STRING
  "Instructions of the CPU kernels: native (this machine's), x86-64-v3 (AVX2 and FMA), baseline, or any -march; x86-64 only")

# gradus_use_arch(SOURCE...): compiles these sources so.
function(gradus_use_arch)
  if(GRADUS_ARCH STREQUAL baseline)
    return()
  endif()
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    message(FATAL_ERROR "GRADUS_ARCH is ${GRADUS_ARCH}, but this is no x86-64: say -DGRADUS_ARCH=baseline")
  endif()
  include(CheckCXXCompilerFlag)
  string(MAKE_C_IDENTIFIER "GRADUS_HAS_ARCH_${GRADUS_ARCH}" _checked)
  check_cxx_compiler_flag(-march=${GRADUS_ARCH} ${_checked})
  if(NOT ${_checked})
    message(FATAL_ERROR "GRADUS_ARCH: the compiler does not know -march=${GRADUS_ARCH}. Say native, x86-64-v3 or baseline")
  endif()
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -march=${GRADUS_ARCH})
endfunction()
