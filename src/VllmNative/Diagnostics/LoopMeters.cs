namespace VllmNative.Diagnostics;

/// <summary>Meters of the two loops between which a step goes back and forth; none in a server, a pair in tests and benchmarks.</summary>
internal sealed record LoopMeters
{
    /// <summary>The engine thread's: one iteration of its loop, scheduling to waking readers.</summary>
    internal AllocationMeter Engine { get; } = new();

    /// <summary>The device thread's: one step, from its hand-over to its result.</summary>
    internal AllocationMeter Device { get; } = new();

    /// <summary>The processor time of the engine thread, where somebody asks for it.</summary>
    internal ThreadTimeMeter? EngineTime { get; init; }

    /// <summary>The device's own time, where somebody asks for it: measuring it costs two events a step.</summary>
    internal DeviceTimeMeter? DeviceTime { get; init; }

    /// <summary>What the KV blocks hold, where somebody asks for it: every step looks at every request.</summary>
    internal KvSlotMeter? KvSlots { get; init; }

    internal void Reset()
    {
        KvSlots?.Reset();
        DeviceTime?.Reset();
        EngineTime?.Reset();
        Engine.Reset();
        Device.Reset();
    }
}
