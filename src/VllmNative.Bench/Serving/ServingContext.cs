using VllmNative.Bench.Kernels;
using VllmNative.Bench.Results;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;
using VllmNative.Tensors;

namespace VllmNative.Bench.Serving;

/// <summary>An engine to measure, with its meters, and what its device does at best.</summary>
internal sealed class ServingContext : IDisposable
{
    private const string ConfigFile = "config.json";

    private readonly ModelWork? _work;

    private ServingContext(LLM llm, LoopMeters meters, ModelConfig config, DeviceCeilings? ceilings, string model)
    {
        (Llm, Meters, Config, Model) = (llm, meters, config, model);
        _work = ceilings is null ? null : new ModelWork(config, llm.Engine, ceilings);
    }

    internal LLM Llm { get; }

    internal AsyncLlmEngine Engine => Llm.Engine;

    internal LoopMeters Meters { get; }

    internal ModelConfig Config { get; }

    /// <summary>Floors of its steps; only where the device's ceilings were measured.</summary>
    internal ModelWork Work => _work ?? throw new InvalidOperationException("the device's ceilings were not measured");

    /// <summary>The model's name in entries: that of its directory, or of its config file.</summary>
    internal string Model { get; }

    /// <summary>Measures the device's ceilings, then loads the engine.</summary>
    /// <param name="options">What to load.</param>
    /// <param name="run">Gets the ceilings and where the memory went.</param>
    internal static ServingContext Create(EngineOptions options, BenchRun run)
    {
        (ModelConfig config, string name) = Describe(options);
        DeviceCeilings ceilings;
        List<BenchEntry> measured = [];
        using (Device device = Device.Create(options.Device, options.DeviceOrdinal, options.Threads))
        {
            ceilings = DeviceCeilings.Measure(device, DeviceCeilings.PlanOf(device), measured);
        }

        run.AddAll(measured);
        ServingContext context = Load(options, config, ceilings, name);
        run.AddAll(MemoryOf(context.Engine.Capabilities.Memory, name));
        return context;
    }

    /// <summary>Loads an engine whose figures stand beside another engine's, not beside the device's ceilings.</summary>
    internal static ServingContext Open(EngineOptions options)
    {
        (ModelConfig config, string name) = Describe(options);
        return Load(options, config, null, name);
    }

    /// <summary>The model's config and its name in entries; everything that can be checked without the device is.</summary>
    internal static (ModelConfig Config, string Name) Describe(EngineOptions options)
    {
        options.Validate();
        string path = Path.GetFullPath(options.Model);
        string file = Directory.Exists(path) ? Path.Combine(path, ConfigFile) : path;
        if (!File.Exists(file))
        {
            throw new ModelFormatException(options.Model, null, "no such config.json or model directory");
        }

        ModelConfig config = ModelConfig.Parse(File.ReadAllText(file), file);
        string name = NameOf(file) + (options.KvCacheDtype == KvCacheDtype.Auto ? "" : $" with {options.KvCacheDtype} KV") + (options.Deterministic ? ", deterministic" : "");
        if (options.MaxModelLen > config.MaxPositionEmbeddings)
        {
            throw new VllmException($"requests of {options.MaxModelLen} tokens are longer than the context of {name}, which is {config.MaxPositionEmbeddings}");
        }

        return (config, name);
    }

    /// <summary>What the loops' meters say of the steps since they were reset.</summary>
    /// <param name="where">The end of the entries' names.</param>
    internal IEnumerable<BenchEntry> StepCosts(string where)
    {
        if (Meters.EngineTime?.SteadyMicroseconds is { } microseconds)
        {
            yield return BenchEntry.Of($"engine thread, processor time of a step, {where}", microseconds, "us", Better.Lower).AsHeadline();
        }

        if (Meters.DeviceTime is { Steps: > 0 } device)
        {
            yield return BenchEntry.Of($"GPU idle in steady decode, {where}", 100 * device.IdleShare, "%", Better.Lower).AsHeadline();
        }
    }

    public void Dispose() => Llm.Dispose();

    private static ServingContext Load(EngineOptions options, ModelConfig config, DeviceCeilings? ceilings, string name)
    {
        var meters = new LoopMeters
        {
            EngineTime = new ThreadTimeMeter(),
            DeviceTime = options.Device == DeviceKind.Cuda ? new DeviceTimeMeter() : null,
            KvSlots = new KvSlotMeter(),
        };
        return new ServingContext(new LLM(options with { Meters = meters }), meters, config, ceilings, name);
    }

    private static IEnumerable<BenchEntry> MemoryOf(MemoryReport memory, string model)
    {
        BenchEntry Gibibytes(string use, long bytes, Better better = Better.Lower) => BenchEntry.Of($"memory, {use}, {model}", bytes / (double)(1L << 30), "GiB", better);
        return
        [
            Gibibytes("limit", memory.Limit, Better.Higher),
            Gibibytes("elsewhere", memory.Elsewhere),
            Gibibytes("weights", memory.Weights),
            Gibibytes("activations", memory.Activations),
            Gibibytes("step buffers", memory.StepBuffers),
            Gibibytes("runtime", memory.Runtime),
            Gibibytes("graphs", memory.Graphs),
            Gibibytes("reserved", memory.Reserved),
            Gibibytes("KV cache", memory.KvCache, Better.Higher),
            Gibibytes("unused", memory.Unused),
        ];
    }

    private static string NameOf(string file) =>
        Path.GetFileName(file) == ConfigFile ? Path.GetFileName(Path.GetDirectoryName(file)!) : Path.GetFileNameWithoutExtension(file);
}
