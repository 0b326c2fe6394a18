// DIR/report.html: how a run has gone, on one page. The curves and the samples come from log.jsonl, so that a
// run which goes on shows what was before it; attention is the model's as it is now. It only looks: no random
// number is drawn and nothing of training is changed.
#pragma once

#include "examples/translate/commands.h"

namespace gradus::examples {

// The first three held-out pairs that are short enough to be shown.
std::vector<IdPair> shown_pairs(const HeldOut& held_out);

std::string report_page(const std::vector<std::string>& log, const std::string& options, const Task& task,
                        nn::TranslationModel& model);

}  // namespace gradus::examples
