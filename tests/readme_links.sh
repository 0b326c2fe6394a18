#!/usr/bin/env bash
# Every link of a README.md, and of the pages beside them, to a file, or to a heading of another chapter, leads somewhere.
set -euo pipefail
root=$(dirname -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")")
cd "$root"
anchors() {  # of the headings of file $1, as GitHub makes them
  sed -n 's/^#\{1,6\} //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^[:alnum:]_ -]//g; s/ /-/g'
}
broken=0
for readme in README.md {tensor,autograd,nn,losses,optim,examples,tests}/README.md nn/PYTORCH.md losses/ROSETTA.md tests/MUSEUM.md examples/*/README.md tests/*/README.md; do
  while read -r link; do
    file=${link%%#*} anchor=
    if [[ $link == *#* ]]; then anchor=${link#*#}; fi
    if [[ -n $file ]]; then file=$(dirname "$readme")/$file; else file=$readme; fi
    if [[ ! -e $file ]] || { [[ -n $anchor ]] && ! anchors "$file" | grep -qxF -e "$anchor"; }; then
      echo "$readme: $link leads nowhere"
      broken=1
    fi
  done < <(sed '/^```/,/^```/d; s/`[^`]*`//g' "$readme" | grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//' | grep -v '^https\?:' || true)
done
exit "$broken"
