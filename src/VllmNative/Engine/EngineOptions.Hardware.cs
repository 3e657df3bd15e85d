using VllmNative.Diagnostics;

namespace VllmNative.Engine;

public sealed partial record EngineOptions
{
    private const double LargeGpuGiB = 70;

    /// <summary>Settings to start from on the given hardware; change what you know better with <c>with</c>.</summary>
    /// <remarks>
    /// <list type="table">
    /// <listheader><term>Hardware</term><description>What is set, and why</description></listheader>
    /// <item>
    /// <term>GPU of 70 GiB or more</term>
    /// <description>
    /// <see cref="MaxNumBatchedTokens"/> 8192: matrix products are then bound by arithmetic, and a step is still short.
    /// <see cref="MaxNumSeqs"/> 1024: the KV cache has room for that many, and decoding more at once costs little more time.
    /// </description>
    /// </item>
    /// <item>
    /// <term>smaller GPU</term>
    /// <description>
    /// <see cref="MaxNumBatchedTokens"/> 2048: activations grow with it and take their memory from the KV cache, and a slower GPU
    /// is busy with 2048 tokens. <see cref="MaxNumSeqs"/> 256: more would preempt each other.
    /// </description>
    /// </item>
    /// <item>
    /// <term>no GPU</term>
    /// <description>
    /// <see cref="MaxNumBatchedTokens"/> 2048 and <see cref="MaxNumSeqs"/> 256, as by default; <see cref="Threads"/> 0: every core
    /// that this process may use.
    /// </description>
    /// </item>
    /// </list>
    /// Any GPU: <see cref="GpuMemoryUtilization"/> 0.9, since the driver and other processes need some of it, and
    /// <see cref="SwapSpace"/> 4 GiB, so that a long request that is preempted need not be computed again. The rest are the defaults.
    /// </remarks>
    /// <param name="model">As <see cref="Model"/>.</param>
    /// <param name="gpuMemoryGiB">Memory of the GPU in GiB, finite and above 0; without a GPU 0 will do.</param>
    /// <param name="gpuCount">0 = the CPU computes, 1 = a GPU does. One engine uses one GPU: for more make more engines, each with its <see cref="DeviceOrdinal"/>.</param>
    /// <exception cref="VllmException">An argument is outside its range; the message has name, value and range.</exception>
    public static EngineOptions ForHardware(string model, double gpuMemoryGiB, int gpuCount)
    {
        static VllmException Error(FormattableString message) => new("engine options: " + FormattableString.Invariant(message));
        if (string.IsNullOrWhiteSpace(model))
        {
            throw Error($"model is empty, expected a model directory");
        }

        if (gpuCount is not (0 or 1))
        {
            throw Error($"gpuCount is {gpuCount}, expected 0 or 1, since one engine uses one GPU");
        }

        if (!double.IsFinite(gpuMemoryGiB) || gpuMemoryGiB < 0 || (gpuCount == 1 && gpuMemoryGiB == 0))
        {
            throw Error($"gpuMemoryGiB is {gpuMemoryGiB}, expected a finite number above 0, or 0 without a GPU");
        }

        bool gpu = gpuCount == 1;
        bool large = gpu && gpuMemoryGiB >= LargeGpuGiB;
        return new EngineOptions
        {
            Model = model,
            Device = gpu ? DeviceKind.Cuda : DeviceKind.Cpu,
            MaxNumBatchedTokens = large ? 8192 : 2048,
            MaxNumSeqs = large ? 1024 : 256,
            GpuMemoryUtilization = gpu ? KvCacheSizing.DefaultGpuUtilization : null,
            SwapSpace = gpu ? 4 : 0,
        };
    }
}
