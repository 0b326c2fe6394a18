// Files in the safetensors format, put together by hand.
#pragma once

#include <cstring>
#include <string>

namespace gradus::tests {

inline std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + rest;
}

inline std::string file_of(const std::string& header, const std::string& data = "") {
  return with_length(header.size(), header + data);
}

inline std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

inline const std::string kEntry = entry("F32", "[2]", "[0,8]");
inline const std::string kData = std::string("\0\0\x80\x3f\0\0\0\x40", 8);  // 1, 2

inline std::string named(const std::string& json_name) { return "{" + json_name + ":" + kEntry + "}"; }

}  // namespace gradus::tests
