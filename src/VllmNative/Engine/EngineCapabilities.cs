using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>What an engine was set up to do, after options, model and device were put together.</summary>
public sealed record EngineCapabilities
{
    /// <summary>What computes.</summary>
    public required DeviceDescription Device { get; init; }

    /// <summary>Architecture of the model.</summary>
    public required string Architecture { get; init; }

    /// <summary>Element type of weights and activations.</summary>
    public required ModelDtype Dtype { get; init; }

    /// <summary>Bytes of the weights on the device.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>Where the device's memory went.</summary>
    public required MemoryReport Memory { get; init; }

    /// <summary>Longest prompt and output together, in tokens.</summary>
    public required int MaxModelLen { get; init; }

    /// <summary>Most requests that run at the same time.</summary>
    public required int MaxNumSeqs { get; init; }

    /// <summary>Most tokens that a step computes.</summary>
    public required int MaxNumBatchedTokens { get; init; }

    /// <summary>Whether steps are replayed as recorded graphs; never on the CPU, whatever EnforceEager says.</summary>
    public required bool Graphs { get; init; }

    /// <summary>Whether results never depend on what else is in the batch.</summary>
    public required bool BatchInvariant { get; init; }
}
