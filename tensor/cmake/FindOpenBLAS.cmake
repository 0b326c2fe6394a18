# Finds OpenBLAS and prefers its OpenMP build, which takes the number of threads from each caller. Debian ranks the pthread
# build above it, and merely linking with -lopenblas loads that one; so the library is linked by full path, with an RPATH.
foreach(_remembered OpenBLAS_LIBRARY OpenBLAS_INCLUDE_DIR)
  if(NOT EXISTS "${${_remembered}}")  # removed since the last time: look again
    unset(${_remembered} CACHE)
  endif()
endforeach()
find_library(OpenBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-openmp NO_DEFAULT_PATH
  PATHS ${CMAKE_SYSTEM_LIBRARY_PATH} /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib)
find_library(OpenBLAS_LIBRARY NAMES openblas)
get_filename_component(_directory "${OpenBLAS_LIBRARY}" DIRECTORY)
get_filename_component(_flavour "${_directory}" NAME)
find_path(OpenBLAS_INCLUDE_DIR cblas.h HINTS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/${_flavour} ${_directory}/../include
  PATH_SUFFIXES openblas)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenBLAS REQUIRED_VARS OpenBLAS_LIBRARY OpenBLAS_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "On Debian: apt-get install libopenblas-openmp-dev")
if(OpenBLAS_FOUND AND NOT TARGET OpenBLAS::OpenBLAS)
  add_library(OpenBLAS::OpenBLAS UNKNOWN IMPORTED)
  set_target_properties(OpenBLAS::OpenBLAS PROPERTIES IMPORTED_LOCATION ${OpenBLAS_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${OpenBLAS_INCLUDE_DIR} INTERFACE_LINK_OPTIONS "LINKER:-rpath,${_directory}")
endif()

# OpenBLAS itself knows which build it is and which kernels it picks on this CPU.
set(OpenBLAS_BUILD "not asked")
if(OpenBLAS_FOUND AND NOT CMAKE_CROSSCOMPILING)
  set(_describe ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/describe_openblas.cpp)
  file(WRITE ${_describe} [[
    #include <cblas.h>
    #include <cstdio>
    int main() {
      const char* builds[] = {"sequential", "pthread", "OpenMP"};
      std::printf("%s build, %s kernels", builds[openblas_get_parallel()], openblas_get_corename());
    }]])
  try_run(_ran _compiled ${CMAKE_CURRENT_BINARY_DIR} ${_describe} LINK_LIBRARIES OpenBLAS::OpenBLAS
    COMPILE_OUTPUT_VARIABLE _log RUN_OUTPUT_VARIABLE OpenBLAS_BUILD)
  if(NOT _compiled OR NOT "${_ran}" EQUAL 0)
    message(FATAL_ERROR "OpenBLAS at ${OpenBLAS_LIBRARY} does not link or run:\n${_log}")
  endif()
  unset(_compiled CACHE)  # so that nobody takes them for settings
  unset(_ran CACHE)
endif()
mark_as_advanced(OpenBLAS_LIBRARY OpenBLAS_INCLUDE_DIR)
