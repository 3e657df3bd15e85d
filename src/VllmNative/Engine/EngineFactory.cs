using VllmNative.Cache;
using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Layers;
using VllmNative.Loading;
using VllmNative.Models;
using VllmNative.Recording;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Tensors;
using VllmNative.Tokenization;

namespace VllmNative.Engine;

/// <summary>Puts an engine together: files, device, weights, KV pool, runner, scheduler. Whatever fails takes all before it down.</summary>
internal static class EngineFactory
{
    private const int DefaultMaxNumSeqs = 256;
    private static readonly TimeSpan DefaultGpuStepTimeout = TimeSpan.FromMinutes(5);

    internal static EngineParts Create(EngineOptions options, IProgress<LoadProgress>? progress)
    {
        options.Validate();
        string configFile = ConfigFileOf(options);
        string directory = Path.GetDirectoryName(Path.GetFullPath(configFile))!;
        ModelConfig config = ModelConfig.Parse(File.ReadAllText(configFile), configFile);
        DecoderSpec spec = ModelRegistry.Describe(config, configFile);
        GenerationConfig generation = GenerationConfig.Load(directory);
        Tokenizer? tokenizer = TokenizerOf(directory, options.LoadFormat);

        DataType type = ModelTypeOf(options.Dtype, config, configFile);
        DataType residualType = ResidualTypeOf(options.ResidualDtype, type, options.Device);
        DataType cacheType = CacheTypeOf(options.KvCacheDtype, type);
        int maxModelLen = MaxModelLenOf(options, config);
        int maxTokens = options.MaxNumBatchedTokens ?? Math.Max(options.MaxNumSeqs ?? 0, options.Device == DeviceKind.Cpu ? 2048 : 8192);
        int maxSeqs = Math.Min(options.MaxNumSeqs ?? DefaultMaxNumSeqs, maxTokens);
        var limits = new SchedulerLimits(maxSeqs, maxTokens, options.LongPrefillTokenThreshold, maxSeqs) { MaxOvertakes = options.MaxOvertakes };

        var scope = new DisposeScope();
        try
        {
            FileStream? trace = options.RecordTo is { } file ? scope.Add(EngineRecorder.CreateFile(file)) : null;
            Device device = scope.Add(Device.Create(options.Device, options.DeviceOrdinal, options.Threads, options.Deterministic));
            bool fp8 = cacheType == DataType.Float8E4M3;
            if (fp8 && !device.Describe().HasFp8)
            {
                throw new VllmException("engine options: KvCacheDtype is Fp8, which the device cannot keep; use another type");
            }

            long elsewhere = device.Kind == DeviceKind.Cuda ? RunnerSetup.UsedBytes(device) : 0;
            (DecoderModel model, KvScales[] scales) = LoadModel(options, directory, device, spec, type, residualType, fp8, maxTokens, progress);
            scope.Add(model);
            var group = new KvGroup(config.NumHiddenLayers, options.BlockSize, config.NumKeyValueHeads, config.HeadDim, config.HeadDim, cacheType) { Scales = scales };
            int maxBlocks = (maxModelLen + group.BlockSize - 1) / group.BlockSize;
            var shape = new BatchShape(maxSeqs, maxTokens, maxSeqs, maxBlocks, group.BlockSize);
            (ModelRunner runner, int numBlocks, HostBlocks hostBlocks, MemoryReport memory) = RunnerSetup.Create(options, device, elsewhere, model, group, shape);
            long weightBytes = model.WeightBytes;
            DeviceDescription description = device.Describe();
            OffloadWorker? offload = StartOffload(options, directory, type, residualType, description, group, runner);
            var worker = new StepWorker(runner, options.Meters?.Device);
            scope.Release();

            limits = limits with { MaxTableUpdates = shape.MaxTableUpdates, MaxLogits = shape.MaxLogits, StaticRowTokens = options.Scheduler == EngineOptions.StaticScheduler ? maxModelLen : 0 };
            var pool = new BlockPool(numBlocks, options.EvictionPolicy);
            Scheduler scheduler = SchedulerOf(options, limits, pool, group, hostBlocks, offload);
            EngineRecorder? recorder = trace is null ? null
                : new EngineRecorder(trace, options.RecordTo!, TraceHeaderOf(options, limits, scheduler, group, hostBlocks, maxModelLen, worker.MaxStepsInFlight), options.Tell);
            return new EngineParts
            {
                Core = new EngineCore(scheduler, pool, worker, limits, StepTimeoutOf(options), options.Meters, offload, recorder),
                Device = device,
                Config = config,
                Generation = generation,
                Tokenizer = tokenizer,
                KvGroup = group,
                NumBlocks = numBlocks,
                HostBlocks = hostBlocks,
                Capabilities = new EngineCapabilities
                {
                    Device = description,
                    Architecture = config.Architectures[0],
                    Dtype = type switch { DataType.BFloat16 => ModelDtype.BFloat16, DataType.Float16 => ModelDtype.Float16, _ => ModelDtype.Float32 },
                    WeightBytes = weightBytes,
                    Memory = memory,
                    MaxModelLen = maxModelLen,
                    MaxNumSeqs = maxSeqs,
                    MaxNumBatchedTokens = maxTokens,
                    Graphs = description.HasGraphs && !options.EnforceEager,
                    BatchInvariant = description.BatchInvariant,
                },
            };
        }
        catch
        {
            scope.Dispose();
            throw;
        }
    }

    private static OffloadWorker? StartOffload(EngineOptions options, string directory, DataType type, DataType residualType, DeviceDescription device, KvGroup group, ModelRunner runner)
    {
        try
        {
            return OffloadWorker.Start(options, directory, type, residualType, device, group, runner.HostKv);
        }
        catch
        {
            runner.DisposeKeepingModel();
            throw;
        }
    }

    private static Scheduler SchedulerOf(EngineOptions options, SchedulerLimits limits, BlockPool pool, KvGroup group, HostBlocks hostBlocks, OffloadWorker? offload)
    {
        // A static batch reserves whole rows, which share nothing.
        bool shares = options.EnablePrefixCaching && limits.StaticRowTokens == 0;
        PrefixCache? prefixes = shares ? new PrefixCache(pool, hostBlocks.Total, group.BlockSize) : null;
        return new Scheduler(limits, new KvCacheManager(pool, group.BlockSize, prefixes), new SchedulerSetup
        {
            Policy = SchedulingPolicies.Create(options.SchedulingPolicy, options.UserWeights),
            Preemption = options.PreemptionMode,
            SwapBlocks = hostBlocks.Swap,
            TierBlocks = shares ? hostBlocks.Offload : 0,
            Disk = offload?.Thread,
            BlockBytes = group.BlockBytes,
            AssumedSwapBandwidth = AssumedSwapBandwidthOf(options),
            TargetInterTokenLatency = options.TargetInterTokenLatency?.TotalSeconds,
        });
    }

    private static double AssumedSwapBandwidthOf(EngineOptions options) => options.Device == DeviceKind.Cuda ? 20e9 : 4e9;

    private static TraceHeader TraceHeaderOf(
        EngineOptions options, SchedulerLimits limits, Scheduler scheduler, KvGroup group, HostBlocks hostBlocks, int maxModelLen, int stepsInFlight) => new()
        {
            Model = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.Model))),
            Device = options.Device.ToString().ToLowerInvariant(),
            NumBlocks = scheduler.Cache.Pool.Total,
            BlockSize = group.BlockSize,
            BlockBytes = group.BlockBytes,
            MaxNumSeqs = limits.MaxNumSeqs,
            MaxNumBatchedTokens = limits.MaxNumBatchedTokens,
            LongPrefillTokenThreshold = limits.LongPrefillTokenThreshold,
            MaxOvertakes = limits.MaxOvertakes,
            MaxModelLen = maxModelLen,
            StaticRowTokens = limits.StaticRowTokens,
            StepsInFlight = stepsInFlight,
            SchedulingPolicy = options.SchedulingPolicy,
            UserWeights = options.UserWeights,
            EvictionPolicy = options.EvictionPolicy,
            PreemptionMode = options.PreemptionMode,
            SwapBlocks = hostBlocks.Swap,
            OffloadBlocks = hostBlocks.Offload,
            DiskTier = scheduler.Disk is not null,
            AssumedSwapBandwidth = AssumedSwapBandwidthOf(options),
            PrefixCaching = scheduler.Cache.Prefixes is not null,
            TargetInterTokenLatency = options.TargetInterTokenLatency?.TotalSeconds,
        };

    private static TimeSpan? StepTimeoutOf(EngineOptions options) =>
        options.StepTimeout ?? (options.Device == DeviceKind.Cuda ? DefaultGpuStepTimeout : null);

    private static string ConfigFileOf(EngineOptions options)
    {
        if (Directory.Exists(options.Model))
        {
            string file = Path.Combine(options.Model, "config.json");
            return File.Exists(file) ? file : throw new ModelFormatException(options.Model, null, "has no config.json: not a model directory");
        }

        if (options.LoadFormat == LoadFormat.Dummy && File.Exists(options.Model))
        {
            return options.Model;
        }

        throw new ModelFormatException(options.Model, null, File.Exists(options.Model) ? "is a file, expected a model directory" : "no such model directory");
    }

    private static Tokenizer? TokenizerOf(string directory, LoadFormat format)
    {
        bool there = File.Exists(Path.Combine(directory, "tokenizer.json"));
        return there && format != LoadFormat.Dummy ? Tokenizer.FromDirectory(directory) : null;
    }

    private static DataType ModelTypeOf(ModelDtype dtype, ModelConfig config, string file) => dtype switch
    {
        ModelDtype.Float32 => DataType.Float32,
        ModelDtype.Float16 => DataType.Float16,
        ModelDtype.BFloat16 => DataType.BFloat16,
        _ => config.Dtype switch
        {
            "bfloat16" => DataType.BFloat16,
            "float16" => DataType.Float16,
            "float32" or "auto" => DataType.Float32,
            _ => throw new ModelFormatException(file, "dtype", $"is \"{config.Dtype}\", supported are float32, float16, bfloat16"),
        },
    };

    private static int MaxModelLenOf(EngineOptions options, ModelConfig config)
    {
        if (options.MaxModelLen > config.MaxPositionEmbeddings)
        {
            throw new VllmException($"engine options: MaxModelLen is {options.MaxModelLen}, the model's context is {config.MaxPositionEmbeddings} tokens");
        }

        return options.MaxModelLen ?? config.MaxPositionEmbeddings;
    }

    private static (DecoderModel Model, KvScales[] Scales) LoadModel(
        EngineOptions options, string directory, Device device, DecoderSpec spec, DataType type, DataType residualType, bool fp8Cache, int maxTokens, IProgress<LoadProgress>? progress)
    {
        if (options.LoadFormat == LoadFormat.Dummy)
        {
            return (new DecoderBuilder(device, spec, type, residualType, new DummyParameters(device, type, (ulong)options.Seed), maxTokens).Build(), []);
        }

        using WeightMap weights = WeightMap.Open(directory);
        KvScales[] scales = fp8Cache ? KvScaleReader.Read(weights, spec.Config.NumHiddenLayers) : [];
        var source = new CheckpointParameters(device, type, weights, progress);
        DecoderModel model = new DecoderBuilder(device, spec, type, residualType, source, maxTokens).Build();
        try
        {
            source.RequireAllUsed(spec.Config.TieWordEmbeddings);
            return (model, scales);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>What the residual stream is kept in. f16 is not taken unasked: large activations of some models leave its range.</summary>
    internal static DataType ResidualTypeOf(ResidualDtype dtype, DataType modelType, DeviceKind device) => dtype switch
    {
        ResidualDtype.Model => modelType,
        ResidualDtype.Auto when device == DeviceKind.Cuda && modelType == DataType.BFloat16 => modelType,
        _ => DataType.Float32,
    };

    private static DataType CacheTypeOf(KvCacheDtype dtype, DataType modelType) => dtype switch
    {
        KvCacheDtype.Float32 => DataType.Float32,
        KvCacheDtype.Float16 => DataType.Float16,
        KvCacheDtype.BFloat16 => DataType.BFloat16,
        KvCacheDtype.Fp8 => DataType.Float8E4M3,
        _ => modelType,
    };
}
