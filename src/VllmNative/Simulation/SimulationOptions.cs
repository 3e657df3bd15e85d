using VllmNative.Cache.Eviction;
using VllmNative.Diagnostics;
using VllmNative.Recording;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;

namespace VllmNative.Simulation;

/// <summary>What a simulated engine does otherwise than the recorded one; null = as recorded.</summary>
public sealed record SimulationOptions
{
    private const double Gibibyte = 1L << 30;

    /// <summary>"fcfs", "priority", "fair" or "shortest-predicted".</summary>
    public string? SchedulingPolicy { get; init; }

    /// <summary>"lru", "lfu" or "length-aware".</summary>
    public string? EvictionPolicy { get; init; }

    /// <summary>"auto", "recompute" or "swap".</summary>
    public string? PreemptionMode { get; init; }

    /// <summary>Most requests that run at the same time, 1..65536.</summary>
    public int? MaxNumSeqs { get; init; }

    /// <summary>Most tokens that a step computes, 1..1048576.</summary>
    public int? MaxNumBatchedTokens { get; init; }

    /// <summary>KV blocks, the null block included, 2 or more.</summary>
    public int? NumBlocks { get; init; }

    /// <summary>GiB of host memory for the KV blocks of preempted requests, 0 or more.</summary>
    public double? SwapSpace { get; init; }

    /// <summary>GiB of host memory for the prefix cache, 0 or more.</summary>
    public double? KvOffloadSpace { get; init; }

    /// <summary>What blocks are copied with between device and host, in GB (10^9 bytes) a second, 0.001..10000.</summary>
    public double? HostBandwidth { get; init; }

    /// <summary>Whether requests share the KV blocks of common beginnings.</summary>
    public bool? PrefixCaching { get; init; }

    /// <summary>The pause between two tokens that requests should not exceed, in seconds, above 0 and at most 60; 0 = off.</summary>
    public double? TargetInterTokenLatency { get; init; }

    /// <summary><see cref="HostBandwidth"/> in bytes.</summary>
    internal double? BytesPerSecond => 1e9 * HostBandwidth;

    /// <summary>The recorded engine with these changes.</summary>
    /// <exception cref="VllmException">Lists every value that is out of range.</exception>
    internal TraceHeader Apply(TraceHeader recorded)
    {
        List<string> errors = [];
        void Require(bool holds, FormattableString message)
        {
            if (!holds)
            {
                errors.Add(FormattableString.Invariant(message));
            }
        }

        long mostBlocks = Math.Min(TraceReader.MaxKvTokens / recorded.BlockSize, TraceReader.MaxBlocks);
        Require(SchedulingPolicy is null || SchedulingPolicies.Names.Contains(SchedulingPolicy), $"SchedulingPolicy is \"{SchedulingPolicy}\", expected one of {string.Join(", ", SchedulingPolicies.Names)}");
        Require(EvictionPolicy is null || EvictionPolicies.Names.Contains(EvictionPolicy), $"EvictionPolicy is \"{EvictionPolicy}\", expected one of {string.Join(", ", EvictionPolicies.Names)}");
        Require(PreemptionMode is null || TraceNames.PreemptionModes.Contains(PreemptionMode), $"PreemptionMode is \"{PreemptionMode}\", expected one of {string.Join(", ", TraceNames.PreemptionModes)}");
        Require(MaxNumSeqs is null or (>= 1 and <= 65536), $"MaxNumSeqs is {MaxNumSeqs}, expected 1..65536");
        Require(MaxNumBatchedTokens is null or (>= 1 and <= 1 << 20), $"MaxNumBatchedTokens is {MaxNumBatchedTokens}, expected 1..{1 << 20}");
        Require(NumBlocks is null || (NumBlocks >= 2 && NumBlocks <= mostBlocks), $"NumBlocks is {NumBlocks}, expected 2..{mostBlocks}");
        Require((SwapSpace is null or 0 && KvOffloadSpace is null or 0) || recorded.BlockBytes > 0, $"SwapSpace is {SwapSpace ?? 0} GiB and KvOffloadSpace {KvOffloadSpace ?? 0} GiB, but the trace does not say how large a block is");
        double mostSpace = TraceReader.MaxBlocks * (double)recorded.BlockBytes / Gibibyte;
        Require(SwapSpace is null || (SwapSpace >= 0 && SwapSpace <= mostSpace), $"SwapSpace is {SwapSpace} GiB, expected 0..{mostSpace:0.###}");
        Require(KvOffloadSpace is null || (KvOffloadSpace >= 0 && KvOffloadSpace <= mostSpace), $"KvOffloadSpace is {KvOffloadSpace} GiB, expected 0..{mostSpace:0.###}");
        Require(HostBandwidth is null or (>= 0.001 and <= 10_000), $"HostBandwidth is {HostBandwidth} GB/s, expected 0.001..10000");
        Require(TargetInterTokenLatency is null or 0 or (>= 1e-6 and <= 60), $"TargetInterTokenLatency is {TargetInterTokenLatency} s, expected 0 or 0.000001..60");
        if (errors.Count > 0)
        {
            throw new VllmException("simulation options: " + string.Join("; ", errors));
        }

        TraceHeader changed = With(recorded);
        long tokens = ((long)changed.NumBlocks + changed.IndexedHostBlocks) * changed.BlockSize;
        return tokens <= TraceReader.MaxKvTokens ? changed : throw new VllmException(FormattableString.Invariant(
            $"simulation options: {changed.NumBlocks} blocks and {changed.IndexedHostBlocks} of the prefix cache in host memory hold {tokens} tokens, expected at most {TraceReader.MaxKvTokens} (NumBlocks, KvOffloadSpace)"));
    }

    private TraceHeader With(TraceHeader recorded)
    {
        int seqs = MaxNumSeqs ?? recorded.MaxNumSeqs;
        int BlocksOf(double gibibytes) => (int)(gibibytes * Gibibyte / Math.Max(recorded.BlockBytes, 1));
        return recorded with
        {
            SchedulingPolicy = SchedulingPolicy ?? recorded.SchedulingPolicy,
            EvictionPolicy = EvictionPolicy ?? recorded.EvictionPolicy,
            PreemptionMode = PreemptionMode is { } mode ? TraceNames.PreemptionMode(mode) : recorded.PreemptionMode,
            MaxNumSeqs = Math.Min(seqs, MaxNumBatchedTokens ?? Math.Max(seqs, recorded.MaxNumBatchedTokens)),
            MaxNumBatchedTokens = MaxNumBatchedTokens ?? Math.Max(seqs, recorded.MaxNumBatchedTokens),
            NumBlocks = NumBlocks ?? recorded.NumBlocks,
            SwapBlocks = SwapSpace is { } space ? BlocksOf(space) : recorded.SwapBlocks,
            OffloadBlocks = KvOffloadSpace is { } offload ? BlocksOf(offload) : recorded.OffloadBlocks,
            PrefixCaching = PrefixCaching ?? recorded.PrefixCaching,
            TargetInterTokenLatency = TargetInterTokenLatency is { } target ? (target > 0 ? target : null) : recorded.TargetInterTokenLatency,
        };
    }
}
