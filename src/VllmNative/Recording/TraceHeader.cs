using System.Collections.ObjectModel;
using VllmNative.Scheduling;

namespace VllmNative.Recording;

/// <summary>The engine that a trace was taken from, as far as scheduling depends on it.</summary>
internal sealed record TraceHeader
{
    /// <summary>Says what kind of file a trace is, and in which version.</summary>
    internal const string Schema = "vllm-native-trace/1";

    /// <summary>Name of the model, without where it lies.</summary>
    internal required string Model { get; init; }

    internal required string Device { get; init; }

    /// <summary>KV blocks, the null block included.</summary>
    internal required int NumBlocks { get; init; }

    internal required int BlockSize { get; init; }

    internal long BlockBytes { get; init; }

    internal required int MaxNumSeqs { get; init; }

    internal required int MaxNumBatchedTokens { get; init; }

    internal int LongPrefillTokenThreshold { get; init; }

    internal int MaxOvertakes { get; init; } = 16;

    internal required int MaxModelLen { get; init; }

    /// <summary>See <see cref="SchedulerLimits.StaticRowTokens"/>.</summary>
    internal int StaticRowTokens { get; init; }

    internal int StepsInFlight { get; init; } = 1;

    internal required string SchedulingPolicy { get; init; }

    /// <summary>By user, which a trace knows as a number.</summary>
    internal IReadOnlyDictionary<string, double> UserWeights { get; init; } = ReadOnlyDictionary<string, double>.Empty;

    internal required string EvictionPolicy { get; init; }

    internal PreemptionMode PreemptionMode { get; init; }

    /// <summary>Host blocks for swapped requests.</summary>
    internal int SwapBlocks { get; init; }

    /// <summary>Host blocks of the prefix cache.</summary>
    internal int OffloadBlocks { get; init; }

    /// <summary>Whether the prefix cache had a tier on disk, of which a trace says no more.</summary>
    internal bool DiskTier { get; init; }

    /// <summary>Tokens that the KV cache holds.</summary>
    internal long PoolTokens => (NumBlocks - 1L) * BlockSize;

    /// <summary>Tokens that one request can have in the KV cache.</summary>
    internal long RequestTokens => StaticRowTokens > 0 ? Math.Min(StaticRowTokens, PoolTokens) : PoolTokens;

    /// <summary>Whether requests share blocks: a static batch reserves whole rows, which share nothing.</summary>
    internal bool SharesPrefixes => PrefixCaching && StaticRowTokens == 0;

    /// <summary>Host blocks that the prefix index knows of: it numbers the tier's behind those for swapped requests.</summary>
    internal int IndexedHostBlocks => OffloadBlocks > 0 ? SwapBlocks + OffloadBlocks : 0;

    /// <summary>In bytes a second, until it was measured.</summary>
    internal double AssumedSwapBandwidth { get; init; } = 2e9;

    internal bool PrefixCaching { get; init; }

    /// <summary>In seconds; null = there was none.</summary>
    internal double? TargetInterTokenLatency { get; init; }
}
