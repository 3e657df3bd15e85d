using System.Globalization;
using System.Text;

namespace VllmNative.Engine;

/// <summary>Where a device's memory went, in bytes.</summary>
public sealed record MemoryReport
{
    /// <summary>All that the device has.</summary>
    public required long Total { get; init; }

    /// <summary>What this engine may use together with what was in use before: GpuMemoryUtilization of the total; on the CPU the total.</summary>
    public required long Limit { get; init; }

    /// <summary>In use before the engine took anything: other processes and the driver's context. Not known on the CPU.</summary>
    public required long Elsewhere { get; init; }

    /// <summary>The model's parameters.</summary>
    public required long Weights { get; init; }

    /// <summary>Intermediate results of the largest step.</summary>
    public required long Activations { get; init; }

    /// <summary>Inputs and outputs of a step, logits, workspaces of operations.</summary>
    public required long StepBuffers { get; init; }

    /// <summary>Loaded kernels, libraries and what allocations were rounded up by; measured on a GPU, not known on the CPU.</summary>
    public required long Runtime { get; init; }

    /// <summary>Recorded graphs.</summary>
    public required long Graphs { get; init; }

    /// <summary>Kept free for what the first request with penalties or log-probabilities needs.</summary>
    public required long Reserved { get; init; }

    /// <summary>The KV blocks.</summary>
    public required long KvCache { get; init; }

    /// <summary>KV blocks in host memory: a GPU's are pinned, and lie beside all that is counted here.</summary>
    public required long HostKv { get; init; }

    /// <summary>What is left of the limit.</summary>
    public long Unused => Limit - Elsewhere - Weights - Activations - StepBuffers - Runtime - Graphs - Reserved - KvCache;

    /// <summary>One line for each use, in GiB.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        void Line(string name, long bytes) =>
            text.Append(CultureInfo.InvariantCulture, $"{name,-14}{bytes / (double)(1L << 30),9:F3} GiB").Append('\n');
        Line("total", Total);
        Line("limit", Limit);
        Line("elsewhere", Elsewhere);
        Line("weights", Weights);
        Line("activations", Activations);
        Line("step buffers", StepBuffers);
        Line("runtime", Runtime);
        Line("graphs", Graphs);
        Line("reserved", Reserved);
        Line("KV cache", KvCache);
        Line("unused", Unused);
        Line("host KV", HostKv);
        return text.ToString().TrimEnd();
    }
}
