# shellcheck shell=bash
# Sourced by examples/quickstart.sh and tests/run.sh: finds what a build needs, installs what is missing, and configures.
# What counts is what works, not what dpkg lists, so a compiler or an OpenBLAS of one's own will do.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
jobs=$(nproc 2>/dev/null || echo 2)

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# compiles SOURCE OPTION...: does this C++ program compile and link?
compiles() {
  local compiler
  read -ra compiler <<<"${CXX:-c++}"
  "${compiler[@]}" -std=c++20 -x c++ - -o /dev/null "${@:2}" <<<"$1" >/dev/null 2>&1
}

# As CMakeLists.txt asks: GCC 11 or clang 14, or newer.
has_compiler() {
  compiles '
    #if defined __clang__ ? __clang_major__ < 14 : __GNUC__ < 11
    #error too old
    #endif
    #include <numbers>
    #include <span>
    int main() {}'
}

has_doctest() { compiles $'#include <doctest/doctest.h>\nint main() {}' -DDOCTEST_CONFIG_DISABLE; }

has_openblas() {
  compiles '
    #if __has_include(<cblas.h>)
    #include <cblas.h>
    #else
    #include <openblas/cblas.h>
    #endif
    int main() { return openblas_get_parallel(); }' -lopenblas
}

has_cmake() {
  local version
  version=$(cmake --version 2>/dev/null) || return
  [[ $version =~ ([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] > 3 || (BASH_REMATCH[1] == 3 && BASH_REMATCH[2] >= 22)))
}

# Prints the Debian packages that are missing; `tests` asks for what the tests need as well.
missing_packages() {
  has_compiler || echo g++
  has_cmake || echo cmake
  command -v ninja >/dev/null || command -v make >/dev/null || echo ninja-build
  has_openblas || echo libopenblas-openmp-dev
  if [[ ${1-} == tests ]]; then has_doctest || echo doctest-dev; fi
}

# Prints what Fedora calls these Debian packages.
fedora_names() {
  local package names=()
  for package; do
    case $package in
      g++) names+=(gcc-c++) ;;
      libopenblas-openmp-dev) names+=(openblas-devel) ;;
      doctest-dev) names+=(doctest-devel) ;;
      *) names+=("$package") ;;
    esac
  done
  echo "${names[*]}"
}

# Installs the packages named: at once for root, after a yes for anybody else.
install_packages() {
  local update='apt-get update' install="apt-get install -y --no-install-recommends $*" answer sudo=()
  echo "Missing on this machine: $*"
  command -v apt-get >/dev/null ||
    fail "There is no apt-get here. Please install these (the names are Debian's), then run this again. On Fedora:" \
      "" "  sudo dnf install $(fedora_names "$@")"
  if [[ $(id -u) == 0 ]]; then
    printf 'Installing them:\n\n  %s && %s\n\n' "$update" "$install"
  elif command -v sudo >/dev/null; then
    printf 'This line installs them:\n\n  sudo %s && sudo %s\n\n' "$update" "$install"
    [[ -t 0 ]] || fail "Nothing was installed: there is no terminal to ask for your consent. Run the line above, then this again."
    read -rp 'Run it now? sudo may ask for your password. [y/N] ' answer || true
    [[ $answer == [yY]* ]] || fail "Nothing was installed. Run the line above when it suits you, then this again."
    sudo=(sudo)
  else
    printf 'This line, run by root, installs them:\n\n  %s && %s\n\n' "$update" "$install"
    fail "Nothing was installed: you are not root, and there is no sudo here. Have the line above run, then run this again."
  fi
  # A source that cannot be reached now need not be one that is needed.
  "${sudo[@]}" $update </dev/null || echo "apt-get update failed; trying with the lists that are here."
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $install </dev/null || fail "apt-get could not install the packages; its message is above."
  hash -r
}

# ensure_packages [tests]: returns when all is there, and touches nothing if it already was.
ensure_packages() {
  local missing version
  [[ $(uname -s) == Linux ]] ||
    fail "gradus needs Linux, not $(uname -s): on Windows through WSL2, elsewhere in the container of its Dockerfile."
  if [[ -n ${CXX-} ]] && ! compiles 'int main() {}'; then
    fail "CXX is set to '$CXX', which cannot compile a program. Install that compiler, or unset CXX."
  fi
  missing=$(missing_packages "$@")
  [[ -n $missing ]] || return 0
  # shellcheck disable=SC2086  # one word per package
  install_packages $missing
  missing=$(missing_packages "$@")
  [[ -n $missing ]] || return 0
  version=$(cmake --version 2>/dev/null | head -n 1) || true
  fail "Installed, and yet not usable: ${missing//$'\n'/ }" \
    "gradus needs GCC 11 or clang 14 or newer, CMake 3.22 or newer (here: ${version:-none}) and OpenBLAS." \
    "Debian 12, Ubuntu 22.04 and what came after them have all three."
}

# build_folder NAME: prints where to build: in $BUILD where that is set, else in NAME in the source tree, or, where nothing can
# be written there, in the user's cache.
build_folder() {
  local folder=${BUILD:-$root/$1}
  if [[ -z ${BUILD-} ]] && ! can_write "$folder"; then
    folder=${XDG_CACHE_HOME:-${HOME-}/.cache}/gradus/$1
    echo "Nothing can be written in $root/$1; building in $folder." >&2
  fi
  can_write "$folder" || fail "Nothing can be written in $folder. BUILD=FOLDER in the environment names another folder to build in."
  (cd -- "$folder" && pwd -P)
}

# can_write FOLDER: makes the folder if there is none.
can_write() { mkdir -p -- "$1" 2>/dev/null && [[ -w $1 ]]; }

# configure PRESET FOLDER OPTION...: quiet when it works. A folder keeps its generator. One that was configured for a tree that
# stood elsewhere starts afresh; one of another project is left as it is.
configure() {
  local folder=$2 cache=$2/CMakeCache.txt generator=Ninja log source
  command -v ninja >/dev/null || generator='Unix Makefiles'
  if [[ -f $cache ]]; then
    source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache")
    if [[ $source -ef $root ]]; then
      generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$cache")
    elif [[ $(sed -n 's/^CMAKE_PROJECT_NAME:[A-Z]*=//p' "$cache") == gradus ]]; then
      rm -rf -- "$cache" "$folder/CMakeFiles"
    else
      fail "$folder is the build folder of another project ($source). BUILD=FOLDER in the environment names another one."
    fi
  fi
  if ! log=$(cd "$root" && cmake --preset "$1" -B "$folder" -G "$generator" "${@:3}" 2>&1); then
    fail "$log" "" "Configuring $folder failed: the reason is above."
  fi
  sed -n 's/^-- gradus: /Found: /p' <<<"$log"
}

# build FOLDER [OPTION...]
build() { cmake --build "$1" --parallel "$jobs" "${@:2}" || fail "The build failed: the first error above is the one to look at."; }
