#!/usr/bin/env bash
# Builds here what a machine with a GPU then only runs, and packs it into .gpu/ (ignored by git):
#   native.tar.xz   libvllm_native.so, libvllm_native_cuda.so, the parity tests and the CUDA micro-benchmarks, stripped
# and with --dotnet, for a machine without .NET:
#   managed.tar.xz  the C# test assemblies and the command line tool, without native libraries, models, symbols and documentation
#   dotnet.tar.xz   the .NET runtime
# The checkout and .gpu together must stay under 60 MiB. There: tests/gpu/run.sh correct --prebuilt .gpu
# Usage: pack.sh [--dotnet]. Environment: VN_BUILD_JOBS (2).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

limit=$((60 << 20))
with_dotnet=
case ${1:-} in
  '') ;;
  --dotnet) with_dotnet=1 ;;
  *)
    echo "pack.sh: unknown option $1" >&2
    exit 2
    ;;
esac

pack() { tar -C "$1" -cf - . | xz -T0 --x86 --lzma2=preset=6 >".gpu/$2"; }

pack_native() {
  local folder=$1 file
  cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DVN_CUDA=ON >/dev/null
  local targets=(vllm_native vllm_native_cuda)
  for file in tests/native/parity_*_test.cpp tests/native/bench_cuda_*.cpp; do
    [ ! -f "$file" ] || targets+=("$(basename "$file" .cpp)")
  done
  cmake --build build -j "${VN_BUILD_JOBS:-2}" --target "${targets[@]}"
  for file in "${targets[@]}"; do
    case $file in
      vllm_native*) install -s "build/native/lib$file.so" "$folder/" ;;
      *) install -s "build/tests/native/$file" "$folder/" ;;
    esac
  done
}

pack_managed() {
  local folder=$1
  dotnet build tests/VllmNative.Tests -c Release --nologo -v quiet
  cp -r artifacts/bin/VllmNative.Tests/release/. "$folder"
  # What native.tar.xz and the checkout have already, and what nothing reads there.
  rm -rf "$folder/runtimes/linux-x64/native" "$folder/models"
  rm -f "$folder"/*.pdb "$folder"/*.xml
}

# Without what debuggers and tracers load, other garbage collectors, and libraries that nothing here uses.
pack_runtime() {
  local home left_out=() file
  for file in libmscordaccore.so libmscordbi.so libcoreclrtraceptprovider.so createdump libclrgc.so libclrgcexp.so \
    Microsoft.VisualBasic.Core.dll System.Private.DataContractSerialization.dll; do
    left_out+=("--exclude=$file")
  done
  home=$(dirname "$(readlink -f "$(command -v dotnet)")")
  tar -C "$home" "${left_out[@]}" -cf - dotnet host shared/Microsoft.NETCore.App | xz -T0 --x86 --lzma2=preset=6 >.gpu/dotnet.tar.xz
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rm -rf .gpu
mkdir -p .gpu "$scratch/native" "$scratch/managed"
git describe --always --dirty >.gpu/commit
pack_native "$scratch/native"
pack "$scratch/native" native.tar.xz
if [ -n "$with_dotnet" ]; then
  pack_managed "$scratch/managed"
  pack "$scratch/managed" managed.tar.xz
  pack_runtime
fi

ls -l .gpu
checkout=$(git ls-files -z --cached --others --exclude-standard | xargs -0 -r stat -c %s -- 2>/dev/null | awk '{ n += $1 } END { print n + 0 }')
packed=$(stat -c %s .gpu/* | awk '{ n += $1 } END { print n }')
echo "checkout $checkout bytes, .gpu $packed bytes, limit $limit"
if [ $((checkout + packed)) -gt "$limit" ]; then
  echo "pack.sh: together they are over the limit" >&2
  exit 1
fi
