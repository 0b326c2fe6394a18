# cmake --install: headers under include/gradus, libraries, and a package that find_package(gradus) finds.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/gradus)
foreach(folder tensor autograd nn losses optim)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradus FILES_MATCHING PATTERN "*.h" PATTERN "cpu" EXCLUDE PATTERN "cuda" EXCLUDE
    PATTERN "cmake" EXCLUDE)
endforeach()
install(TARGETS gradus ${GRADUS_LIBRARIES} EXPORT gradusTargets)
install(EXPORT gradusTargets NAMESPACE gradus:: DESTINATION ${_package})
if(GRADUS_CUDA_FOUND)
  set(_find_cuda "find_dependency(CUDAToolkit)\n")
endif()
file(WRITE ${PROJECT_BINARY_DIR}/gradusConfig.cmake
  "include(CMakeFindDependencyMacro)
list(APPEND CMAKE_MODULE_PATH \${CMAKE_CURRENT_LIST_DIR})
find_dependency(Threads)
find_dependency(OpenBLAS MODULE)
${_find_cuda}include(\${CMAKE_CURRENT_LIST_DIR}/gradusTargets.cmake)
")
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gradusConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gradusConfig.cmake ${PROJECT_BINARY_DIR}/gradusConfigVersion.cmake
  tensor/cmake/FindOpenBLAS.cmake DESTINATION ${_package})
