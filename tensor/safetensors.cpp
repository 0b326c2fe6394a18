#include "tensor/safetensors.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <locale>
#include <set>

namespace gradus {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian, as we are");

constexpr size_t kMaxHeader = 100'000'000;  // bytes; the format's own limit
constexpr size_t kMaxKeys = 100'000;        // of one JSON object: a small file must not become a large map
constexpr size_t kMaxName = 1024;           // bytes
constexpr const char* kDTypes[] = {"F32", "F64", "I32"};  // in the order of DType

std::string utf8(char32_t c) {
  const int tail = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;  // bytes of six bits after the first
  std::string out(1, tail == 0 ? c : 0xF0u << (3 - tail) | c >> 6 * tail);
  for (int i = tail; i-- > 0;) out += 0x80 | (c >> 6 * i & 0x3F);
  return out;
}

std::string in_quotes(std::string_view text) {  // as a JSON string
  std::string out = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c < 0x20) out += {'\\', 'u', '0', '0', "01"[c >> 4], "0123456789abcdef"[c & 15]};
    else out += c;
  }
  return out + '"';
}

struct Entry {
  std::vector<int64_t> range;  // begin and end in bytes, from the start of the data
  std::string name;
  Shape shape;
  DType dtype;
};

// The JSON that a header may consist of, and no more: objects, strings, arrays of unsigned integers. It is
// read by recursive descent over the header's three fixed levels, so nesting cannot exhaust the stack.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& source) : text_(text) {
    std::string where;
    try {
      check(text_.size() <= kMaxHeader, text_.size(), " bytes, at most ", kMaxHeader, " are allowed");
      check(text_.starts_with('{'), "a header begins with '{'");
      object([&](const std::string& key) {
        where = ", after " + in_quotes(key);
        if (key == "__metadata__") object([&](const auto& k) { file.metadata[k] = string(kMaxHeader); });
        else entries.push_back(entry(key));
      });
      check(text_.find_first_not_of(' ', at_) == text_.npos, "only spaces may follow the JSON object");
    } catch (const std::exception& error) {
      throw std::runtime_error(message(source, ": header byte ", at_, where, ": ", error.what()));
    }
  }

  std::vector<Entry> entries;
  SafetensorsFile file;  // only the metadata

 private:
  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\n\r", at_), text_.size()); }

  bool accept(char c) {
    skip_space();
    return text_.substr(at_).starts_with(c) && ++at_;
  }

  void expect(char c) { check(accept(c), "expected '", c, "'"); }

  template <class Member> size_t object(Member member) {  // member(key) reads a value; returns their number
    std::set<std::string> keys;
    for (expect('{'); !accept('}');) {
      if (!keys.empty()) expect(',');
      const std::string key = string(kMaxName);
      check(keys.insert(key).second, "duplicate key ", in_quotes(key));
      check(keys.size() <= kMaxKeys, "more than ", kMaxKeys, " keys");
      expect(':');
      member(key);
    }
    return keys.size();
  }

  Entry entry(const std::string& name) {
    Entry e{{}, name, {}, {}};
    const size_t fields = object([&](const std::string& field) {
      if (field == "dtype") e.dtype = dtype();
      else if (field == "shape") e.shape = Shape(integers());  // checks rank and product
      else if (field == "data_offsets") e.range = integers();
      else check(false, "unknown field ", in_quotes(field));
    });
    check(fields == 3 && e.range.size() == 2, "dtype, shape and data_offsets [begin, end] are needed");
    const int64_t bytes = e.shape.numel() * size_of(e.dtype), held = e.range[1] - e.range[0];
    check(held == bytes, "data_offsets hold ", held, " bytes, shape and dtype take ", bytes);
    return e;
  }

  DType dtype() {
    const std::string name = string(kMaxName);
    const auto found = std::find(std::begin(kDTypes), std::end(kDTypes), name);
    check(found != std::end(kDTypes), "dtype ", in_quotes(name), " is none of F32, F64, I32");
    return static_cast<DType>(found - kDTypes);
  }

  std::vector<int64_t> integers() {
    std::vector<int64_t> values;
    for (expect('['); !accept(']');) {
      if (!values.empty()) expect(',');
      skip_space();
      const std::string_view rest = text_.substr(at_);
      const auto [end, error] =
          std::from_chars(rest.data(), rest.data() + rest.size(), values.emplace_back());
      check(error == std::errc{} && rest[0] != '-', "expected an unsigned integer below 2^63");
      check(rest[0] != '0' || end == rest.data() + 1, "leading zero");
      at_ += end - rest.data();
    }
    return values;
  }

  std::string string(size_t longest) {
    std::string out;
    expect('"');
    for (char32_t c = next(); c != '"'; c = next()) {
      check(c >= 0x20, "control character in a string");
      out += utf8(c == '\\' ? escape() : c);
      check(out.size() <= longest, "string of more than ", longest, " bytes");
    }
    return out;
  }

  char32_t next() {  // the next character of a string
    check(at_ < text_.size(), "unfinished string");
    const int ones = std::countl_one<unsigned char>(text_[at_]);  // 0, or the bytes that it should have
    const std::string_view bytes = text_.substr(at_, std::max(ones, 1));
    char32_t c = bytes[0] & 0x7F >> ones;
    for (const char byte : bytes.substr(1)) c = c << 6 | (byte & 0x3F);
    // Strictly UTF-8 is what encodes to the same bytes again, halves of UTF-16 pairs left aside.
    check(c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF) && utf8(c) == bytes, "not UTF-8");
    at_ += bytes.size();
    return c;
  }

  // What stands after a backslash, whole; or, where only that may follow, the second half of a UTF-16 pair.
  char32_t escape(bool second = false) {
    constexpr std::u32string_view letters = U"\"\\/bfnrt", values = U"\"\\/\b\f\n\r\t";
    const char32_t letter = next();
    if (const size_t i = letters.find(letter); i != letters.npos && !second) return values[i];
    check(letter == 'u', "unknown escape");
    const std::string digits(text_.substr(at_, 4));
    const bool valid = digits.find_first_not_of("0123456789abcdefABCDEF") == digits.npos;
    check(valid && digits.size() == 4, "\\u needs four hexadecimal digits");
    at_ += digits.size();
    const char32_t unit = std::stoul(digits, nullptr, 16);
    const bool high = unit >= 0xD800 && unit < 0xDC00, low = unit >= 0xDC00 && unit < 0xE000;
    check(low == second && (!high || next() == '\\'), "lone surrogate");
    return high ? 0x10000 + ((unit & 0x3FF) << 10) + (escape(true) & 0x3FF) : unit;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

SafetensorsFile parse_safetensors(std::string_view content, const std::string& source) {
  uint64_t length = 0;
  content.copy(reinterpret_cast<char*>(&length), 8);
  check_world(content.size() >= 8 && length <= content.size() - 8, source,
              ": shorter than its header: cut off, or no safetensors file");
  HeaderParser header(content.substr(8, length), source);
  const std::string_view data = content.substr(8 + length);

  // In order of their place, the tensors must cover the data exactly: no gap, no overlap, nothing left over.
  int64_t covered = 0, size = data.size();
  std::ranges::sort(header.entries, {}, &Entry::range);
  for (const auto& [range, name, shape, dtype] : header.entries) {
    check_world(range[0] == covered && range[1] <= size, source, ": tensor ", in_quotes(name), " is at [",
                range[0], ", ", range[1], "] of the data, but [", covered, ", ", size, "] is left");
    const Tensor& tensor = header.file.tensors[name] = Tensor(shape, dtype);
    covered += data.copy(reinterpret_cast<char*>(tensor.bytes()), tensor.byte_size(), covered);
  }
  check_world(covered == size, source, ": ", size - covered, " bytes follow the last tensor");
  return std::move(header.file);
}

SafetensorsFile read_safetensors_file(const std::string& path) {
  // Asked first: opening a pipe would wait until somebody writes to it.
  check_world(fs::is_regular_file(path), "safetensors: ", path,
              fs::exists(path) ? ": not a regular file" : ": no such file");
  std::string content(fs::file_size(path), '\0');
  const OpenFile file = open_file(path, "rbe");
  content.resize(std::fread(content.data(), 1, content.size(), file.get()));
  return parse_safetensors(content, "safetensors: " + path);  // which refuses what could be read only in part
}

void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::ostringstream out;
  out.exceptions(std::ios::badbit);   // a stream swallows std::bad_alloc, and half a header may look whole
  out.imbue(std::locale::classic());  // plain digits, whatever the program's locale
  for (const auto& [name, text] : metadata)
    out << (name == metadata.begin()->first ? "" : ",") << in_quotes(name) << ':' << in_quotes(text);
  out << '}';
  std::string data;
  for (const size_t width : {8, 4})  // the wide ones first, so that all are aligned
    for (const auto& [name, tensor] : tensors) {
      check(bool(tensor), "write_safetensors: ", in_quotes(name), " is an empty Tensor");
      if (size_of(tensor.dtype()) != width) continue;
      out << ',' << in_quotes(name) << R"(:{"dtype":")" << kDTypes[static_cast<int>(tensor.dtype())]
          << R"(","shape":)" << tensor.shape() << R"(,"data_offsets":[)" << data.size();
      data.append(reinterpret_cast<const char*>(tensor.to(Device::cpu).bytes()), tensor.byte_size());
      out << ',' << data.size() << "]}";
    }
  std::string header = R"({"__metadata__":{)" + out.str() + '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  HeaderParser(header, "write_safetensors");  // the reader judges whether it will take this back
  const uint64_t length = header.size();
  atomic_write_file(path, header.insert(0, reinterpret_cast<const char*>(&length), sizeof length) + data);
}

}  // namespace gradus
