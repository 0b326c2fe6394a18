#include "examples/support/interrupt.h"

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace gradus::examples {
namespace {

std::atomic<int> came = 0;  // the handler may run on any thread
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  came = signal;
  for (const int any : {SIGINT, SIGTERM}) std::signal(any, SIG_DFL);
}

}  // namespace

void watch_interrupts() {
  for (const int any : {SIGINT, SIGTERM}) std::signal(any, on_signal);
}

int interrupted() { return came; }

}  // namespace gradus::examples
