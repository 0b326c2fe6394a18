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
  const auto before = std::signal(SIGHUP, SIG_IGN);
  for (const int any : kSignals) std::signal(any, on_signal);
  if (before == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // nohup asked for that
  std::signal(SIGPIPE, SIG_IGN);
}

int interrupted() { return came; }

}  // namespace gradus::examples
