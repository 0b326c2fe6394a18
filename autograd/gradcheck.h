// gradcheck: does a gradient agree with what the function does? Every element of every input is moved and the
// slope measured, in f64, by the four-point rule
//   f'(x) = (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h,  h = 7e-4,
// of a random projection of the output (with a plain sum, a softmax whose rule returns zeros would pass). Use
// it for your own operations, too. At a kink there is no slope: choose inputs more than 10 h away from it.
#pragma once

#include <functional>

#include "autograd/variable.h"

namespace gradus {

struct GradcheckReport {
  // max over inputs of max|analytic - numeric| / max(max|g|, 1e-3 max|g of all inputs|). A difference within
  // the rounding noise of the measured slope (100 ulp of the projected output, or of 1, / h) counts as none:
  // else a gradient of exactly 0 would differ from its measurement by all of it.
  double error = 0;
  std::string worst;  // where: "w[7]: analytic 0.25, numeric 0.26"
};

// f computes the output from the inputs, which are f64 leaves that it holds. A generator that f draws from is
// set back before each evaluation. The gradients of the inputs are overwritten.
GradcheckReport gradcheck(const std::function<Variable()>& f, const std::vector<NamedParameter>& inputs,
                          Generator* generator = nullptr);

}  // namespace gradus
