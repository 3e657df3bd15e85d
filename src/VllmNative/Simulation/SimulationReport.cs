namespace VllmNative.Simulation;

/// <summary>What a trace recorded, and what its simulation says.</summary>
public sealed record SimulationReport
{
    /// <summary>The model that was served.</summary>
    public required string Model { get; init; }

    /// <summary>The device that computed.</summary>
    public required string Device { get; init; }

    /// <summary>What was measured.</summary>
    public required ServingFigures Recorded { get; init; }

    /// <summary>The recorded engine, simulated: how far this lies from what was measured is how far the simulation can be trusted.</summary>
    public required ServingFigures Replayed { get; init; }

    /// <summary>The engine with the changes asked for, simulated; null = none were.</summary>
    public ServingFigures? Changed { get; init; }

    /// <summary>Steps in the trace.</summary>
    public required int Steps { get; init; }

    /// <summary>
    /// How many steps, from the first one on, the recorded engine plans as it did when its device takes for each step what it took: rows,
    /// tokens and KV blocks in use are the same. Null = the trace lacks steps or requests.
    /// </summary>
    public int? StepsPlannedAlike { get; init; }

    /// <summary>Whether the recorded engine had a tier of the prefix cache on disk, which is not simulated.</summary>
    public required bool HadDiskTier { get; init; }

    /// <summary>Requests that ended before their first token; they are in no figure.</summary>
    public required int LeftOut { get; init; }

    /// <summary>Steps that the recorder had no room for.</summary>
    public required long DroppedSteps { get; init; }

    /// <summary>Requests that the recorder had no room for: they are missing in the simulation.</summary>
    public required long DroppedRequests { get; init; }

    /// <summary>Pins and resets of the prefix cache that it had no room for.</summary>
    public required long DroppedOrders { get; init; }
}
