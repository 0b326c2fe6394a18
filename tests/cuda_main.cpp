// main of cuda_tests: without a device that works they are skipped, and it says why.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include "tensor/device.h"

int main(int argc, char** argv) {
  try {
    gradus::backend(gradus::Device::cuda);
  } catch (const std::runtime_error& error) {
    std::cerr << error.what() << "; so the tests of the device are skipped\n";
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
