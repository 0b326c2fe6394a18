// DIR/report.html: how a run has gone, on one page.
#pragma once

#include "examples/data/json.h"
#include "examples/translate/task.h"

namespace gradus::examples {

// The first three held-out pairs that are short enough to be shown.
std::vector<IdPair> shown_pairs(const HeldOut& held_out);

// The curves and the samples come from the lines of log.jsonl, so that a run which goes on shows what was
// before it; attention is the model's as it is now. It only looks: no random number is drawn and nothing of
// training is changed.
std::string report_page(const std::vector<JsonFields>& log, const std::string& options, const Task& task,
                        nn::TranslationModel& model);

}  // namespace gradus::examples
