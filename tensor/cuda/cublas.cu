#include <dlfcn.h>

#include "tensor/cuda/runtime.h"
#include "tensor/error.h"

void* gradus::cuda::cublas_symbol(const char* name) {
  static void* library = dlopen(GRADUS_CUBLAS, RTLD_NOW);
  void* symbol = library ? dlsym(library, name) : nullptr;
  if (!symbol) check_world(false, "cuda: ", dlerror());
  return symbol;
}
