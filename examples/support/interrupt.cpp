#include "examples/support/interrupt.h"

#include <csignal>
#include <initializer_list>

namespace gradus::examples {
namespace {

volatile std::sig_atomic_t came = 0;

void on_signal(int) {
  came = 1;
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
}

}  // namespace

void watch_interrupts() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() { return came != 0; }

}  // namespace gradus::examples
