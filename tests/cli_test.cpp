// What a program says and is told: progress, options, log lines.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <limits>
#include <sstream>
#include <stdexcept>

#include "examples/data/json.h"
#include "examples/data/words.h"
#include "examples/program/options.h"
#include "examples/program/program.h"
#include "tests/files.h"

using namespace gradus::examples;
using namespace gradus::tests;
using std::string;

TEST_CASE("progress: plain lines, without control characters") {
  double now = 100;
  std::ostringstream out;
  {
    Progress progress(out, {.total = 200, .start = 100, .plain_seconds = 10, .clock = [&] { return now; }});
    progress.update(100, "loss 9");
    now += 9;
    progress.update(120, "not yet");
    now += 1;
    progress.update(125, "loss\t\x1b[31m5\r\n");
    progress.say("saved\a");
    now += 3655;
    progress.update(200, "é");
  }
  CHECK(out.str() ==
        " 50%  0:00  loss 9\n 62%  0:10, 0:30 left  loss  [31m5  \nsaved \n100%  1:01:05, 0:00 left  é\n");
}

TEST_CASE("progress: one line redrawn on a terminal") {
  double now = 0;
  std::ostringstream out;
  {
    Progress progress(out, {.total = 4, .columns = 45, .clock = [&] { return now; }});
    progress.update(1, "long status, cut é");
    now = 0.05;
    progress.update(2, "too soon");
    now = 60;
    progress.update(3, "ok");
    progress.say("note");
    progress.update(4, "");
  }
  CHECK(out.str() ==
        "\r[==        ]  25%  0:00, 0:00 left  long sta"
        "\r[=======   ]  75%  1:00, 0:20 left  ok      "
        "\r" +
            string(38, ' ') +
            "\rnote\n"
            "\r[==========] 100%  1:00, 0:00 left  \n");
  std::ostringstream none;
  Progress(none, {.total = 0, .columns = 1}).update(0, "nothing to do");
  CHECK(none.str() == "\r");
}

TEST_CASE("progress: what counts as a terminal") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  CHECK(terminal_columns(ends[1]) == 0);
  close(ends[0]);
  close(ends[1]);
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) return;  // none to be had in some containers
  const winsize size = {.ws_row = 24, .ws_col = 72, .ws_xpixel = 0, .ws_ypixel = 0};
  ioctl(terminal, TIOCSWINSZ, &size);
  setenv("TERM", "xterm", 1);
  CHECK(terminal_columns(terminal) == 72);
  setenv("TERM", "dumb", 1);
  CHECK(terminal_columns(terminal) == 0);
  close(terminal);
}

namespace {

struct Train {
  double smoothing = 0.1;
  int64_t layers = 2;
  int seed = 1;
  bool quiet = false;
  string norm = "pre", out = "model.safetensors";
  Options options{"train [options]", "Learns to translate."};

  Train() {
    options.group("Model");
    options.add("--layers", &layers, "N", "layers on each side", {1, 64});
    options.add("--norm", &norm, "pre|post", "where the norms stand:\npre trains more easily");
    options.group("Training");
    options.add("--smoothing", &smoothing, "X", "label smoothing", {0, 1});
    options.add("--seed", &seed, "N", "names the run's random numbers");
    options.add("--out", &out, "FILE", "where the model goes");
    options.add("--quiet", &quiet, "", "no progress");
  }
  Options::Action parse(const Words& arguments) { return options.parse(arguments); }
  string refusal(const Words& arguments) {
    return error_of<std::invalid_argument>([&] { parse(arguments); });
  }
};

}  // namespace

TEST_CASE("cli: values reach their variables") {
  Train train;
  CHECK(train.parse({"--smoothing", "0.25", "--layers=3", "--quiet", "--seed", "-7", "--norm=post",
                     "--out="}) == Options::Action::run);
  CHECK(train.smoothing == 0.25);
  CHECK(train.layers == 3);
  CHECK(train.quiet);
  CHECK(train.seed == -7);
  CHECK(train.norm == "post");
  CHECK(train.out.empty());
  CHECK(train.parse({"--quiet=false", "--smoothing", "1e-3", "--smoothing=1", "--out", "a=b"}) ==
        Options::Action::run);
  CHECK_FALSE(train.quiet);
  CHECK(train.smoothing == 1);
  CHECK(train.out == "a=b");
  CHECK(train.parse({}) == Options::Action::run);
  CHECK(train.parse({"--help"}) == Options::Action::help);
  CHECK(Train().parse({"-h"}) == Options::Action::help);
  CHECK(Train().parse({"--dump-config"}) == Options::Action::dump_config);
}

TEST_CASE("cli: what is refused, and how") {
  Train train;
  const std::pair<Words, string> cases[] = {
      {{"--smothing", "1"}, "--smothing: unknown option; did you mean --smoothing?"},
      {{"--zzz=1"}, "--zzz: unknown option"},
      {{"--"}, "--: unknown option"},
      {{"file"}, "'file': expected an option such as --help"},
      {{""}, "'': expected an option such as --help"},
      {{"-s", "1"}, "'-s': expected an option such as --help"},
      {{"--smoothing"}, "--smoothing: expected a number from 0 to 1, got nothing"},
      {{"--smoothing="}, "--smoothing: expected a number from 0 to 1, got nothing"},
      {{"--smoothing", "--quiet"}, "--smoothing: expected a number from 0 to 1, got nothing"},
      {{"--smoothing", "1.01"}, "--smoothing: expected a number from 0 to 1, got '1.01'"},
      {{"--smoothing=nan"}, "--smoothing: expected a number from 0 to 1, got 'nan'"},
      {{"--smoothing=0.1x"}, "--smoothing: expected a number from 0 to 1, got '0.1x'"},
      {{"--smoothing", "-0.1"}, "--smoothing: expected a number from 0 to 1, got '-0.1'"},
      {{"--layers", "1.5"}, "--layers: expected a whole number from 1 to 64, got '1.5'"},
      {{"--seed", "9999999999"}, "--seed: expected a whole number, got '9999999999'"},
      {{"--quiet=yes"}, "--quiet: expected true or false, got 'yes'"},
      {{"--norm", "prey"}, "--norm: expected one of pre|post, got 'prey'; did you mean pre?"},
      {{"--out"}, "--out: expected FILE (one line of UTF-8, no spaces at its ends), got nothing"},
      {{"--out", "two\nlines"},
       "--out: expected FILE (one line of UTF-8, no spaces at its ends), got 'two\nlines'"},
      {{"--out", "caf\xe9"},
       "--out: expected FILE (one line of UTF-8, no spaces at its ends), got 'caf\xe9'"},
      {{"--out", "a", "--out", "b"}, "--out: expected one file, got several"},
  };
  for (const auto& [arguments, expected] : cases) CHECK(train.refusal(arguments) == expected);
  CHECK(train.refusal({"--" + string(100'000, 'x')}).ends_with("x: unknown option"));
  CHECK(train.smoothing == 0.1);
  CHECK(did_you_mean("trian", {"train", "translate"}) == "; did you mean train?");
}

TEST_CASE("cli: configuration files") {
  Train train;
  const TemporaryFile file("# a run\r\n\n layers = 5\nquiet=true\nsmoothing = 0.2\nout = a = b\n");
  CHECK(train.parse({"--smoothing", "0.3", "--config", file.path}) == Options::Action::run);
  CHECK(train.options.dump() ==
        "layers = 5\nnorm = pre\nsmoothing = 0.3\nseed = 1\nout = a = b\nquiet = true\n");
  Train again;
  std::istringstream dumped(train.options.dump());
  again.options.read(dumped, "dump");
  CHECK(again.options.dump() == train.options.dump());

  const std::pair<string, string> cases[] = {
      {"\nsmothing = 1", "f, line 2: smothing: unknown option; did you mean smoothing?"},
      {"config = x", "f, line 1: config: unknown option"},
      {"layers", "f, line 1: layers: expected key = value"},
      {"layers =", "f, line 1: layers: expected a whole number from 1 to 64, got nothing"},
      {"= 1", "f, line 1: : unknown option"},
  };
  for (const auto& [text, expected] : cases) {
    std::istringstream in(text);
    CHECK(error_of<std::invalid_argument>([&] { train.options.read(in, "f"); }) == expected);
  }
  CHECK_THROWS_AS(train.parse({"--config", "/nowhere"}), std::runtime_error);
}

TEST_CASE("cli: help") {
  CHECK(Train().options.help() == R"(usage: train [options]

Learns to translate.

Model
  --layers N       layers on each side (default 2)
  --norm pre|post  where the norms stand:
                   pre trains more easily (default pre)

Training
  --smoothing X    label smoothing (default 0.1)
  --seed N         names the run's random numbers (default 1)
  --out FILE       where the model goes (default model.safetensors)
  --quiet          no progress

General
  --config FILE    read options from FILE; the command line overrides it
  --dump-config    print all options as such a file, and stop
  --help           print this, and stop
)");
}

TEST_CASE("json_line") {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  CHECK(JsonLine().str() == "{}");
  CHECK(JsonLine().add("step", 7).add("loss", 0.1).add("ok", true).add("n", nan).add("i", -infinity).str() ==
        R"({"step": 7, "loss": 0.1, "ok": true, "n": null, "i": null})");
  CHECK(JsonLine().add("a\"", "b\\\n\x1f é\xFF").add("", string("\0", 1)).str() ==
        R"({"a\"": "b\\\u000a\u001f é)"
        "\uFFFD"
        R"(", "": "\u0000"})");
  CHECK(JsonLine().add("lr", 1e-4).add("f", 0.1f).add("big", int64_t{1} << 62).str() ==
        R"({"lr": 0.0001, "f": 0.10000000149011612, "big": 4611686018427387904})");
}
