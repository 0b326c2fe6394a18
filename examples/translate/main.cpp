// translate: trains a Transformer to translate, measures it, and translates with it.
#include "examples/program/program.h"
#include "examples/translate/commands.h"

int main(int argc, char** argv) {
  return gradus::examples::run_program(argc, argv, gradus::examples::translate_program);
}
