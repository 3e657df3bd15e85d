using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Models;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>How many KV blocks an engine gets.</summary>
internal static class KvCacheSizing
{
    private const long DefaultCpuBytes = 1L << 30;
    private const double DefaultGpuUtilization = 0.9;

    // What the driver and small buffers take beside the large ones that are counted.
    private const long GpuMargin = 256L << 20;

    /// <summary>Blocks of the pool, the null block included.</summary>
    /// <exception cref="VllmException">There is no room for two; the message has the numbers.</exception>
    internal static int NumBlocks(EngineOptions options, KvGroup group, Device device, DecoderModel model, BatchShape shape)
    {
        if (options.NumBlocksOverride is { } exact)
        {
            return exact;
        }

        long bytes = options.KvCacheMemoryBytes ?? (options.Device == DeviceKind.Cpu ? DefaultCpuBytes : GpuBytes(options, device, model, shape));
        long blocks = bytes / group.BlockBytes;
        if (blocks < 2)
        {
            string source = options.KvCacheMemoryBytes is null && options.Device == DeviceKind.Cuda
                ? $"GpuMemoryUtilization {options.GpuMemoryUtilization ?? DefaultGpuUtilization} leaves {bytes} bytes for the KV cache"
                : $"KvCacheMemoryBytes is {bytes}";
            throw new VllmException($"engine options: {source}, but two KV blocks of {group.BlockBytes} bytes are the least");
        }

        // More than every row at full length would never be used.
        long useful = 1 + ((long)shape.MaxSeqs * shape.MaxBlocks);
        return (int)Math.Min(Math.Min(blocks, useful), int.MaxValue);
    }

    // What utilization leaves when weights and activations are there already and the runner's buffers are still to come.
    private static long GpuBytes(EngineOptions options, Device device, DecoderModel model, BatchShape shape)
    {
        DeviceDescription now = device.Describe();
        long limit = (long)(now.TotalMemory * (options.GpuMemoryUtilization ?? DefaultGpuUtilization));
        long used = now.TotalMemory - now.FreeMemory;
        long logits = (long)shape.MaxLogits * model.Vocabulary * sizeof(float);
        int maxSequence = (int)Math.Min((long)shape.MaxBlocks * shape.BlockSize, int.MaxValue);
        long workspace = model.WorkspaceBytes(device, shape.MaxTokens, shape.MaxLogits, maxSequence) + device.SampleWorkspace(shape.MaxLogits, model.Vocabulary);
        // Logits, their snapshot for log-probabilities, and the counts of penalties.
        return limit - used - (3 * logits) - workspace - GpuMargin;
    }
}
