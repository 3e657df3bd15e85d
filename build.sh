#!/usr/bin/env bash
# The one entry to building, trying and testing VllmNative. `./build.sh help` lists the verbs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1

test_seconds=1200 # of one `test`, the build included

usage() {
  cat <<'TEXT'
build.sh build              the native library, the bindings and the C# projects, in Release
build.sh demo [ARGS]        build, then run the demo model on eight prompts
build.sh test               build, then every test that this machine can run; last line: N passed, N failed, N skipped
build.sh test --sanitize    the native tests under AddressSanitizer and UndefinedBehaviorSanitizer
build.sh bench [ARGS]       build, then the benchmarks (BenchmarkDotNet's arguments, such as --filter '*Gemm*')
build.sh bench report       build, then measure README's table of this machine; --batching: its static and continuous batching instead;
                            --gpu-results: README's tables of tests/gpu/results
build.sh pack               NuGet packages into artifacts/packages
build.sh gpu-test [ARGS]    tests/gpu/run.sh, on a machine with a GPU
build.sh clean              removes build/ and artifacts/
Environment: VN_CUDA=AUTO|ON|OFF (AUTO: when a CUDA compiler works here), CXX, CUDACXX.
TEXT
}

say() { echo "+ $*"; }
run() {
  say "$@"
  "$@"
}

die() {
  echo "build.sh: $*" >&2
  exit 1
}

require_tools() { cmake/install-build-tools.sh "$@"; }

require_dotnet() {
  command -v dotnet >/dev/null ||
    die "the .NET 10 SDK is missing: no 'dotnet' in PATH (https://dotnet.microsoft.com/download/dotnet/10.0)"
  [[ $'\n'$(dotnet --list-sdks) == *$'\n'10.* ]] ||
    die "the .NET 10 SDK is missing; 'dotnet --list-sdks' shows: $(dotnet --list-sdks | paste -sd ' ')"
}

# configure_and_build FOLDER [-DOPTION=VALUE ...]; CMake is quiet unless it fails.
configure_and_build() {
  local folder=$1 log
  shift
  mkdir -p "$folder"
  log=$folder/configure.log
  say cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@"
  cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    die "cmake failed"
  }
  run cmake --build "$folder"
  cat "$folder/devices.txt"
}

build_native() { configure_and_build build "-DVN_CUDA=${VN_CUDA:-AUTO}"; }

# Bindings.csproj makes the bindings anew when the header changed, where clang is.
build_managed() {
  local options=()
  [ -z "${CI:-}" ] || options=(--disable-build-servers)
  run dotnet build VllmNative.sln -c Release --nologo -v quiet "${options[@]}"
}

build_all() {
  require_tools
  require_dotnet
  build_native
  build_managed
}

# The folder and name of a project's Release assembly.
assembly() { echo "artifacts/bin/$1/release/$2.dll"; }

demo() {
  build_all
  run dotnet exec "$(assembly VllmNative.Cli vllm-native)" demo "$@"
}

# A build that fails is a failed test, in the last line too.
build_to_test() {
  trap 'echo "nothing was tested, the build failed"; echo "0 passed, 1 failed, 0 skipped"' EXIT
  "$@"
  trap - EXIT
}

build_sanitized() {
  require_tools
  configure_and_build build/san -DVN_SANITIZE=ON
}

test_sanitized() {
  build_to_test build_sanitized
  run cmake/run-tests.sh "$((test_seconds - SECONDS))" ctest:build/san
}

test_all() {
  local targets=(ctest:build) project
  build_to_test build_all
  for project in tests/*.Tests; do
    project=$(basename "$project")
    targets+=("dotnet:$(assembly "$project" "$project")")
  done
  run cmake/run-tests.sh "$((test_seconds - SECONDS))" "${targets[@]}"
}

bench() {
  build_all
  run dotnet exec "$(assembly VllmNative.Benchmarks VllmNative.Benchmarks)" "$@"
}

pack() {
  build_all
  run dotnet pack VllmNative.sln -c Release --no-build --nologo -v quiet -o artifacts/packages
  ls -l artifacts/packages
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
  build) build_all ;;
  demo) demo "$@" ;;
  test)
    case ${1:-} in
      '') test_all ;;
      --sanitize) test_sanitized ;;
      *) die "test: unknown option $1" ;;
    esac
    ;;
  bench) bench "$@" ;;
  pack) pack ;;
  gpu-test) run tests/gpu/run.sh "$@" ;;
  clean) run rm -rf build artifacts ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    die "unknown verb '$verb'"
    ;;
esac
