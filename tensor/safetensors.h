// Tensors in a file: safetensors, the format that PyTorch, JAX and Rust programs exchange weights in. Eight
// bytes of header length, a JSON header of names, dtypes, shapes and byte ranges, then the numbers. It is
// data and nothing else: unlike a pickle, reading it runs no code. This reader is stricter than most, for a
// file may come from anywhere: what it accepts has exactly one meaning, every byte of the data belongs to
// exactly one tensor, and nothing is allocated before the file is known to be long enough. The format has no
// checksum, so a flipped bit in the numbers themselves is read as it stands. Format:
// https://github.com/huggingface/safetensors
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace gradus {

struct SafetensorsFile {
  std::map<std::string, Tensor> tensors;        // on the CPU
  std::map<std::string, std::string> metadata;  // free text, the file's `__metadata__`
};

// Dtypes F32, F64 and I32. Anything else, and anything malformed, is a std::runtime_error that names the
// file, the tensor and the rule. Beyond the format's own rules: no duplicate keys, no fields but dtype, shape
// and data_offsets, and at most 100,000 tensors, as many metadata entries, six axes, 1,024 bytes of a name.
std::map<std::string, Tensor> read_safetensors(const std::string& path);
SafetensorsFile read_safetensors_file(const std::string& path);         // with the metadata
SafetensorsFile parse_safetensors(std::span<const std::byte> content);  // of a file that is in memory already

// The same content always gives the same bytes: tensors stand in order of falling element size, then of name,
// and the header is padded so that the data starts at a multiple of 8. Written by atomic_write_file, so a
// crash leaves the old file or the new one. What cannot be read back (an empty Tensor, a name that is not
// UTF-8 or is too long, the name `__metadata__`) is a std::invalid_argument, and nothing is written.
void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

// Replaces a file as a whole, or not at all. `content` writes to a temporary file in the same folder
// (`<path>.tmp.<process id>`), which is flushed to the disk and then renamed; at any failure, one that
// `content` throws included, it is removed and the old file is untouched. Only a process that is killed
// leaves the temporary behind. An existing file keeps its mode bits; a symbolic link stays, and the file it
// points to is replaced. What is there but no regular file (a device, a folder) is refused. Errors:
// std::runtime_error.
using WriteBytes = std::function<void(const void* bytes, size_t count)>;
void atomic_write_file(const std::string& path, const std::function<void(const WriteBytes& write)>& content);

}  // namespace gradus
