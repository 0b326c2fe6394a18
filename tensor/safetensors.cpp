#include "tensor/safetensors.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace gradus {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian, and so are we");

constexpr uint64_t kMaxHeader = 100'000'000;  // bytes; the format's own limit
constexpr size_t kMaxKeys = 100'000;          // of one JSON object: a small file must not become a large map
constexpr size_t kMaxName = 1024;             // bytes
constexpr const char* kSpace = " \t\n\r";     // what JSON allows between tokens
constexpr const char* kMetadata = "__metadata__";

// Runs `action`; whatever it throws becomes a std::runtime_error that begins with where it happened.
template <class Action>
auto within(const std::string& where, Action action) {
  try {
    return action();
  } catch (const std::exception& error) {
    throw std::runtime_error(where + ": " + error.what());
  }
}

// The length of the UTF-8 sequence that `text` begins with, 0 if it is none. The second byte's range is what
// excludes overlong forms, surrogates and code points beyond U+10FFFF.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  for (size_t i = 2; i < length; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  return length;
}

void append_utf8(std::string& out, char32_t c) {
  const int tail = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;  // bytes of six bits after the first
  out += static_cast<char>(tail == 0 ? c : 0xF0u << (3 - tail) | c >> 6 * tail);
  for (int i = tail; i-- > 0;) out += static_cast<char>(0x80 | (c >> 6 * i & 0x3F));
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += {'\\', 'u', '0', '0', "01"[c >> 4], "0123456789abcdef"[c & 15]};
    else
      out += c;
  }
  return out + '"';
}

const char* file_name_of(DType dtype) {
  return dtype == DType::f32 ? "F32" : dtype == DType::f64 ? "F64" : "I32";
}

DType dtype_from(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i32})
    if (name == file_name_of(dtype)) return dtype;
  throw std::runtime_error("dtype " + in_quotes(name) + " is none of F32, F64, I32");
}

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  int64_t begin, end;  // bytes, from the start of the data
};

// The JSON that a header may consist of, and no more: objects, strings, arrays of unsigned integers. It is
// read by recursive descent over the header's three fixed levels, so nesting cannot exhaust the stack.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {
    need(text_.starts_with('{'), "a header begins with '{'");
    object([&](const std::string& key) {
      if (key == kMetadata)
        within(key, [&] { object([&](const std::string& name) { metadata[name] = string(kMaxHeader); }); });
      else
        within("tensor " + in_quotes(key), [&] { entries.push_back(entry(key)); });
    });
    skip(" ");
    need(at_ == text_.size(), "only spaces may follow the JSON object");
  }

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

 private:
  template <class... Parts>
  void need(bool ok, const Parts&... rule) const {
    check_world(ok, "header byte ", at_, ": ", rule...);
  }

  void skip(const char* characters) {
    at_ = std::min(text_.find_first_not_of(characters, at_), text_.size());
  }

  bool accept(char c) {
    skip(kSpace);
    const bool found = at_ < text_.size() && text_[at_] == c;
    at_ += found;
    return found;
  }

  void expect(char c) { need(accept(c), "expected '", c, "'"); }

  template <class Member>
  void object(Member member) {  // member(key) reads the value
    expect('{');
    if (accept('}')) return;
    std::set<std::string> keys;
    do {
      const std::string key = string(kMaxName);
      need(keys.insert(key).second, "duplicate key ", in_quotes(key));
      need(keys.size() <= kMaxKeys, "more than ", kMaxKeys, " keys");
      expect(':');
      member(key);
    } while (accept(','));
    expect('}');
  }

  Entry entry(const std::string& name) {
    std::optional<DType> dtype;
    std::optional<Shape> shape;
    std::vector<int64_t> range;
    object([&](const std::string& field) {
      if (field == "dtype") {
        dtype = dtype_from(string(kMaxName));
      } else if (field == "shape") {
        shape = Shape(std::span<const int64_t>(integers(Shape::kMaxRank)));  // checks the product, too
      } else if (field == "data_offsets") {
        range = integers(2);
        need(range.size() == 2 && range[0] <= range[1], "data_offsets are [begin, end], begin <= end");
      } else {
        need(false, "unknown field ", in_quotes(field));
      }
    });
    check_world(dtype && shape && !range.empty(), "dtype, shape and data_offsets are needed");
    const int64_t bytes = shape->numel() * static_cast<int64_t>(size_of(*dtype));
    check_world(range[1] - range[0] == bytes, "data_offsets hold ", range[1] - range[0], " bytes, but ",
                file_name_of(*dtype), " ", *shape, " takes ", bytes);
    return {name, *dtype, *shape, range[0], range[1]};
  }

  std::vector<int64_t> integers(size_t most) {
    std::vector<int64_t> values;
    expect('[');
    if (accept(']')) return values;
    do {
      need(values.size() < most, "more than ", most, " numbers");
      values.push_back(integer());
    } while (accept(','));
    expect(']');
    return values;
  }

  int64_t integer() {
    skip(kSpace);
    const char* first = text_.data() + at_;
    uint64_t value = 0;  // unsigned, so that from_chars takes no sign
    const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), value);
    need(error == std::errc{} && value <= INT64_MAX, "expected an unsigned integer below 2^63");
    need(*first != '0' || end == first + 1, "leading zero");
    at_ += static_cast<size_t>(end - first);
    return static_cast<int64_t>(value);
  }

  std::string string(size_t longest) {
    std::string out;
    expect('"');
    while (true) {
      need(at_ < text_.size(), "unfinished string");
      const std::string_view character = text_.substr(at_, utf8_length(text_.substr(at_)));
      need(!character.empty(), "not UTF-8");
      need(static_cast<unsigned char>(character[0]) >= 0x20, "control character in a string");
      at_ += character.size();
      if (character == "\"") return out;
      if (character == "\\")
        append_utf8(out, escape());
      else
        out += character;
      need(out.size() <= longest, "string of more than ", longest, " bytes");
    }
  }

  char32_t escape() {
    constexpr std::string_view letters = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
    const size_t letter = at_ < text_.size() ? letters.find(text_[at_]) : letters.npos;
    if (letter != letters.npos) return ++at_, static_cast<char32_t>(values[letter]);
    const char32_t unit = utf16_unit();
    if (unit < 0xD800 || unit > 0xDFFF) return unit;
    need(unit < 0xDC00 && text_.substr(at_, 1) == "\\", "lone surrogate");
    ++at_;
    const char32_t low = utf16_unit();
    need(low >= 0xDC00 && low <= 0xDFFF, "lone surrogate");
    return 0x10000 + ((unit & 0x3FF) << 10) + (low & 0x3FF);
  }

  char32_t utf16_unit() {  // the uXXXX of an escape
    const std::string_view text = text_.substr(at_, 5);
    need(text.size() == 5 && text[0] == 'u', "unknown escape");
    uint32_t unit = 0;
    const char* end = text.data() + text.size();
    need(std::from_chars(text.data() + 1, end, unit, 16).ptr == end, "\\u needs four hexadecimal digits");
    at_ += text.size();
    return unit;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// In order of their place, the tensors must cover the data exactly: no gap, no overlap, nothing left over.
void check_tiling(std::vector<Entry>& entries, int64_t data_size) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int64_t covered = 0;
  for (const Entry& entry : entries) {
    check_world(entry.begin == covered, "tensor ", in_quotes(entry.name), ": data starts at ", entry.begin,
                entry.begin < covered ? ", before the end of another tensor, " : ", leaving a gap after ",
                covered);
    covered = entry.end;
  }
  check_world(covered == data_size, "the tensors end at byte ", covered, " of the data, the file at ",
              data_size);
}

using ReadBytes = std::function<void(void* to, size_t count)>;

SafetensorsFile read_all(uint64_t size, const ReadBytes& read) {  // read: from the start, each byte once
  uint64_t length = 0;
  check_world(size >= sizeof length, "the file has ", size, " bytes, the header's length alone takes 8");
  read(&length, sizeof length);
  check_world(length <= kMaxHeader, "header of ", length, " bytes, at most ", kMaxHeader, " are allowed");
  check_world(length <= size - sizeof length, "header of ", length, " bytes in a file of ", size);
  std::string text(length, '\0');
  read(text.data(), length);

  HeaderParser header(text);
  check_tiling(header.entries, static_cast<int64_t>(size - sizeof length - length));
  SafetensorsFile file{{}, std::move(header.metadata)};
  for (const Entry& entry : header.entries) {
    const Tensor tensor(entry.shape, entry.dtype);
    read(tensor.bytes(), tensor.byte_size());
    file.tensors.emplace(entry.name, tensor);
  }
  return file;
}

void check_call(bool ok, const char* call) {
  if (!ok) throw std::system_error(errno, std::generic_category(), call);
}

using OpenFile = std::unique_ptr<FILE, int (*)(FILE*)>;

OpenFile open_file(const std::string& path, const char* mode) {
  OpenFile file(std::fopen(path.c_str(), mode), std::fclose);
  check_call(file != nullptr, "open");
  return file;
}

// A new file beside `target`, under a name that nobody has. Exclusive (x): it is never the file of another
// thread or host, nor what a killed process with our id left behind.
OpenFile create_beside(const std::string& target, std::string& name) {
  OpenFile file(nullptr, std::fclose);
  for (int n = 0; !file; ++n) {
    name = target + ".tmp." + std::to_string(::getpid()) + (n > 0 ? "." + std::to_string(n) : "");
    file.reset(std::fopen(name.c_str(), "wbxe"));
    check_call(file || errno == EEXIST, "open");
  }
  return file;
}

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

std::string header_text(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata) {
  std::string text, strings;  // two JSON objects, not closed yet
  const auto add = [](std::string& object, const std::string& key, const std::string& value) {
    object += (object.empty() ? "{" : ",") + in_quotes(key) + ":" + value;
  };
  for (const auto& [name, value] : metadata) add(strings, name, in_quotes(value));
  if (!strings.empty()) add(text, kMetadata, strings + "}");
  size_t begin = 0;
  for (const auto& [name, tensor] : tensors) {
    check(bool(tensor), "write_safetensors: ", in_quotes(name), " is an empty Tensor");
    std::string sizes;
    for (const int64_t size : tensor.shape()) sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    const size_t end = begin + tensor.byte_size();
    add(text, name,
        "{\"dtype\":" + in_quotes(file_name_of(tensor.dtype())) + ",\"shape\":[" + sizes +
            "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}");
    begin = end;
  }
  text += text.empty() ? "{}" : "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  check(text.size() <= kMaxHeader, "write_safetensors: header of ", text.size(), " bytes, at most ",
        kMaxHeader);
  try {
    HeaderParser{text};  // the reader judges whether it will take this back: names, UTF-8, numbers of entries
  } catch (const std::exception& error) {
    throw std::invalid_argument(message("write_safetensors: ", error.what()));
  }
  return text;
}

}  // namespace

SafetensorsFile parse_safetensors(std::span<const std::byte> content) {
  return within("safetensors", [&] {
    auto next = content.begin();
    return read_all(content.size(), [&](void* to, size_t count) {
      std::copy_n(next, count, static_cast<std::byte*>(to));
      next += static_cast<std::ptrdiff_t>(count);
    });
  });
}

SafetensorsFile read_safetensors_file(const std::string& path) {
  return within("safetensors: " + path, [&] {
    // Asked before opening, which for a pipe would wait until somebody writes to it.
    check_world(!fs::exists(path) || fs::is_regular_file(path), "not a regular file");
    const OpenFile file = open_file(path, "rbe");
    struct stat status {};
    check_call(::fstat(fileno(file.get()), &status) == 0, "fstat");
    return read_all(static_cast<uint64_t>(status.st_size), [&](void* to, size_t count) {
      const bool complete = std::fread(to, 1, count, file.get()) == count;
      check_call(complete || std::feof(file.get()), "read");
      check_world(complete, "the file became shorter while it was read");
    });
  });
}

std::map<std::string, Tensor> read_safetensors(const std::string& path) {
  return read_safetensors_file(path).tensors;
}

void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  NamedTensors sorted(tensors.begin(), tensors.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return size_of(a.second.dtype()) > size_of(b.second.dtype());
  });
  const std::string header = header_text(sorted, metadata);
  atomic_write_file(path, [&](const WriteBytes& write) {
    const uint64_t length = header.size();
    write(&length, sizeof length);
    write(header.data(), header.size());
    for (const auto& [name, tensor] : sorted) {
      const Tensor host = tensor.to(Device::cpu);
      write(host.bytes(), host.byte_size());
    }
  });
}

void atomic_write_file(const std::string& path, const std::function<void(const WriteBytes& write)>& content) {
  within("cannot write " + path, [&] {
    const fs::path target = fs::is_symlink(path) ? fs::canonical(path) : fs::path(path);
    struct stat old {};
    const bool replaces = ::stat(target.c_str(), &old) == 0;
    check_world(!replaces || S_ISREG(old.st_mode), "not a regular file");
    // Opened first: a folder that cannot be flushed must show before anything has changed.
    const OpenFile folder = open_file(target.has_parent_path() ? target.parent_path() : ".", "re");
    std::string name;
    const OpenFile file = create_beside(target, name);
    try {
      // Before anything is written: what was private must not be readable for a moment.
      check_call(!replaces || ::fchmod(fileno(file.get()), old.st_mode & 07777) == 0, "chmod");
      content([&](const void* bytes, size_t count) {
        check_call(std::fwrite(bytes, 1, count, file.get()) == count, "write");
      });
      check_call(std::fflush(file.get()) == 0, "write");
      check_call(::fsync(fileno(file.get())) == 0, "fsync");
      check_call(::rename(name.c_str(), target.c_str()) == 0, "rename");
    } catch (...) {
      ::unlink(name.c_str());
      throw;
    }
    // Some file systems cannot flush a folder and say EINVAL; there the rename is as safe as it can be.
    check_call(::fsync(fileno(folder.get())) == 0 || errno == EINVAL, "fsync of the folder");
  });
}

}  // namespace gradus
