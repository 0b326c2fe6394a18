#include "tensor/device.h"

#include "tensor/cpu/cpu_backend.h"
#include "tensor/error.h"

namespace gradus {

std::vector<Device> available_devices() { return {Device::cpu}; }

Backend& backend(Device device) {
  static auto* cpu = new CpuBackend();  // never destroyed: tensors may outlive main
  check_world(device == Device::cpu, "device ", device, ": gradus was built without it");
  return *cpu;
}

std::string describe(Device device) { return backend(device).describe(); }

}  // namespace gradus
