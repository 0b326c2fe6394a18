#!/usr/bin/env bash
# Pages as a browser shows them, 1280 and 390 pixels wide: nothing is wider than the page, nothing is cut off, no two texts
# overlap, and type in figures is at least 12 pixels high. Usage: page_test.sh LABEL_SMOOTHING TRANSLATE, or page_test.sh PAGE.html
# for one page. Exits with 77 (skipped) where no Chromium is found.
set -euo pipefail
chromium=$(command -v chromium chromium-browser google-chrome | head -n 1) || true
if [[ -z $chromium ]]; then echo 'skipped: no chromium'; exit 77; fi
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failures=0

# What is wrong with the page in the frame, a line each; runs in the browser.
read -rd '' measure <<'JS' || true
function measure(frame) {
  const doc = frame.contentDocument, wide = frame.contentWindow.innerWidth, wrong = [], boxes = [];
  doc.querySelectorAll('details').forEach(d => d.open = true);
  if (doc.documentElement.scrollWidth > wide) wrong.push(`the page is ${doc.documentElement.scrollWidth} wide`);
  doc.querySelectorAll('body *').forEach(e => {
    const r = e.getBoundingClientRect();
    if (r.right > wide + 1 || r.left < -1) wrong.push(`<${e.tagName}> from ${r.left} to ${r.right}: ${e.textContent.slice(0, 40)}`);
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).overflowX != 'visible')
      wrong.push(`<${e.tagName}> is cut off: ${e.textContent.slice(0, 40)}`);
  });
  doc.querySelectorAll('svg text').forEach(t => {
    const s = t.ownerSVGElement.getBoundingClientRect(), r = t.getBoundingClientRect();
    if (r.left < s.left - 1 || r.right > s.right + 1 || r.top < s.top - 1 || r.bottom > s.bottom + 1)
      wrong.push(`outside its figure: ${t.textContent}`);
    if (s.width / t.ownerSVGElement.viewBox.baseVal.width * 12 < 11.99) wrong.push(`small type: ${t.textContent}`);
  });
  const walker = doc.createTreeWalker(doc.body, NodeFilter.SHOW_TEXT), range = doc.createRange();
  while (walker.nextNode()) {
    if (!walker.currentNode.data.trim() || ['TITLE', 'DESC'].includes(walker.currentNode.parentNode.tagName.toUpperCase())) continue;
    range.selectNodeContents(walker.currentNode);
    for (const r of range.getClientRects()) boxes.push([r, walker.currentNode.data.trim().slice(0, 40)]);
  }
  boxes.sort((a, b) => a[0].top - b[0].top);
  boxes.forEach(([a, text], i) => {
    for (let j = i + 1; j < boxes.length && boxes[j][0].top < a.bottom - 4; ++j) {
      const b = boxes[j][0];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5 && Math.min(a.bottom, b.bottom) - b.top > 4)
        wrong.push(`overlap: "${text}" and "${boxes[j][1]}"`);
    }
  });
  return `${boxes.length} texts\n` + wrong.slice(0, 20).map(w => 'WRONG ' + w).join('\n');
}
JS

look() {  # PAGE
  local width text
  text=$(sed 's/&/\&amp;/g; s/"/\&quot;/g' "$1")
  for width in 1280 390; do
    cat >"$work/frame.html" <<HTML
<!DOCTYPE html><meta charset="utf-8"><script>$measure</script><pre id="found"></pre><iframe id="page" width="$width" height="2000"
style="border:0" onload="document.getElementById('found').textContent = 'MEASURED ' + measure(this); this.remove()" srcdoc="$text"></iframe>
HTML
    if ! timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" --window-size=1400,1000 \
      --virtual-time-budget=5000 --dump-dom "file://$work/frame.html" >"$work/found" 2>/dev/null; then echo "$1: chromium failed"; failures=$((failures + 1)); fi
    if ! grep -q 'MEASURED [1-9]' "$work/found" || grep -q '^WRONG' "$work/found"; then
      echo "$1 at $width pixels:"
      grep '^WRONG' "$work/found" || echo 'not measured'
      failures=$((failures + 1))
    fi
  done
}

if [[ $1 == *.html ]]; then
  look "$1"
else
  # That the measuring notices: a wide box, an overlap, a text outside its figure.
  for bad in '<div style="width:2000px">w</div>' '<p style="margin:0">one</p><p style="margin:-20px 0 0 0">two</p>' \
    '<svg viewBox="0 0 360 50" style="width:360px"><text x="350" y="20">a long text</text></svg>'; do
    echo "<!DOCTYPE html><body>$bad</body>" >"$work/bad.html"
    (failures=0; look "$work/bad.html" >/dev/null; ((failures > 0))) || { echo "unnoticed: $bad"; failures=$((failures + 1)); }
  done
  "$1" --out "$work/lab" --only 2,3,4,5,15 >/dev/null
  look "$work/lab/demos.html"
  "$2" train --toy --d-model 16 --heads 2 --layers 1 --ff 32 --steps 60 --validate-every 20 --out "$work/model" >/dev/null
  look "$work/model/report.html"
fi
((failures == 0)) && echo 'pages fit at 1280 and 390 pixels'
