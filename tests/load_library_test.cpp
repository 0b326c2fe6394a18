// Which library is loaded where several names are given, and the message where none is there.
#include <doctest/doctest.h>

#include <array>

#include "tensor/cuda/library.h"

using namespace gradus;

TEST_CASE("a library: the first name that is there is loaded") {
  const std::array<std::string, 2> moved{"/nowhere/libm.so.6", "libm.so.6"};
  void* const library = cuda::load_library(moved, "");
  REQUIRE(library);
  CHECK(dlsym(library, "cos"));
  const std::array<std::string, 2> both{"libm.so.6", "/nowhere/libm.so.6"};
  CHECK(cuda::load_library(both, "") == library);
}

TEST_CASE("a library: where no name is there, the error says what to do and what was tried") {
  const std::array<std::string, 2> names{"/nowhere/libcublas.so", "libcublas-that-nobody-has.so"};
  const auto load = [&] { cuda::load_library(names, "install it"); };
  CHECK_THROWS_WITH_AS(load(), doctest::Contains("install it (/nowhere/libcublas.so: "), std::runtime_error);
  CHECK_THROWS_WITH_AS(load(), doctest::Contains("; libcublas-that-nobody-has.so: "), std::runtime_error);
}
