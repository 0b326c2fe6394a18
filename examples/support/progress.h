// How far a long job has come, on one line. On a terminal the line is redrawn in place with a bar;
// elsewhere (a pipe, a file, TERM=dumb) it is printed afresh every few seconds, without any control
// character. It uses no colour, so NO_COLOR asks nothing of it, and no thread: time passes only when
// `update` is called.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

namespace gradus::examples {

double seconds_now();          // of the steady clock
int terminal_columns(int fd);  // 0 if it is not a terminal that can redraw a line

struct ProgressOptions {
  int64_t total = 1;
  int64_t start = 0;  // work already done before this run: it says nothing about speed
  int columns = 0;    // 0: plain lines
  double plain_seconds = 10;
  std::function<double()> clock = seconds_now;
};

class Progress {
 public:
  Progress(std::ostream& out, ProgressOptions options);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws if it is time to: the first and the last call always do.
  void update(int64_t done, const std::string& status);
  // A line of its own, above the bar.
  void say(const std::string& line);

 private:
  std::string describe(int64_t done, double elapsed) const;
  void redraw(const std::string& line);

  std::ostream& out_;
  ProgressOptions options_;
  double begun_, drawn_ = -1e9;
  size_t width_ = 0;  // of the line that stands on the terminal
};

}  // namespace gradus::examples
