#!/usr/bin/env bash
# Runs test programs that are already built, reads each one's own report file, prints a line of counts for each and as the
# last line "N passed, N failed, N skipped" over all. Fails when a test failed, when a runner ended badly without saying
# which test did, and when no test ran.
#   run-tests.sh SECONDS [ctest:BUILD-FOLDER | dotnet:TEST-ASSEMBLY.dll] ...
set -uo pipefail

deadline=$((SECONDS + $1))
shift
results=$PWD/artifacts/test-results
mkdir -p "$results"
passed=0 failed=0 skipped=0

# The value of an attribute's first occurrence in a report, which is the total of all tests; 0 without a report.
attribute() {
  local text=
  [ ! -f "$1" ] || text=$(head -c 4096 "$1")
  if [[ $text =~ [[:space:]]$2=\"([0-9]+)\" ]]; then echo "${BASH_REMATCH[1]}"; else echo 0; fi
}

# add NAME STATUS PASSED FAILED SKIPPED: a runner that failed without a failed test, or ran none, counts one failure.
add() {
  local name=$1 status=$2 good=$3 bad=$4 left_out=$5
  if [ "$status" -eq 124 ]; then
    echo "$name: stopped, the time was over"
    bad=$((bad + 1))
  elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    echo "$name: ended with status $status and no failed test"
    bad=1
  elif [ $((good + bad + left_out)) -eq 0 ]; then
    echo "$name: no test ran"
    bad=1
  fi
  echo "$name: $good passed, $bad failed, $left_out skipped"
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + left_out))
}

# run COMMAND...: within what is left of the time.
run() {
  local left=$((deadline - SECONDS))
  [ "$left" -gt 0 ] || return 124
  echo "+ $*"
  timeout --kill-after=10 "$left" "$@" </dev/null
}

run_ctest() {
  local folder=$1 report=$results/ctest-${1//\//-}.xml status=0 total bad left_out
  rm -f "$report"
  run ctest --test-dir "$folder" --parallel "$(nproc)" --timeout 300 --output-on-failure --no-tests=error \
    --output-junit "$report" || status=$?
  total=$(attribute "$report" tests)
  bad=$(attribute "$report" failures)
  left_out=$(($(attribute "$report" skipped) + $(attribute "$report" disabled)))
  add "ctest $folder" "$status" $((total - bad - left_out)) "$bad" "$left_out"
}

run_dotnet() {
  local assembly=$1 name report status=0 bad left_out
  name=$(basename "$assembly" .dll)
  report=$results/$name.xml
  rm -f "$report"
  run dotnet exec "$assembly" -noColor -xml "$report" || status=$?
  bad=$(($(attribute "$report" failed) + $(attribute "$report" errors)))
  left_out=$(($(attribute "$report" skipped) + $(attribute "$report" not-run)))
  add "$name" "$status" "$(attribute "$report" passed)" "$bad" "$left_out"
}

for target in "$@"; do
  case $target in
    ctest:*) run_ctest "${target#*:}" ;;
    dotnet:*) run_dotnet "${target#*:}" ;;
    *)
      echo "run-tests.sh: $target is neither ctest:FOLDER nor dotnet:ASSEMBLY" >&2
      exit 2
      ;;
  esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
