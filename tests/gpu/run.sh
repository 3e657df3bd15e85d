#!/usr/bin/env bash
# What needs an NVIDIA GPU: builds (or takes what pack.sh built elsewhere) and runs one part, inside 8 minutes.
#   run.sh [correct]   the parity tests, each CUDA operation against the CPU's; the C# tests too where they were packed
#   run.sh sanitize    the parity tests on their smaller shapes under compute-sanitizer: memcheck, racecheck, initcheck
#   run.sh bench       `vllm-native bench` with kernels, latency and throughput, then tests/gpu/peers.py where torch is; needs .NET
#   run.sh serving     `vllm-native bench` with batching, prefix, interference, preemption, defragment, simulation; needs .NET
#   run.sh micro       the native micro-benchmarks
# Options: --prebuilt FOLDER (.gpu). Environment: VN_GPU_SECONDS (460), VN_GPU_FILTER (a GoogleTest filter),
# VN_GPU_TOOLS (of sanitize), VN_GPU_BENCH (of bench and serving: which of their programs, as "kernels latency"; of serving also
# static-len and sweep, which take a minute and a half each and are left out otherwise).
# Writes PART.json into $OUT, or tests/gpu/results/<gpu>/ where OUT is unset, and gpu-PART.log into $OUT or build/; bench also a
# report of figures for each of its programs, from which `./build.sh bench report --gpu-results` makes README's table.
# Last line: N passed, N failed, N skipped (of bench and micro: programs).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

deadline=$((SECONDS + ${VN_GPU_SECONDS:-460}))
# Left out under a sanitizer: too slow, or meant to break the device. Races are in shared memory alone: fewer shapes will do.
memcheck_filter='-*Large*:*MoreThan*:*ManyTokens*:*Long*:*ShapesAroundTheEdges*'
racecheck_filter=$memcheck_filter:*EveryDtype*:*SameBits*:*AllSettings*
initcheck_filter=$racecheck_filter

die() {
  echo "gpu-test: $*" >&2
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
}

part=correct prebuilt=
while [ $# -gt 0 ]; do
  case $1 in
    correct | sanitize | bench | serving | micro) part=$1 ;;
    --prebuilt)
      prebuilt=${2:-}
      [ -n "$prebuilt" ] || die "--prebuilt needs a folder"
      shift
      ;;
    *) die "unknown argument $1, expected correct, sanitize, bench, serving, micro or --prebuilt FOLDER" ;;
  esac
  shift
done

command -v nvidia-smi >/dev/null || die "no GPU here: nvidia-smi is not in PATH"
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1) && [ -n "$gpu" ] || die "no GPU here: nvidia-smi fails"
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)
results=${OUT:-tests/gpu/results/${gpu//[^A-Za-z0-9]/-}}
mkdir -p "$results" build
log=${OUT:-build}/gpu-$part.log
: >"$log"
echo "$gpu, driver $driver: $part"

# Sets native: the folder of libraries and programs.
take_prebuilt() {
  native=build/gpu-prebuilt/native
  rm -rf build/gpu-prebuilt
  local archive
  for archive in native managed dotnet; do
    [ -f "$prebuilt/$archive.tar.xz" ] || continue
    mkdir -p "build/gpu-prebuilt/$archive"
    tar -xJf "$prebuilt/$archive.tar.xz" -C "build/gpu-prebuilt/$archive" || die "$prebuilt/$archive.tar.xz does not unpack"
  done
  # The checkout has the demo models; they are not packed a second time.
  [ ! -d build/gpu-prebuilt/managed ] || ln -sfn "$PWD/tests/assets/models" build/gpu-prebuilt/managed/models
  [ -f "$native/libvllm_native_cuda.so" ] || die "$prebuilt has no native.tar.xz with the CUDA plugin"
}

build_here() {
  command -v cmake >/dev/null && command -v ninja >/dev/null || die "cmake and ninja are needed"
  cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DVN_CUDA=ON >>"$log" 2>&1 || { cat "$log"; die "cmake failed"; }
  cmake --build build/gpu >>"$log" 2>&1 || { tail -n 40 "$log"; die "the build failed"; }
  cat build/gpu/devices.txt
  native=build/gpu/all
  rm -rf "$native"
  mkdir -p "$native"
  ln -s "$PWD"/build/gpu/native/*.so "$PWD"/build/gpu/tests/native/parity_*_test "$native/"
  local program
  for program in build/gpu/tests/native/bench_cuda_*; do
    [ ! -x "$program" ] || [ -d "$program" ] || ln -s "$PWD/$program" "$native/"
  done
}

# cuBLASLt often lies where the loader does not look: in CUDA's folder or in a Python environment. The newest first.
find_cublas() {
  ldconfig -p 2>/dev/null | grep -q 'libcublasLt\.so\.1[23]' && return
  local found
  found=$(find /usr/local /opt /usr/lib -name 'libcublasLt.so.1[23]' 2>/dev/null | sort -t. -k3,3nr | head -n 1)
  [ -n "$found" ] || { echo "cuBLASLt: not found in /usr/local, /opt, /usr/lib"; return; }
  echo "cuBLASLt: $found"
  export LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$(dirname "$found")"
}

# Sets managed: the folder of the C# tests and the command line tool, and dotnet: what runs them. Fails where there is none.
find_managed() {
  dotnet=dotnet
  [ ! -x build/gpu-prebuilt/dotnet/dotnet ] || dotnet=build/gpu-prebuilt/dotnet/dotnet
  managed=build/gpu-prebuilt/managed
  export VLLM_NATIVE_PATH=$PWD/$native DOTNET_CLI_TELEMETRY_OPTOUT=1
  if [ -z "$prebuilt" ]; then
    managed=artifacts/bin/VllmNative.Tests/release
    command -v dotnet >/dev/null && dotnet build tests/VllmNative.Tests -c Release --nologo -v quiet >>"$log" 2>&1
  fi
  [ -f "$managed/vllm-native.dll" ] && command -v "$dotnet" >/dev/null
}

passed=0 failed=0 skipped=0
entries=()

# The number in an attribute's first occurrence.
attribute() {
  [[ $(head -c 4096 "$1" 2>/dev/null) =~ [[:space:]]$2=\"([0-9]+)\" ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

# run_tests NAME REPORT COMMAND...: the command writes a report in GoogleTest's XML or xunit's, and its output to the log.
run_tests() {
  local name=$1 report=$2 status=0 good bad left_out total start=$SECONDS left=$((deadline - SECONDS))
  shift 2
  rm -f "$report"
  echo "+ $*" >>"$log"
  if [ "$left" -gt 5 ]; then
    timeout --kill-after=10 "$left" "$@" >"$scratch/output" 2>&1 </dev/null || status=$?
  else
    status=124
    : >"$scratch/output"
  fi
  cat "$scratch/output" >>"$log"
  if grep -q '<testsuites' "$report" 2>/dev/null; then
    total=$(attribute "$report" tests)
    bad=$(attribute "$report" failures)
    left_out=$(grep -c '<skipped' "$report")
  else
    total=$(attribute "$report" total)
    bad=$(($(attribute "$report" failed) + $(attribute "$report" errors)))
    left_out=$(($(attribute "$report" skipped) + $(attribute "$report" not-run)))
  fi
  good=$((total - bad - left_out))
  [ "$status" -ne 124 ] || echo "$name: stopped, the time was over"
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
    tail -n 15 "$scratch/output"
  elif [ "$bad" -gt 0 ]; then
    grep -A 8 -E 'Failure$|\[FAIL\]' "$scratch/output" | head -n 60
  fi
  echo "$name: $good passed, $bad failed, $left_out skipped, status $status, $((SECONDS - start)) s"
  entries+=("{\"program\":\"$name\",\"passed\":$good,\"failed\":$bad,\"skipped\":$left_out,\"status\":$status,\"seconds\":$((SECONDS - start))}")
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + left_out))
}

correct() {
  local program name
  for program in "$native"/parity_*_test; do
    name=$(basename "$program")
    [ "$name" != parity_lost_test ] || continue # last: it breaks its device
    run_tests "$name" "$scratch/$name.xml" "$program" "--gtest_output=xml:$scratch/$name.xml" "--gtest_filter=${VN_GPU_FILTER:-*}"
  done
  if [ -x "$native/parity_lost_test" ]; then
    run_tests parity_lost_test "$scratch/lost.xml" "$native/parity_lost_test" "--gtest_output=xml:$scratch/lost.xml"
  fi
  [ -n "$prebuilt" ] && [ -f build/gpu-prebuilt/managed/VllmNative.Tests.dll ] || return 0
  if ! find_managed; then
    echo "VllmNative.Tests: no .NET runtime here, pack with --dotnet"
    failed=$((failed + 1))
    return
  fi
  export VLLM_NATIVE_TEST_DEVICE=cuda
  # A lost device takes CUDA away from its process.
  local alone='needs=own process' name
  run_tests VllmNative.Tests "$scratch/managed.xml" "$dotnet" exec "$managed/VllmNative.Tests.dll" -noColor \
    -trait- "$alone" -xml "$scratch/managed.xml"
  for name in A_lost_device A_device_that_hangs; do
    run_tests "$name" "$scratch/$name.xml" "$dotnet" exec "$managed/VllmNative.Tests.dll" -noColor \
      -method "*DeviceLossTests.$name*" -xml "$scratch/$name.xml"
  done
}

sanitize() {
  local tool program name options
  command -v compute-sanitizer >/dev/null || die "compute-sanitizer is not in PATH"
  export VN_PARITY_LARGEST=${VN_PARITY_LARGEST:-5000} # the largest vocabulary
  for tool in ${VN_GPU_TOOLS:-memcheck racecheck initcheck}; do
    local filter=${tool}_filter
    options=(--tool "$tool" --error-exitcode 99 --print-limit 20)
    [ "$tool" != memcheck ] || options+=(--leak-check no --report-api-errors no)
    for program in "$native"/parity_*_test; do
      name=$(basename "$program")
      [ "$name" != parity_lost_test ] || continue
      run_tests "$tool $name" "$scratch/$name.xml" compute-sanitizer "${options[@]}" "$program" \
        "--gtest_output=xml:$scratch/$name.xml" "--gtest_filter=${VN_GPU_FILTER:-${!filter}}"
    done
  done
}

# measure NAME SECONDS COMMAND...: one program of `bench`; its figures are in the report that it writes.
measure() {
  local name=$1 status=0 start=$SECONDS left=$((deadline - SECONDS))
  [ "$left" -lt "$2" ] || left=$2
  shift 2
  echo "+ $*" | tee -a "$log"
  if [ "$left" -gt 5 ]; then
    timeout --kill-after=10 "$left" "$@" </dev/null 2>&1 | tee -a "$log"
    status=${PIPESTATUS[0]}
  else
    status=124
  fi
  [ "$status" -ne 124 ] || echo "$name: stopped, the time was over"
  entries+=("{\"program\":\"$name\",\"status\":$status,\"seconds\":$((SECONDS - start))}")
  if [ "$status" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

bench() {
  local wanted=" ${VN_GPU_BENCH:-kernels latency throughput deterministic peers} " model targets
  find_managed || die "bench needs .NET here, or what pack.sh --dotnet packed"
  targets=(--device cuda --targets tests/gpu/targets.json)
  local tool=("$dotnet" exec "$managed/vllm-native.dll" bench)
  [[ $wanted != *' kernels '* ]] || measure kernels 150 "${tool[@]}" kernels "${targets[@]}" --json "$results/kernels.json"
  for model in llama-3.1-8b qwen3-0.6b; do
    local config=(--model-config "tests/assets/configs/$model.json" --dtype bfloat16)
    [[ $wanted != *' latency '* ]] ||
      measure "latency $model" 120 "${tool[@]}" latency "${config[@]}" "${targets[@]}" --json "$results/latency-$model.json"
    [[ $wanted != *' throughput '* ]] ||
      measure "throughput $model" 150 "${tool[@]}" throughput "${config[@]}" "${targets[@]}" --max-num-seqs 256 \
        --workload tests/assets/workloads/chat-1000.json --json "$results/throughput-$model.json"
  done
  # What it costs that no result depends on the batch.
  [[ $wanted != *' deterministic '* ]] ||
    measure "latency deterministic" 120 "${tool[@]}" latency --model-config tests/assets/configs/llama-3.1-8b.json --dtype bfloat16 \
      --deterministic --prompt 2048 "${targets[@]}" --json "$results/latency-deterministic.json"
  [[ $wanted == *' peers '* ]] || return 0
  if python3 -c 'import torch' 2>/dev/null; then
    # It stops its parts itself, a little before it would be stopped.
    local left=$((deadline - SECONDS))
    [ "$left" -lt 160 ] || left=160
    measure peers "$left" python3 tests/gpu/peers.py --seconds "$((left - 10))" --out "$results/peers.json"
  else
    echo "peers: python3 has no torch here"
    skipped=$((skipped + 1))
  fi
}

serving() {
  local wanted=" ${VN_GPU_BENCH:-static-rows prefix interference preemption preemption-growth defragment simulation} "
  find_managed || die "serving needs .NET here, or what pack.sh --dotnet packed"
  local tool=("$dotnet" exec "$managed/vllm-native.dll" bench) model=llama-3.1-8b
  local chat=(--workload tests/assets/workloads/chat-1000.json)
  # serve PIECE FILE KIND OPTIONS...: a piece, if it is wanted.
  serve() {
    local piece=$1 file=$2 kind=$3
    shift 3
    [[ $wanted != *" $piece "* ]] ||
      measure "$piece $model" 150 "${tool[@]}" "$kind" --model-config "tests/assets/configs/$model.json" --dtype bfloat16 --device cuda \
        --targets tests/gpu/targets.json "$@" --json "$results/$file-$model.json"
  }
  # Equal KV bytes: all requests in 204 rows; whole batches of rows of 8192 tokens; small batches.
  serve static-rows batching-rows batching "${chat[@]}" --static-rows 204 --static-requests 0 --batch ''
  serve static-len batching-len batching "${chat[@]}" --static-rows 0 --static-requests 1000 --batch ''
  serve sweep batching batching "${chat[@]}" --num-prompts 96 --static-rows 0 --static-requests 0 --batch 1,2,4,8,16,32 --plot "$results/batching-$model.svg"
  serve prefix prefix prefix
  serve interference interference interference
  serve preemption preemption preemption "${chat[@]}" --num-prompts 300
  serve preemption-growth preemption-growth preemption --workload tests/assets/workloads/growth-192.json --pressure 2
  serve defragment defragment defragment
  serve simulation simulation simulation "${chat[@]}" --num-prompts 600
  serve simulation simulation-rate simulation "${chat[@]}" --num-prompts 600 --request-rate 20
}

micro() {
  local program name status left lines
  for program in "$native"/bench_cuda_*; do
    name=$(basename "$program") status=0 left=$((deadline - SECONDS))
    if [ "$left" -gt 5 ]; then
      timeout --kill-after=10 "$left" "$program" >"$scratch/output" 2>>"$log" </dev/null || status=$?
    else
      status=124
      : >"$scratch/output"
    fi
    tee -a "$log" <"$scratch/output"
    lines=$(grep '^{.*}$' "$scratch/output" | paste -sd ,)
    entries+=("{\"program\":\"$name\",\"status\":$status,\"results\":[$lines]}")
    if [ "$status" -ne 0 ]; then
      echo "$name: ended with status $status"
      failed=$((failed + 1))
    elif [[ $lines == *'"skipped"'* ]]; then
      skipped=$((skipped + 1))
    else
      passed=$((passed + 1))
    fi
  done
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ -n "$prebuilt" ]; then take_prebuilt; else build_here; fi
export LD_LIBRARY_PATH="$PWD/$native${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
find_cublas
"$part"
if [ $((passed + failed)) -eq 0 ]; then
  echo "there is a GPU here, and everything was skipped"
  failed=1
fi
# What was packed counts, wherever it runs.
commit=$(cat "$prebuilt/commit" 2>/dev/null || git describe --always --dirty 2>/dev/null)
{
  printf '{"part":"%s","gpu":"%s","driver":"%s","commit":"%s","date":"%s","passed":%d,"failed":%d,"skipped":%d,"programs":[\n' \
    "$part" "$gpu" "$driver" "$commit" "$(date -u +%F)" "$passed" "$failed" "$skipped"
  (IFS=$'\n' && echo "${entries[*]}") | sed '$!s/$/,/'
  echo ']}'
} >"$results/$part.json"
echo "written: $results/$part.json, $log"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
