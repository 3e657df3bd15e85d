using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>One device, or the reason why there is none of its kind.</summary>
/// <param name="Kind">Name of the kind: cpu or cuda.</param>
/// <param name="Ordinal">Which of several.</param>
/// <param name="Device">What it is; null when it cannot be used.</param>
/// <param name="Problem">Why it cannot be used; empty when it can.</param>
public sealed record DeviceReport(string Kind, int Ordinal, DeviceDescription? Device, string Problem);
