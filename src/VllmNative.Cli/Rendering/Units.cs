namespace VllmNative.Cli.Rendering;

/// <summary>Quantities in words.</summary>
internal static class Units
{
    internal static string Bytes(long bytes) => bytes switch
    {
        >= 1L << 30 => $"{bytes / (double)(1L << 30):0.0} GiB",
        >= 1L << 20 => $"{bytes / (double)(1L << 20):0.0} MiB",
        >= 1L << 10 => $"{bytes / (double)(1L << 10):0.0} KiB",
        _ => $"{bytes} B",
    };

    internal static string Milliseconds(TimeSpan time) => $"{time.TotalMilliseconds:0.0} ms";

    internal static string Seconds(TimeSpan time) => $"{time.TotalSeconds:0.00} s";

    internal static string Rate(int tokens, TimeSpan time) => $"{(time > TimeSpan.Zero ? tokens / time.TotalSeconds : 0):0.0} tok/s";
}
