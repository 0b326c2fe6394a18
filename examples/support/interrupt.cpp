#include "examples/support/interrupt.h"

#include <atomic>
#include <csignal>

namespace gradus::examples {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
std::atomic<int> came = 0;  // the handler may run on any thread
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  came = signal;
  for (const int any : kSignals) std::signal(any, SIG_DFL);
}

}  // namespace

void watch_interrupts() {
  for (const int any : kSignals)
    if (std::signal(any, on_signal) == SIG_IGN) std::signal(any, SIG_IGN);  // as under nohup
  std::signal(SIGPIPE, SIG_IGN);
}

int interrupted() { return came; }

}  // namespace gradus::examples
