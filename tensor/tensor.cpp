#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <numeric>

#include "tensor/backend.h"

namespace gradus {

namespace {

bool fits_i32(double value) { return value > -2147483649. && value < 2147483648.; }

template <class T> void check_fit_i32(std::span<const T> values) {
  for (const T value : values)
    check(fits_i32(static_cast<double>(value)), "to: ", value, " has no place in an i32");
}

}  // namespace

Tensor::Tensor(Shape shape, DType dtype, Device device) : shape_(shape), dtype_(dtype) {
  storage_ = std::make_shared<Storage>(static_cast<size_t>(shape.numel()) * size_of(dtype), device);
}

Tensor Tensor::full(Shape shape, double value, DType dtype, Device device) {
  check(dtype != DType::i32 || (fits_i32(value) && value == std::trunc(value)), "full: ", value,
        " is no i32");
  Tensor y(shape, dtype, device);
  backend(device).fill(value, Out(y));
  return y;
}

Tensor Tensor::arange(int64_t n, Device device) {
  check(n >= 0 && n <= INT32_MAX, "arange: expected 0 to 2^31 - 1 numbers, got ", n);
  std::vector<int32_t> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 0);
  return from(values, {n}, device);
}

Tensor Tensor::from_bytes(const void* values, Shape shape, DType dtype, Device device) {
  Tensor host(shape, dtype);
  if (host.size() > 0) std::memcpy(host.bytes(), values, host.byte_size());
  return host.to(device);
}

Tensor Tensor::reshape(Shape shape) const {
  check(shape.numel() == size(), "reshape: ", shape_, " has not the elements of ", shape);
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::reshape(std::initializer_list<int64_t> sizes) const {
  return reshape(shape_with_rest(sizes, shape_));
}

Shape shape_with_rest(std::initializer_list<int64_t> sizes, const Shape& from) {
  const auto rest = std::find(sizes.begin(), sizes.end(), -1);
  if (rest == sizes.end()) return Shape(sizes);
  check(std::count(sizes.begin(), sizes.end(), -1) == 1, "reshape: only one size may be -1");
  std::vector<int64_t> filled(sizes);
  filled[rest - sizes.begin()] = 1;
  const int64_t others = Shape(filled).numel();
  check(others > 0 && from.numel() % others == 0, "reshape: ", from, " does not divide into -1 and ",
        Shape(filled));
  filled[rest - sizes.begin()] = from.numel() / others;
  return Shape(filled);
}

Tensor Tensor::rows(int64_t from, int64_t to) const {
  check(shape_.rank() > 0 && 0 <= from && from <= to && to <= shape_[0], "rows: no rows ", from, " to ", to,
        " in ", shape_);
  Tensor view = *this;
  view.shape_ = shape_.with(0, to - from);
  const int64_t row = shape_[0] > 0 ? size() / shape_[0] : 0;
  view.offset_ += static_cast<size_t>(from * row) * size_of(dtype_);
  return view;
}

Tensor Tensor::to(Device device) const {
  if (!storage_ || device == this->device()) return *this;
  Tensor y(shape_, dtype_, device);
  y.assign(*this);
  return y;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  check(storage_ != nullptr, "to: this tensor is empty");
  if (dtype == DType::i32) {
    if (device() != Device::cpu) return to(Device::cpu).to(dtype).to(device());
    visit_real(dtype_, [&]<class T>(T) {
      check_fit_i32(std::span<const T>(data<T>(), static_cast<size_t>(size())));
    });
  }
  Tensor y(shape_, dtype, device());
  backend(device()).cast(*this, Out(y));
  return y;
}

Tensor Tensor::copy() const {
  Tensor y = like(*this);
  y.assign(*this);
  return y;
}

void Tensor::assign(const Tensor& other) const {
  check(shape_ == other.shape_ && dtype_ == other.dtype_, "assign: expected ", dtype_, " ", shape_, ", got ",
        other.dtype_, " ", other.shape_);
  const bool shifted = overlaps(other) && offset_ != other.offset_;
  // The CPU cannot reach device memory; a device backend copies in both directions.
  backend(device() == Device::cpu ? other.device() : device())
      .copy(shifted ? other.copy() : other, Out(*this));
  mark_changed();
}

bool Tensor::overlaps(const Tensor& other) const {
  return storage_ && storage_ == other.storage_ && offset_ < other.offset_ + other.byte_size() &&
         other.offset_ < offset_ + byte_size();
}

double Tensor::item() const {
  check(storage_ != nullptr, "item: got an empty tensor");
  check(size() == 1, "item: expected one element, got shape ", shape_);
  const Tensor host = to(Device::cpu);
  return visit(dtype_, [&](auto t) { return static_cast<double>(*host.data<decltype(t)>()); });
}

double Tensor::at(std::initializer_list<int64_t> place) const {
  check(static_cast<int>(place.size()) == shape_.rank(), "at: expected ", shape_.rank(), " numbers for ",
        shape_, ", got ", place.size());
  Tensor rest = *this;
  for (int64_t i : place) {
    const int64_t n = rest.shape_[0];
    check(i >= -n && i < n, "at: no place ", i, " in an axis of ", n, ", of ", shape_);
    const int64_t from = i < 0 ? i + n : i;
    rest = rest.rows(from, from + 1);
    rest.shape_ = Shape(std::span(rest.shape_.begin() + 1, rest.shape_.end()));
  }
  return rest.item();
}

namespace {

constexpr int64_t kPrintAll = 1000;  // tensors larger than this are abbreviated
constexpr int64_t kEdge = 3;         // to that many entries at both ends of an axis

template <class T> void print(std::ostream& out, const T* x, const Shape& shape, int axis, bool all) {
  if (axis == shape.rank()) {
    if (*x != *x) out << "nan";  // whatever its sign
    else out << *x;
    return;
  }
  const int64_t n = shape[axis], stride = shape.after(axis);
  const std::string between = axis + 1 == shape.rank() ? ", " : ",\n" + std::string(axis + 1, ' ');
  out << '[';
  for (int64_t i = 0; i < n; ++i) {
    if (i > 0) out << between;
    if (i == kEdge && n > (all ? kPrintAll : 2 * kEdge)) {
      out << "..." << between;
      i = n - kEdge;
    }
    print(out, x + i * stride, shape, axis + 1, all);
  }
  out << ']';
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  if (!tensor) return out << "(no tensor)";
  const Tensor host = tensor.to(Device::cpu);
  visit(host.dtype(),
        [&]<class T>(T) { print(out, host.data<T>(), host.shape(), 0, host.size() <= kPrintAll); });
  return out << "  " << tensor.dtype() << ' ' << tensor.shape();
}

void assign_all(const char* op, const std::map<std::string, Tensor>& own,
                const std::map<std::string, Tensor>& file) {
  for (const auto& [name, tensor] : own) {
    check(file.contains(name), op, ": the file has no ", name, " ", tensor.shape());
    const Tensor& found = file.at(name);
    check(static_cast<bool>(found), op, ": ", name, " is an empty tensor");
    check(found.shape() == tensor.shape() && found.dtype() == tensor.dtype(), op, ": ", name, " is ",
          tensor.dtype(), " ", tensor.shape(), " here and ", found.dtype(), " ", found.shape(),
          " in the file");
  }
  for (const auto& [name, tensor] : file)
    check(own.contains(name), op, ": unknown name ", name, " ", tensor.shape());
  // What comes may be one of our own, under another name: all is taken before anything is written.
  const auto ours = [&](const Tensor& found) {
    return std::ranges::any_of(own, [&](const auto& entry) { return entry.second.overlaps(found); });
  };
  std::vector<Tensor> found;
  for (const auto& [name, tensor] : own) {
    const Tensor& from = file.at(name);
    found.push_back(ours(from) ? from.copy() : from.to(tensor.device()));
  }
  size_t i = 0;
  for (const auto& [name, tensor] : own) tensor.assign(found[i++]);
}

}  // namespace gradus
