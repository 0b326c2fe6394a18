#!/usr/bin/env bash
# readme_block.sh PROGRAM SOURCE: PROGRAM must print what the `// -> ` comments of SOURCE say, line by line. Empty lines and
# blanks at the end of a line do not count.
set -euo pipefail
tidy() { sed 's/[[:space:]]*$//; /^$/d'; }
printed=$("$1") || { echo "it ended with status $?"; exit 1; }
diff --unified --label 'the comments say' <(sed -n 's|.*// -> \{0,1\}||p' "$2" | tidy) --label 'the program prints' <(tidy <<<"$printed")
