#include <array>

#include "tensor/cuda/library.h"
#include "tensor/cuda/runtime.h"
#include "tensor/error.h"

// The cuBLAS that gradus was built with, or, on a machine where it stands elsewhere, another of the same major
// version, whose functions are the same.
void* gradus::cuda::cublas_symbol(const char* name) {
  static const std::array<std::string, 2> names{GRADUS_CUBLAS, message("libcublas.so.", CUBLAS_VER_MAJOR)};
  static void* library = load_library(
      names, message("cuda: cuBLAS cannot be loaded: install CUDA's libcublas of version ", CUBLAS_VER_MAJOR,
                     ", or name its folder in LD_LIBRARY_PATH"));
  if (void* function = dlsym(library, name)) return function;
  throw std::runtime_error(message("cuda: ", dlerror()));
}
