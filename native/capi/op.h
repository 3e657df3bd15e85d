// The road of every operation through the boundary: copy the params, check them, apply planned faults, call the backend.
#pragma once

#include <string>
#include <utility>

#include "capi/checks.h"
#include "capi/faults.h"
#include "core/guard.h"
#include "core/handles.h"

namespace vn {

// Overwrites row `row` of a result with NaN, through the device's own copy.
void poison_row(vn_stream& stream, const vn_tensor& result, int64_t row);

// check(const Checker&, Params&) throws on a bad argument; result(params) names the tensor that "nan_row" poisons.
template <typename Params, typename Check, typename Result>
int32_t run_op(const char* op, int32_t (*BackendTable::*entry)(void*, const Params*), vn_stream* stream,
               const Params* source, Check&& check, Result&& result) {
  return guard_status([&]() -> int32_t {
    const Checker checker(op);
    checker.pointer("stream", stream);
    Params params = read_struct(op, source);
    check(checker, params);
    vn_device& device = *stream->device;
    const Strike strike = take_strike(device, op);
    require_alive(device, op);
    if (strike.kind == Strike::kFail) fail(static_cast<int32_t>(strike.value), "%s: injected failure", op);
    int32_t status = (device.table->*entry)(stream->impl, &params);
    if (status == VN_OK && strike.kind == Strike::kNanRow) poison_row(*stream, result(params), strike.value);
    if (status == VN_OK && library_options().sync_ops) {
      status = device.table->stream_synchronize(stream->impl);
      if (status != VN_OK) fail(note_status(device, status), "%s: %s", op, std::string(last_error()).c_str());
    }
    return note_status(device, status);
  });
}

template <typename Params, typename Check>
int32_t run_op(const char* op, int32_t (*BackendTable::*entry)(void*, const Params*), vn_stream* stream,
               const Params* source, Check&& check) {
  return run_op(op, entry, stream, source, std::forward<Check>(check), [](const Params&) { return vn_tensor{}; });
}

}  // namespace vn
