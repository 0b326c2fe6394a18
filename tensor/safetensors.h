// Tensors in a file: safetensors, the format that PyTorch, JAX and Rust programs exchange weights in. Eight
// bytes of header length, a JSON header of names, dtypes, shapes and byte ranges, then the numbers. It is
// data and nothing else: unlike a pickle, reading it runs no code. This reader is stricter than most, for a
// file may come from anywhere: what it accepts has exactly one meaning, every byte of the data belongs to
// exactly one tensor, and a tensor is allocated only once the file is known to hold it. The format has no
// checksum, so a flipped bit in the numbers themselves is read as it stands. Format:
// https://github.com/huggingface/safetensors
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tensor/file.h"
#include "tensor/tensor.h"

namespace gradus {

struct SafetensorsFile {
  std::map<std::string, Tensor> tensors;        // on the CPU
  std::map<std::string, std::string> metadata;  // free text, the file's `__metadata__`
};

// Dtypes F32, F64 and I32. Anything else, and anything malformed, is a std::runtime_error that names the
// file, the tensor and the rule. Beyond the format's own rules: no duplicate keys, no fields but dtype, shape
// and data_offsets, and at most 100,000 tensors, as many metadata entries, six axes, 1,024 bytes of a name.
// The file is in memory as a whole while its tensors are copied out of it.
SafetensorsFile read_safetensors_file(const std::string& path);
inline std::map<std::string, Tensor> read_safetensors(const std::string& path) {  // without the metadata
  return read_safetensors_file(path).tensors;
}

// The same for a file that is in memory already; errors call it `source`.
SafetensorsFile parse_safetensors(std::string_view content, const std::string& source = "safetensors");

// The same content always gives the same bytes: tensors stand in order of falling element size, then of name,
// and the header is padded so that the data starts at a multiple of 8. The file is built in memory and given
// to atomic_write_file, so a crash leaves the old file or the new one. Nothing is written of what could not
// be read back: an empty Tensor is a std::invalid_argument, and the reader refuses the rest in its own words
// (a name that is not UTF-8 or is too long, the name `__metadata__`).
void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace gradus
