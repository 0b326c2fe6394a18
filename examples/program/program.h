// What the larger programs have in common, seen from outside: how they start and end, that they hear Ctrl-C,
// and how they say how far they have come.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <span>
#include <string>

namespace gradus::examples {

// What every main() does. `--version` alone is answered here. The program runs, and errors become a message
// and an exit status: 2 for a wrong call, 1 for the world's faults.
int run_program(int argc, char** argv, int (*run)(std::span<const std::string> arguments));

// Ctrl-C, SIGTERM and a closed terminal as a question that a long job asks itself between two steps. The
// first signal only sets the answer, so that the job can save what it has; a second one ends the program at
// once. A reader of its output who goes away does not end it.
void watch_interrupts();
int interrupted();  // the signal that came, or 0

double seconds_now();          // of the steady clock
int terminal_columns(int fd);  // 0 if it is not a terminal that can redraw a line

struct ProgressOptions {
  int64_t total = 1, start = 0;  // start: work done before this run, which says nothing about speed
  int columns = 0;               // 0: plain lines
  double plain_seconds = 10;
  std::function<double()> clock = seconds_now;
};

// How far a long job has come, on one line. On a terminal the line is redrawn in place with a bar; elsewhere
// (a pipe, a file, TERM=dumb) it is printed afresh every few seconds, without any control character. It uses
// no colour, so NO_COLOR asks nothing of it, and no thread: time passes only when `update` is called.
class Progress {
 public:
  Progress(std::ostream& out, ProgressOptions options)
      : out_(out), options_(std::move(options)), begun_(options_.clock()) {}
  ~Progress();
  Progress(const Progress&) = delete;

  // Draws if it is time to: the first and the last call always do.
  void update(int64_t done, const std::string& status);
  // A line of its own, above the bar.
  void say(const std::string& line);

 private:
  std::ostream& out_;
  ProgressOptions options_;
  double begun_, drawn_ = -1e9;
  size_t width_ = 0;  // of the line that stands on the terminal
};

}  // namespace gradus::examples
