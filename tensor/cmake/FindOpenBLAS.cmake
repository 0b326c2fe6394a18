# Finds OpenBLAS and prefers its OpenMP build, which shares one thread pool with us. Debian ranks the pthread build above
# it, and merely linking with -lopenblas loads that one; so the library is linked by full path, with an RPATH.
find_library(OpenBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-openmp NO_DEFAULT_PATH
  PATHS ${CMAKE_SYSTEM_LIBRARY_PATH} /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE} /usr/lib)
find_library(OpenBLAS_LIBRARY NAMES openblas)
get_filename_component(_directory "${OpenBLAS_LIBRARY}" DIRECTORY)
get_filename_component(_flavour "${_directory}" NAME)
find_path(OpenBLAS_INCLUDE_DIR cblas.h HINTS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/${_flavour} ${_directory}/../include
  PATH_SUFFIXES openblas)
if(_flavour MATCHES openmp)
  set(OpenBLAS_BUILD "OpenMP build")
else()
  set(OpenBLAS_BUILD "system build")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenBLAS REQUIRED_VARS OpenBLAS_LIBRARY OpenBLAS_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "On Debian: apt-get install libopenblas-openmp-dev")
if(OpenBLAS_FOUND AND NOT TARGET OpenBLAS::OpenBLAS)
  add_library(OpenBLAS::OpenBLAS UNKNOWN IMPORTED)
  set_target_properties(OpenBLAS::OpenBLAS PROPERTIES IMPORTED_LOCATION ${OpenBLAS_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${OpenBLAS_INCLUDE_DIR} INTERFACE_LINK_OPTIONS "LINKER:-rpath,${_directory}")
endif()
mark_as_advanced(OpenBLAS_LIBRARY OpenBLAS_INCLUDE_DIR)
