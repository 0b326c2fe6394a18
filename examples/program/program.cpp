#include "examples/program/program.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iomanip>
#include <iostream>

#include "examples/data/utf8.h"
#include "tensor/device.h"
#include "tensor/error.h"

namespace gradus::examples {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
std::atomic<int> came = 0;  // the handler may run on any thread
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  came = signal;
  for (const int any : kSignals) std::signal(any, SIG_DFL);
}

std::string clock_time(double seconds) {  // 1:05, 2:00:00
  const int64_t whole = std::clamp(seconds, 0.0, 1e9), hours = whole / 3600;
  return message(std::setfill('0'), hours > 0 ? message(hours, ":") : "", std::setw(hours > 0 ? 2 : 1),
                 whole / 60 % 60, ":", std::setw(2), whole % 60);
}

// The first `columns` code points, control characters made visible as blanks.
std::pair<std::string, size_t> fit(std::string_view text, size_t columns) {
  std::string out;
  size_t width = 0;
  for (const auto& [c, bytes, valid] : CodePoints{text})
    if (width < columns) out += c < 0x20 || (c >= 0x7F && c < 0xA0) ? " " : bytes, ++width;
  return {out, width};
}

std::string describe(const ProgressOptions& job, int64_t done, double elapsed) {
  const double total = std::max<int64_t>(job.total, 1), share = std::clamp(done / total, 0.0, 1.0);
  std::string line = message(std::setw(3), int(100 * share), "%  ", clock_time(elapsed));
  const int64_t fresh = done - job.start;
  if (fresh > 0) line += ", " + clock_time(elapsed * (total - done) / fresh) + " left";
  if (job.columns == 0) return line;
  constexpr size_t bar = 10;
  const size_t filled = share * bar;
  return "[" + std::string(filled, '=') + std::string(bar - filled, ' ') + "] " + line;
}

}  // namespace

int run_program(int argc, char** argv, int (*run)(std::span<const std::string> arguments)) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments == std::vector<std::string>{"--version"}) {
      std::cout << program_invocation_short_name << " (gradus) " << version() << "\n";
      return 0;
    }
    const int status = run(arguments);
    check_world(std::cout.flush().good(), program_invocation_short_name, ": cannot write to standard output");
    return status;
  } catch (const std::exception& error) {
    const bool no_memory = dynamic_cast<const std::bad_alloc*>(&error);
    std::cerr << (no_memory ? "out of memory" : error.what()) << "\n";
    if (interrupted()) return 128 + interrupted();
    return dynamic_cast<const std::invalid_argument*>(&error) ? 2 : 1;
  }
}

void watch_interrupts() {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  for (const int any : kSignals) std::signal(any, on_signal);
  if (before == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // nohup asked for that
  std::signal(SIGPIPE, SIG_IGN);
}

int interrupted() { return came; }

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int terminal_columns(int fd) {
  const char* term = std::getenv("TERM");
  if (isatty(fd) == 0 || term == nullptr || std::string_view(term) == "dumb") return 0;
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

Progress::~Progress() {
  if (width_ > 0) out_ << std::endl;
}

void Progress::update(int64_t done, const std::string& status) {
  const double now = options_.clock();
  const double pause = options_.columns > 0 ? 0.1 : options_.plain_seconds;
  if (done < options_.total && now - drawn_ < pause) return;
  drawn_ = now;
  const std::string line = describe(options_, done, now - begun_) + "  " + status;
  if (options_.columns == 0) return say(line);
  // One column stays free: a full line would make the terminal wrap, and \r could not reach back.
  const auto [text, width] = fit(line, options_.columns - 1);
  out_ << '\r' << text << std::string(width_ > width ? width_ - width : 0, ' ') << std::flush;
  width_ = width;
}

void Progress::say(const std::string& line) {
  if (width_ > 0) out_ << '\r' << std::string(width_, ' ') << '\r';
  width_ = 0;
  out_ << fit(line, line.size()).first << std::endl;
}

}  // namespace gradus::examples
