using System.Collections.ObjectModel;
using VllmNative.Cache.Eviction;
using VllmNative.Diagnostics;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>How an engine is set up; names and defaults are vLLM's where vLLM has them.</summary>
public sealed partial record EngineOptions
{
    internal const string ContinuousScheduler = "continuous";
    internal const string StaticScheduler = "static";

    private const double MaxHostGibibytes = 65536;

    /// <summary>Directory of a Hugging Face checkpoint; with <see cref="LoadFormat.Dummy"/> a config.json file is enough.</summary>
    public required string Model { get; init; }

    /// <summary>What computes.</summary>
    public DeviceKind Device { get; init; } = DeviceKind.Cpu;

    /// <summary>Which of several GPUs.</summary>
    public int DeviceOrdinal { get; init; }

    /// <summary>CPU threads that compute; 0 = one for each core that this process may use.</summary>
    public int Threads { get; init; }

    /// <summary>Element type of weights and activations.</summary>
    public ModelDtype Dtype { get; init; } = ModelDtype.Auto;

    /// <summary>Element type of the residual stream.</summary>
    public ResidualDtype ResidualDtype { get; init; } = ResidualDtype.Auto;

    /// <summary>Longest prompt and output together, in tokens; null = the model's context.</summary>
    public int? MaxModelLen { get; init; }

    /// <summary>Tokens in a KV block, 1..256.</summary>
    public int BlockSize { get; init; } = 16;

    /// <summary>Most requests that run at the same time; null = 256, or <see cref="MaxNumBatchedTokens"/> if that is less.</summary>
    public int? MaxNumSeqs { get; init; }

    /// <summary>Most tokens that a step computes; null = 2048 on the CPU, 8192 on a GPU.</summary>
    public int? MaxNumBatchedTokens { get; init; }

    /// <summary>Most tokens of one request in a step; 0 = only the step's own bound.</summary>
    public int LongPrefillTokenThreshold { get; init; }

    /// <summary>Fraction of the GPU's memory that this engine may use, (0, 1]; null = 0.9. Only for GPUs.</summary>
    public double? GpuMemoryUtilization { get; init; }

    /// <summary>Bytes of the KV cache; null = 1 GiB on the CPU, on a GPU what <see cref="GpuMemoryUtilization"/> leaves.</summary>
    public long? KvCacheMemoryBytes { get; init; }

    /// <summary>Exact number of KV blocks, the null block included; for tests under memory pressure.</summary>
    public int? NumBlocksOverride { get; init; }

    /// <summary>GiB of host memory for the KV blocks of preempted requests, 0..65536; 0 = they are recomputed.</summary>
    public double SwapSpace { get; init; }

    /// <summary>GiB of host memory for the CPU tier of the prefix cache, 0..65536; 0 = there is none.</summary>
    public double KvOffloadSpace { get; init; }

    /// <summary>Element type of the KV cache.</summary>
    public KvCacheDtype KvCacheDtype { get; init; } = KvCacheDtype.Auto;

    /// <summary>Whether steps are never recorded as graphs; the CPU has none (see <see cref="EngineCapabilities.Graphs"/>).</summary>
    public bool EnforceEager { get; init; }

    /// <summary>
    /// Whether a request's results must be the same bits alone or among others, whole or in chunks, interrupted or not. The CPU's
    /// always are; a GPU then uses one kernel for any batch, which costs speed (see <see cref="EngineCapabilities.BatchInvariant"/>).
    /// </summary>
    public bool Deterministic { get; init; }

    /// <summary>Whether requests share the KV blocks of common beginnings, also with requests that have ended.</summary>
    public bool EnablePrefixCaching { get; init; } = true;

    /// <summary>Which cached blocks give way first: "lru", "lfu" (least frequently used, old uses count less) or "length-aware" (keeps long sequences).</summary>
    public string EvictionPolicy { get; init; } = EvictionPolicies.Default;

    /// <summary>
    /// Who is served first: "fcfs", "priority" (lower <see cref="RequestScheduling.Priority"/> first; a minute of waiting is worth one),
    /// "fair" (users share by weight) or "shortest-predicted".
    /// </summary>
    public string SchedulingPolicy { get; init; } = SchedulingPolicies.Default;

    /// <summary>With policy "fair": weights of users, above 0; who is not named has 1.</summary>
    public IReadOnlyDictionary<string, double> UserWeights { get; init; } = ReadOnlyDictionary<string, double>.Empty;

    /// <summary>How often later requests may be served before one that does not fit; then nobody passes it any more.</summary>
    public int MaxOvertakes { get; init; } = 16;

    /// <summary>
    /// "continuous": requests come and go at every step. "static", a baseline to compare with: a batch runs until its last request has
    /// ended, and each request owns adjacent KV blocks for <see cref="MaxModelLen"/> tokens from its admission to its end.
    /// </summary>
    public string Scheduler { get; init; } = ContinuousScheduler;

    /// <summary>What becomes of the KV blocks of a request that makes room for others.</summary>
    public PreemptionMode PreemptionMode { get; init; } = PreemptionMode.Auto;

    /// <summary>The pause between two tokens that requests should not exceed while long prompts enter; prompts then take as many steps as that needs. Null = off.</summary>
    public TimeSpan? TargetInterTokenLatency { get; init; }

    /// <summary>
    /// Directory in which cached KV blocks are kept beyond this process, for engines with the same model and settings; needs
    /// <see cref="KvOffloadSpace"/>, through which they pass. Null = none. Whoever can write there can change what the model says.
    /// </summary>
    public string? KvOffloadDirectory { get; init; }

    /// <summary>GiB that block files may take in that directory.</summary>
    public double KvOffloadDiskSpace { get; init; } = 16;

    /// <summary>
    /// Told, on any thread and in one line each, of trouble that fails no request: a damaged block file, a full disk. The first of a kind
    /// is told. What it throws is dropped.
    /// </summary>
    public Action<string>? Log { get; init; }

    /// <summary>Which logits log-probabilities are taken from.</summary>
    public LogprobsMode LogprobsMode { get; init; }

    /// <summary>Seed of requests that bring none.</summary>
    public long Seed { get; init; }

    /// <summary>Where weights come from.</summary>
    public LoadFormat LoadFormat { get; init; } = LoadFormat.Safetensors;

    /// <summary>A request that takes longer fails; null = never.</summary>
    public TimeSpan? RequestTimeout { get; init; }

    /// <summary>A request that waits longer for its first step fails; null = never.</summary>
    public TimeSpan? QueueTimeout { get; init; }

    /// <summary>
    /// A step that takes longer means that the device hangs: all requests end and the engine is dead; on CUDA no other engine
    /// can be made in this process. Null = 5 minutes on a GPU, never on the CPU.
    /// </summary>
    public TimeSpan? StepTimeout { get; init; }

    /// <summary>
    /// A file for what the scheduler is asked and what its steps take, to be replayed by `vllm-native simulate`; it is replaced if it
    /// exists. No text, token or name goes in. When the file cannot be written any more, recording ends and <see cref="Log"/> is told. Null =
    /// nothing is recorded.
    /// </summary>
    public string? RecordTo { get; init; }

    /// <summary>Counts what the engine's loops allocate; for tests.</summary>
    internal LoopMeters? Meters { get; init; }

    /// <summary>Tells <see cref="Log"/>.</summary>
    internal void Tell(string line)
    {
        try
        {
            Log?.Invoke(line);
        }
        catch (Exception)
        {
            // The threads that tell have nobody else to tell, and go on.
        }
    }

    /// <summary>Checks everything that does not need the model.</summary>
    /// <exception cref="VllmException">Lists every rule that is broken, with option, value and range.</exception>
    public void Validate()
    {
        List<string> errors = [];
        void Require(bool holds, FormattableString message)
        {
            if (!holds)
            {
                errors.Add(FormattableString.Invariant(message));
            }
        }

        bool cpu = Device == DeviceKind.Cpu;
        Require(!string.IsNullOrWhiteSpace(Model), $"Model is empty, expected a model directory");
        Require(Enum.IsDefined(Device), $"Device is {(int)Device}, expected Cpu or Cuda");
        Require(Enum.IsDefined(Dtype), $"Dtype is {(int)Dtype}, expected Auto, Float32, Float16 or BFloat16");
        Require(Enum.IsDefined(LoadFormat), $"LoadFormat is {(int)LoadFormat}, expected Safetensors or Dummy");
        Require(DeviceOrdinal >= 0, $"DeviceOrdinal is {DeviceOrdinal}, expected 0 or more");
        Require(Threads is >= 0 and <= 1024, $"Threads is {Threads}, expected 0..1024");
        Require(MaxModelLen is null or >= 1, $"MaxModelLen is {MaxModelLen}, expected 1 or more");
        Require(BlockSize is >= 1 and <= 256, $"BlockSize is {BlockSize}, expected 1..256");
        Require(MaxNumSeqs is null or (>= 1 and <= 65536), $"MaxNumSeqs is {MaxNumSeqs}, expected 1..65536");
        Require(MaxNumBatchedTokens is null or (>= 1 and <= 1 << 20), $"MaxNumBatchedTokens is {MaxNumBatchedTokens}, expected 1..{1 << 20}");
        Require(!(MaxNumSeqs > MaxNumBatchedTokens), $"MaxNumSeqs is {MaxNumSeqs}, expected at most MaxNumBatchedTokens, which is {MaxNumBatchedTokens}");
        Require(LongPrefillTokenThreshold >= 0, $"LongPrefillTokenThreshold is {LongPrefillTokenThreshold}, expected 0 or more");
        Require(GpuMemoryUtilization is null or (> 0 and <= 1), $"GpuMemoryUtilization is {GpuMemoryUtilization}, expected above 0 and at most 1");
        Require(!cpu || GpuMemoryUtilization is null, $"GpuMemoryUtilization is {GpuMemoryUtilization}, but the device is the CPU; set KvCacheMemoryBytes instead");
        Require(KvCacheMemoryBytes is null or > 0, $"KvCacheMemoryBytes is {KvCacheMemoryBytes}, expected above 0");
        Require(NumBlocksOverride is null or >= 2, $"NumBlocksOverride is {NumBlocksOverride}, expected 2 or more (one is the null block)");
        Require(SwapSpace is >= 0 and <= MaxHostGibibytes, $"SwapSpace is {SwapSpace} GiB, expected 0..{MaxHostGibibytes}");
        Require(KvOffloadSpace is >= 0 and <= MaxHostGibibytes, $"KvOffloadSpace is {KvOffloadSpace} GiB, expected 0..{MaxHostGibibytes}");
        Require(Enum.IsDefined(ResidualDtype), $"ResidualDtype is {(int)ResidualDtype}, expected Auto, Float32 or Model");
        Require(Enum.IsDefined(KvCacheDtype), $"KvCacheDtype is {(int)KvCacheDtype}, expected Auto, Float32, Float16, BFloat16 or Fp8");
        Require(RequestTimeout is null || RequestTimeout > TimeSpan.Zero, $"RequestTimeout is {RequestTimeout}, expected above zero");
        Require(QueueTimeout is null || QueueTimeout > TimeSpan.Zero, $"QueueTimeout is {QueueTimeout}, expected above zero");
        Require(StepTimeout is null || (StepTimeout > TimeSpan.Zero && StepTimeout <= TimeSpan.FromDays(1)), $"StepTimeout is {StepTimeout}, expected above zero and at most a day");
        Require(EvictionPolicies.Names.Contains(EvictionPolicy), $"EvictionPolicy is \"{EvictionPolicy}\", expected one of {string.Join(", ", EvictionPolicies.Names)}");
        Require(SchedulingPolicies.Names.Contains(SchedulingPolicy), $"SchedulingPolicy is \"{SchedulingPolicy}\", expected one of {string.Join(", ", SchedulingPolicies.Names)}");
        Require(Scheduler is ContinuousScheduler or StaticScheduler, $"Scheduler is \"{Scheduler}\", expected {ContinuousScheduler} or {StaticScheduler}");
        Require(MaxOvertakes is >= 0 and <= 1_000_000, $"MaxOvertakes is {MaxOvertakes}, expected 0..1000000");
        Require(Enum.IsDefined(PreemptionMode), $"PreemptionMode is {(int)PreemptionMode}, expected Auto, Recompute or Swap");
        Require(PreemptionMode != PreemptionMode.Swap || SwapSpace > 0, $"PreemptionMode is Swap, but SwapSpace is {SwapSpace} GiB, expected above 0");
        Require(
            TargetInterTokenLatency is null || (TargetInterTokenLatency > TimeSpan.Zero && TargetInterTokenLatency <= TimeSpan.FromMinutes(1)),
            $"TargetInterTokenLatency is {TargetInterTokenLatency}, expected above zero and at most a minute");
        Require(Enum.IsDefined(LogprobsMode), $"LogprobsMode is {(int)LogprobsMode}, expected Raw or Processed");
        Require(KvOffloadDirectory is null || !string.IsNullOrWhiteSpace(KvOffloadDirectory), $"KvOffloadDirectory is empty, expected a directory or null");
        Require(KvOffloadDirectory is null || KvOffloadSpace > 0, $"KvOffloadDirectory is \"{KvOffloadDirectory}\", but KvOffloadSpace is {KvOffloadSpace} GiB, expected above 0");
        Require(double.IsFinite(KvOffloadDiskSpace) && KvOffloadDiskSpace is > 0 and <= 1 << 20, $"KvOffloadDiskSpace is {KvOffloadDiskSpace} GiB, expected above 0 and at most {1 << 20}");
        Require(KvOffloadSpace == 0 || EnablePrefixCaching, $"KvOffloadSpace is {KvOffloadSpace} GiB, but EnablePrefixCaching is false: there is nothing to offload");
        Require(RecordTo is null || !string.IsNullOrWhiteSpace(RecordTo), $"RecordTo is empty, expected a file");
        foreach ((string user, double weight) in UserWeights)
        {
            Require(double.IsFinite(weight) && weight > 0, $"UserWeights has {weight} for \"{user}\", expected a finite number above 0");
        }

        if (errors.Count > 0)
        {
            throw new VllmException("engine options: " + string.Join("; ", errors));
        }
    }
}
