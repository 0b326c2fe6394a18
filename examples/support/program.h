// What the main() of every larger program does. OpenMP threads that wait for each other do so at full speed,
// and on a machine with other work to do that makes them many times slower; libgomp reads its limit when it
// is loaded, hence the program starts itself once more. Then it runs, and errors become a message and an exit
// status: 2 for a wrong call, 1 for the world's faults.
#pragma once

#include <span>
#include <string>

namespace gradus::examples {

int run_program(int argc, char** argv, int (*run)(std::span<const std::string> arguments));

}  // namespace gradus::examples
