# Draws README.md's learning curve from the log of a toy run:
#   awk -f examples/learning_curve.awk model/log.jsonl >examples/learning_curve.svg
function field(name) { return match($0, "\"" name "\": [0-9.e-]+") ? substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) : "" }
function x(step) { return sprintf("%.1f", 56 + 494 * step / 1600) }
function y(nll) { return sprintf("%.1f", 265.7 - 131.2 * log(nll / 0.1) / log(10)) }  # a logarithmic axis from 0.1
function text(at_x, at_y, more, words) { return "<text x=\"" at_x "\" y=\"" at_y "\"" more ">" words "</text>" }
function level(nll, words) {  # a dashed line for a value that is known beforehand
  print "<path d=\"M56 " y(nll) "H550\" stroke=\"#B4500A\" stroke-width=\"1.5\" stroke-dasharray=\"6 4\"/>" \
    text(558, y(nll) + 4, " fill=\"#B4500A\"", nll ": " words)
}
function circle(at_x, at_y) {
  return "<circle cx=\"" at_x "\" cy=\"" at_y "\" r=\"4\" fill=\"#fff\" stroke=\"#1b1b1b\" stroke-width=\"1.5\"/>"
}

/"kind": "train"/ { points = points (points ? " " : "") x(field("step")) "," y(field("nll")) }
/"kind": "valid"/ { circles = circles circle(x(field("step")), y(field("nll"))) "\n" }

END {
  print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 330\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1b1b1b\">"
  print "<title>The nll of the toy translator falls during 1,600 training steps</title>"
  print "<rect width=\"780\" height=\"330\" fill=\"#fff\"/>"
  n = split("0.1 0.2 0.5 1 2 5", ticks, " ")
  for (i = 1; i <= n; ++i)
    print "<path d=\"M56 " y(ticks[i]) "H550\" stroke=\"#ddd\"/>" text(48, y(ticks[i]) + 4, " text-anchor=\"end\"", ticks[i])
  n = split("0 400 800 1,200 1,600", ticks, " ")
  for (i = 1; i <= n; ++i) print text(x(400 * (i - 1)), 304, " text-anchor=\"middle\"", ticks[i])
  print text(303, 324, " text-anchor=\"middle\"", "training step")
  print text(14, 151, " text-anchor=\"middle\" transform=\"rotate(-90 14 151)\"", "nll (log scale)")
  level(0.1891, "lowest with smoothing")
  level(0.0843, "floor")
  print "<polyline points=\"" points "\" fill=\"none\" stroke=\"#0b5fa5\" stroke-width=\"2\"/>"
  printf "%s", circles
  print "<path d=\"M380 30h24\" stroke=\"#0b5fa5\" stroke-width=\"2\"/>" text(410, 34, "", "training batches")
  print circle(392, 50) text(410, 54, "", "unseen sentences")
  print "</svg>"
}
