namespace VllmNative.Benchmarks.Report;

/// <summary>Which of the machine's limits bounds a figure; its unit is GB/s or GFLOP/s then.</summary>
internal enum LimitKind
{
    None,
    Reading,
    MultiplyingBf16,
}
