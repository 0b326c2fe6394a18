#!/usr/bin/env bash
# readme_block.sh PROGRAM SOURCE: PROGRAM must print what the `// -> ` comments of SOURCE say, line by line. Empty lines and
# blanks at the end of a line do not count.
set -euo pipefail
export GOMP_SPINCOUNT=1000  # on a busy machine threads that wait must not take the processor
tidy() { sed 's/[[:space:]]*$//; /^$/d'; }
printed=$("$1") || { echo "it ended with status $?"; exit 1; }
diff --unified --label 'the comments say' <(sed -n 's|.*// -> \{0,1\}||p' "$2" | tidy) --label 'the program prints' <(tidy <<<"$printed")
