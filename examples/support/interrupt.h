// Ctrl-C, SIGTERM and a closed terminal as a question that a long job asks itself between two steps. The
// first signal only sets the answer, so that the job can save what it has; a second one ends the program at
// once. A reader of its output who goes away does not end it.
#pragma once

namespace gradus::examples {

void watch_interrupts();
int interrupted();  // the signal that came, or 0

}  // namespace gradus::examples
