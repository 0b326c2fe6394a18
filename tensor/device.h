// Device: where a tensor's block lives and its kernels run. This header and its source are the only place
// that knows which backends were built; everything else asks backend(device) and gets the one interface.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

namespace gradus {

class Backend;

enum class Device { cpu, cuda };

constexpr const char* name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }
inline std::ostream& operator<<(std::ostream& out, Device device) { return out << name_of(device); }

std::vector<Device> available_devices();     // the CPU first
Backend& backend(Device device);             // throws std::runtime_error that says what is missing
Device named_device(std::string_view name);  // "cpu" or "cuda", which must be there
// Kernels of a GPU run on their own: this waits for them, and throws what went wrong in them. So does every
// copy to the host.
void synchronise(Device device);

// How a GPU multiplies f32. With tf32 its tensor cores round each factor to 10 bits after the point and add
// in f32. Large products are up to five times faster, and each has about three decimal digits. The setting
// has no effect on the CPU or on f64. It is one for the whole program, f32 at first, and holds for products
// that are asked for later.
enum class MatmulPrecision { f32, tf32 };
void set_matmul_precision(MatmulPrecision precision);
MatmulPrecision matmul_precision();
MatmulPrecision named_matmul_precision(std::string_view name);  // "f32" or "tf32"

// Threads that CPU kernels use, one number for the whole program; at first OMP_NUM_THREADS, else one for each
// core that the process may use. Results do not depend on it, to the bit. Where several threads of a program
// call kernels at once, one of them has all of these threads and the others have themselves.
int num_threads();
void set_num_threads(int threads);

const char* version();  // of gradus, as "0.2.0"

// One line for logs, e.g. "cpu: OpenBLAS 0.3.21 (OpenMP build, Cooperlake kernels), 2 threads". The line also
// tells when OpenBLAS runs slower kernels than the CPU could, and what to do then.
std::string describe(Device device);

}  // namespace gradus
