using System.CommandLine;
using VllmNative.Engine;

namespace VllmNative.Cli.Options;

/// <summary>The options that say how an engine is set up; names are vLLM's.</summary>
internal sealed class EngineOptionSet
{
    private static readonly Dictionary<string, ModelDtype> Dtypes = new()
    {
        ["auto"] = ModelDtype.Auto,
        ["float32"] = ModelDtype.Float32,
        ["float"] = ModelDtype.Float32,
        ["float16"] = ModelDtype.Float16,
        ["half"] = ModelDtype.Float16,
        ["bfloat16"] = ModelDtype.BFloat16,
    };

    private static readonly Dictionary<string, ResidualDtype> ResidualDtypes = new()
    {
        ["auto"] = ResidualDtype.Auto,
        ["float32"] = ResidualDtype.Float32,
        ["model"] = ResidualDtype.Model,
    };

    private static readonly Dictionary<string, KvCacheDtype> KvCacheDtypes = new()
    {
        ["auto"] = KvCacheDtype.Auto,
        ["float32"] = KvCacheDtype.Float32,
        ["float16"] = KvCacheDtype.Float16,
        ["bfloat16"] = KvCacheDtype.BFloat16,
        ["fp8"] = KvCacheDtype.Fp8,
        ["fp8_e4m3"] = KvCacheDtype.Fp8,
    };

    private readonly Option<string> _device = new("--device")
    {
        Description = "What computes.",
        DefaultValueFactory = _ => DeviceCatalog.Names[0],
    };

    private readonly Option<string> _dtype = new("--dtype")
    {
        Description = "Element type of weights and activations; auto is the checkpoint's.",
        DefaultValueFactory = _ => "auto",
    };

    private readonly Option<string> _residualDtype = new("--residual-dtype")
    {
        Description = "Element type of the residual stream; auto is bfloat16 for bfloat16 models on a GPU, else float32.",
        DefaultValueFactory = _ => "auto",
    };

    private readonly Option<string> _kvCacheDtype = new("--kv-cache-dtype")
    {
        Description = "Element type of the KV cache; auto is the model's.",
        DefaultValueFactory = _ => "auto",
    };

    private readonly Option<long?> _maxModelLen = NumberOption.Size("--max-model-len", "Longest prompt and output together, in tokens. Default: the model's context.");
    private readonly Option<int?> _blockSize = NumberOption.Integer("--block-size", "Tokens in a KV block. Default: 16.");
    private readonly Option<int?> _maxNumSeqs = NumberOption.Integer("--max-num-seqs", "Most requests that run at the same time. Default: 256.");
    private readonly Option<long?> _maxNumBatchedTokens = NumberOption.Size("--max-num-batched-tokens", "Most tokens that a step computes. Default: 2048 on the CPU, 8192 on a GPU.");
    private readonly Option<long?> _kvCacheMemory = NumberOption.Size("--kv-cache-memory-bytes", "Bytes of the KV cache, such as 512M or 2G. Default: 1G on the CPU, on a GPU what --gpu-memory-utilization leaves.");
    private readonly Option<int?> _threads = NumberOption.Integer("--threads", "CPU threads that compute. Default: one for each core.");
    private readonly Option<double?> _gpuMemory = NumberOption.Fraction("--gpu-memory-utilization", "Fraction of the GPU's memory that may be used. Default: 0.9. Only for GPUs.");
    private readonly Option<double?> _swapSpace = NumberOption.Gibibytes("--swap-space", "GiB of host memory for the KV blocks of preempted requests. Default: 0, they are recomputed.");
    private readonly Option<double?> _kvOffloading = NumberOption.Gibibytes("--kv-offloading-size", "GiB of host memory for the CPU tier of the prefix cache. Default: 0, there is none.");
    private readonly Option<bool> _enforceEager = new("--enforce-eager") { Description = "Never record steps as graphs." };
    private readonly Option<bool> _deterministic = new("--deterministic") { Description = "Results that never depend on what else is in the batch, on a GPU too." };
    private readonly Option<string?> _recordTo = new("--record-to") { Description = "Records requests and steps into this file, for vllm-native simulate; no text goes in.", HelpName = "FILE" };
    private readonly SchedulingOptionSet _scheduling = new();
    private readonly Option<string> _model;
    private readonly Option<long?> _seed;

    internal EngineOptionSet(Option<string> model, Option<long?> seed)
    {
        _model = model;
        _seed = seed;
        _device.AcceptOnlyFromAmong([.. DeviceCatalog.Names]);
        _dtype.AcceptOnlyFromAmong([.. Dtypes.Keys]);
        _residualDtype.AcceptOnlyFromAmong([.. ResidualDtypes.Keys]);
        _kvCacheDtype.AcceptOnlyFromAmong([.. KvCacheDtypes.Keys]);
    }

    internal void AddTo(Command command)
    {
        foreach (Option option in (Option[])[_model, _device, _dtype, _residualDtype, _kvCacheDtype, _maxModelLen, _blockSize, _maxNumSeqs, _maxNumBatchedTokens, _kvCacheMemory, _gpuMemory, _swapSpace, _kvOffloading, _enforceEager, _deterministic, _threads, _recordTo])
        {
            command.Options.Add(option);
        }

        _scheduling.AddTo(command);
    }

    internal EngineOptions Build(ParseResult parsed)
    {
        var defaults = new EngineOptions { Model = parsed.GetRequiredValue(_model) };
        return _scheduling.Apply(parsed, defaults with
        {
            Device = DeviceCatalog.Parse(parsed.GetRequiredValue(_device)),
            Dtype = Dtypes[parsed.GetRequiredValue(_dtype)],
            ResidualDtype = ResidualDtypes[parsed.GetRequiredValue(_residualDtype)],
            KvCacheDtype = KvCacheDtypes[parsed.GetRequiredValue(_kvCacheDtype)],
            MaxModelLen = ToInt(parsed.GetValue(_maxModelLen)),
            BlockSize = parsed.GetValue(_blockSize) ?? defaults.BlockSize,
            MaxNumSeqs = parsed.GetValue(_maxNumSeqs),
            MaxNumBatchedTokens = ToInt(parsed.GetValue(_maxNumBatchedTokens)),
            KvCacheMemoryBytes = parsed.GetValue(_kvCacheMemory),
            GpuMemoryUtilization = parsed.GetValue(_gpuMemory),
            SwapSpace = parsed.GetValue(_swapSpace) ?? defaults.SwapSpace,
            KvOffloadSpace = parsed.GetValue(_kvOffloading) ?? defaults.KvOffloadSpace,
            EnforceEager = parsed.GetValue(_enforceEager),
            Deterministic = parsed.GetValue(_deterministic),
            Threads = parsed.GetValue(_threads) ?? defaults.Threads,
            Seed = parsed.GetValue(_seed) ?? defaults.Seed,
            RecordTo = parsed.GetValue(_recordTo),
        });
    }

    // Anything larger is refused by the options' own check, by name and range.
    private static int? ToInt(long? value) => value is { } given ? (int)Math.Min(given, int.MaxValue) : null;
}
