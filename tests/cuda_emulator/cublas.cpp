// cuBLAS as a library to be loaded: the functions of cublas_v2.h by their names.
#include <string>

#include "tensor/cuda/runtime.h"

void* gradus::cuda::cublas_symbol(const char* asked) {
  const std::string name = asked;
  const auto pointer = [](auto* function) { return reinterpret_cast<void*>(function); };
  return name == "cublasCreate_v2"             ? pointer(cublasCreate)
         : name == "cublasSetStream_v2"        ? pointer(cublasSetStream)
         : name == "cublasSetMathMode"         ? pointer(cublasSetMathMode)
         : name == "cublasSetWorkspace_v2"     ? pointer(cublasSetWorkspace)
         : name == "cublasSgemm_v2"            ? pointer(cublasSgemm)
         : name == "cublasDgemm_v2"            ? pointer(cublasDgemm)
         : name == "cublasSgemmStridedBatched" ? pointer(cublasSgemmStridedBatched)
         : name == "cublasDgemmStridedBatched" ? pointer(cublasDgemmStridedBatched)
                                               : nullptr;
}
