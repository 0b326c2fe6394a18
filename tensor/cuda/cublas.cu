#include <dlfcn.h>

#include "tensor/cuda/runtime.h"
#include "tensor/error.h"

void* gradus::cuda::cublas_symbol(const char* name) {
  const auto found = [](void* result) {
    if (!result) throw std::runtime_error(message("cuda: ", dlerror()));
    return result;
  };
  static void* library = found(dlopen(GRADUS_CUBLAS, RTLD_NOW));
  return found(dlsym(library, name));
}
