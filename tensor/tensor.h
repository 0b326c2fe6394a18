// Tensor: a contiguous, row-major block of numbers and its shape. It is a handle: copies share the block, and
// writing through one is seen by all. There are no strides; reshape() and rows() are views of the same block,
// and everything else that rearranges (permute, concat) copies. A Tensor has no gradient: see
// Variable.
#pragma once

#include <map>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/storage.h"

namespace gradus {

class Tensor {
 public:
  Tensor() = default;  // no tensor: false in a condition
  explicit Tensor(Shape shape, DType dtype = DType::f32, Device device = Device::cpu);  // uninitialised

  static Tensor full(Shape shape, double value, DType dtype = DType::f32, Device device = Device::cpu);
  static Tensor zeros(Shape s, DType t = DType::f32, Device d = Device::cpu) { return full(s, 0, t, d); }
  static Tensor ones(Shape s, DType t = DType::f32, Device d = Device::cpu) { return full(s, 1, t, d); }
  static Tensor arange(int64_t n, Device device = Device::cpu);  // i32 [n]: 0, 1, .., n - 1
  template <Element T>                                           // float, double or int32_t
  static Tensor from(std::span<const T> values, Shape shape, Device device = Device::cpu) {
    check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor: ", values.size(),
          " values for shape ", shape);
    return from_bytes(values.data(), shape, dtype_of<T>, device);
  }
  template <Element T>
  static Tensor from(const std::vector<T>& values, Shape shape, Device device = Device::cpu) {
    return from(std::span<const T>(values), shape, device);
  }
  template <Element T>  // from({1.f, 2.f}, {2}) is f32, from({1., 2.}, {2}) f64, from({1, 2}, {2}) i32
  static Tensor from(std::initializer_list<T> values, Shape shape, Device device = Device::cpu) {
    return from(std::span<const T>(values.begin(), values.size()), shape, device);
  }
  static Tensor like(const Tensor& other, Shape s) { return Tensor(s, other.dtype(), other.device()); }
  static Tensor like(const Tensor& other) { return like(other, other.shape()); }

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t size() const { return storage_ ? shape_.numel() : 0; }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device::cpu; }
  bool unique() const { return storage_.use_count() == 1; }  // no other handle sees this block
  bool overlaps(const Tensor& other) const;                  // some element is an element of both

  // How often the block behind this tensor was changed in place: by assign, add_to, load, an optimiser's
  // step. Who writes through data() and wants it noticed says mark_changed().
  uint64_t version() const { return storage_ ? storage_->version() : 0; }
  void mark_changed() const {
    check(storage_ != nullptr, "tensor: this one is empty");
    storage_->mark_changed();
  }

  template <Element T>  // the first element; a device pointer when device() is cuda
  T* data() const {
    check(storage_ && dtype_of<T> == dtype_, "tensor: asked for ", dtype_of<T>, " data of ",
          storage_ ? name_of(dtype_) : "an empty", " tensor");
    return reinterpret_cast<T*>(bytes());
  }
  std::byte* bytes() const {
    check(storage_ != nullptr, "tensor: this one is empty");
    return storage_->data() + offset_;
  }
  size_t byte_size() const { return static_cast<size_t>(size()) * size_of(dtype_); }

  Tensor reshape(Shape shape) const;                           // a view; the same number of elements
  Tensor reshape(std::initializer_list<int64_t> sizes) const;  // one of them may be -1: whatever is left
  Tensor rows(int64_t from, int64_t to) const;                 // a view of [from, to) along the first axis
  Tensor to(Device device) const;                              // itself when it is there already
  // Itself when it has that dtype already. To i32 it cuts towards 0, and throws where a number has no place.
  Tensor to(DType dtype) const;
  Tensor copy() const;
  void assign(const Tensor& other) const;  // writes other's elements into this block; same shape and dtype
  double item() const;                     // the only element
  double at(std::initializer_list<int64_t> place) const;  // t.at({0, -1}): the last element of the first row

  template <Element T> std::vector<T> to_vector() const {
    const Tensor host = to(Device::cpu);
    const T* first = host.data<T>();
    return {first, first + size()};
  }

 private:
  static Tensor from_bytes(const void* values, Shape shape, DType dtype, Device device);

  std::shared_ptr<Storage> storage_;
  size_t offset_ = 0;  // bytes into the block
  Shape shape_;
  DType dtype_ = DType::f32;
};

// What reshape makes of sizes with at most one -1, for that many elements.
Shape shape_with_rest(std::initializer_list<int64_t> sizes, const Shape& from);

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);  // nested brackets, long axes abbreviated

// Gives each of the tensors `own` the values of its namesake in `file`. Names, shapes and dtypes must be the
// same on both sides; if they are not it throws, says which, and has changed nothing.
void assign_all(const char* op, const std::map<std::string, Tensor>& own,
                const std::map<std::string, Tensor>& file);

}  // namespace gradus
