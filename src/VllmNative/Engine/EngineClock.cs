namespace VllmNative.Engine;

/// <summary>Seconds since the engine was made: what the scheduler, which has no clock of its own, is told of time.</summary>
internal sealed class EngineClock
{
    private readonly long _started = TimeProvider.System.GetTimestamp();

    internal double Seconds(long timestamp) => TimeProvider.System.GetElapsedTime(_started, timestamp).TotalSeconds;
}
