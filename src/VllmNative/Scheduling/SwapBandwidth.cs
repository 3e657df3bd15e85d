using VllmNative.Diagnostics;

namespace VllmNative.Scheduling;

/// <summary>How fast KV blocks move between the device and host memory: what recent transfers took, large ones counting more.</summary>
internal sealed class SwapBandwidth
{
    // About the last ten transfers count.
    private const double Forgetting = 0.9;

    private readonly double _assumed;
    private double _bytes;
    private double _seconds;

    /// <param name="assumedBytesPerSecond">Used until a transfer was measured: without it none would ever be chosen, and so none measured.</param>
    /// <exception cref="VllmException">The rate is not finite or not above 0.</exception>
    internal SwapBandwidth(double assumedBytesPerSecond)
    {
        if (!double.IsFinite(assumedBytesPerSecond) || assumedBytesPerSecond <= 0)
        {
            throw new VllmException(FormattableString.Invariant(
                $"swap bandwidth: assumedBytesPerSecond is {assumedBytesPerSecond}, expected a finite number above 0"));
        }

        _assumed = assumedBytesPerSecond;
    }

    /// <summary>What was assumed before the first transfer.</summary>
    internal double AssumedBytesPerSecond => _assumed;

    /// <summary>Of all transfers that were measured.</summary>
    internal long TotalBytes { get; private set; }

    /// <inheritdoc cref="TotalBytes"/>
    internal double TotalSeconds { get; private set; }

    internal double BytesPerSecond => _seconds > 0 ? _bytes / _seconds : _assumed;

    /// <summary>A transfer ended, in either direction; one without bytes or without a sensible time is ignored.</summary>
    internal void Observe(long bytes, double seconds)
    {
        if (bytes <= 0 || !double.IsFinite(seconds) || seconds <= 0)
        {
            return;
        }

        TotalBytes += bytes;
        TotalSeconds += seconds;
        _bytes = (_bytes * Forgetting) + bytes;
        _seconds = (_seconds * Forgetting) + seconds;
    }
}
