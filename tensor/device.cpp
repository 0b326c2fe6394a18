#include "tensor/device.h"

#include "tensor/cpu/cpu_backend.h"
#include "tensor/error.h"
#include "tensor/instructions.h"

#ifdef GRADUS_CUDA
#include "tensor/cuda/cuda_backend.h"
#endif

#include <atomic>

namespace gradus {
namespace {

std::atomic<MatmulPrecision> products_in = MatmulPrecision::f32;

#ifdef GRADUS_CUDA
std::string why_no_cuda() { return CudaBackend::missing(); }
Backend* make_cuda() { return new CudaBackend(); }
#else
std::string why_no_cuda() {
  return "gradus was built without it (CMake finds nvcc, or is told -DGRADUS_CUDA=ON)";
}
Backend* make_cuda() { return nullptr; }
#endif

// Both backends are never destroyed: tensors may outlive main.
Backend& cpu_backend() {
  const std::string missing = cpu::missing_instructions(cpu::kCompiledFor, cpu::instructions_of_this_cpu());
  check_world(missing.empty(), "device cpu: this CPU lacks ", missing,
              ", for which gradus was compiled; build it here, or with -DGRADUS_ARCH=x86-64-v3 or baseline");
  return *new CpuBackend();
}

Backend& cuda_backend() {
  const std::string missing = why_no_cuda();
  check_world(missing.empty(), "device cuda: ", missing);
  return *make_cuda();
}

}  // namespace

std::vector<Device> available_devices() {
  if (why_no_cuda().empty()) return {Device::cpu, Device::cuda};
  return {Device::cpu};
}

Backend& backend(Device device) {
  static Backend& cpu = cpu_backend();
  if (device == Device::cpu) return cpu;
  static Backend& cuda = cuda_backend();  // asked again next time if it throws
  return cuda;
}

Device named_device(std::string_view name) {
  check(name == "cpu" || name == "cuda", "device: expected cpu or cuda, got '", name, "'");
  const Device device = name == "cuda" ? Device::cuda : Device::cpu;
  backend(device);
  return device;
}

void set_matmul_precision(MatmulPrecision precision) { products_in = precision; }
MatmulPrecision matmul_precision() { return products_in; }

MatmulPrecision named_matmul_precision(std::string_view name) {
  check(name == "f32" || name == "tf32", "precision: expected f32 or tf32, got '", name, "'");
  return name == "tf32" ? MatmulPrecision::tf32 : MatmulPrecision::f32;
}

void synchronise(Device device) { backend(device).synchronise(); }
std::string describe(Device device) { return backend(device).describe(); }

const char* version() { return GRADUS_VERSION; }

}  // namespace gradus
