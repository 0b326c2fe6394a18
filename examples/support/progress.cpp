#include "examples/support/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>

#include "examples/support/text.h"

namespace gradus::examples {
namespace {

std::string clock_time(double seconds) {  // 1:05, 2:00:00
  const auto whole = static_cast<int64_t>(std::clamp(seconds, 0.0, 1e9));
  const auto two_digits = [](int64_t n) { return (n < 10 ? ":0" : ":") + std::to_string(n); };
  const int64_t hours = whole / 3600, minutes = whole / 60 % 60;
  const std::string lead = hours > 0 ? std::to_string(hours) + two_digits(minutes) : std::to_string(minutes);
  return lead + two_digits(whole % 60);
}

// The first `columns` code points, control characters made visible as blanks.
std::pair<std::string, size_t> fit(std::string_view text, size_t columns) {
  std::string out;
  size_t width = 0;
  for (const auto& [c, bytes, valid] : code_points(text))
    if (width < columns) out += c < 0x20 || (c >= 0x7F && c < 0xA0) ? " " : bytes, ++width;
  return {out, width};
}

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int terminal_columns(int fd) {
  const char* term = std::getenv("TERM");
  if (isatty(fd) == 0 || term == nullptr || std::string_view(term) == "dumb") return 0;
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

Progress::Progress(std::ostream& out, ProgressOptions options)
    : out_(out), options_(std::move(options)), begun_(options_.clock()) {}

Progress::~Progress() {
  if (width_ > 0) out_ << std::endl;
}

void Progress::update(int64_t done, const std::string& status) {
  const double now = options_.clock();
  const double pause = options_.columns > 0 ? 0.1 : options_.plain_seconds;
  if (done < options_.total && now - drawn_ < pause) return;
  drawn_ = now;
  redraw(describe(done, now - begun_) + "  " + status);
}

std::string Progress::describe(int64_t done, double elapsed) const {
  const auto total = static_cast<double>(std::max<int64_t>(options_.total, 1));
  const double share = std::clamp(static_cast<double>(done) / total, 0.0, 1.0);
  const std::string percent = std::to_string(static_cast<int>(100 * share)) + "%";
  std::string line = std::string(4 - percent.size(), ' ') + percent + "  " + clock_time(elapsed);
  const auto fresh = static_cast<double>(done - options_.start);
  if (fresh > 0) line += ", " + clock_time(elapsed * (total - static_cast<double>(done)) / fresh) + " left";
  if (options_.columns == 0) return line;
  constexpr size_t bar = 10;
  const auto filled = static_cast<size_t>(share * bar);
  return "[" + std::string(filled, '=') + std::string(bar - filled, ' ') + "] " + line;
}

void Progress::redraw(const std::string& line) {
  if (options_.columns == 0) {
    out_ << fit(line, line.size()).first << std::endl;
    return;
  }
  // One column stays free: a full line would make the terminal wrap, and \r could not reach back.
  const auto [text, width] = fit(line, static_cast<size_t>(options_.columns - 1));
  out_ << '\r' << text << std::string(width_ > width ? width_ - width : 0, ' ') << std::flush;
  width_ = width;
}

void Progress::say(const std::string& line) {
  if (width_ > 0) out_ << '\r' << std::string(width_, ' ') << '\r';
  width_ = 0;
  out_ << fit(line, line.size()).first << std::endl;
}

}  // namespace gradus::examples
