using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Models;
using VllmNative.Requests;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>
/// Makes a runner and its KV pools. On a GPU everything else comes first: the longest step and every decode batch are run and
/// recorded on a pool of two blocks, then the real pool takes what is left, and the graphs are recorded anew on it.
/// </summary>
internal static class RunnerSetup
{
    /// <param name="options">Memory and graphs.</param>
    /// <param name="device">What computes.</param>
    /// <param name="elsewhere">Bytes of it that were in use before the model was loaded.</param>
    /// <param name="model">Loaded.</param>
    /// <param name="group">What a KV block holds.</param>
    /// <param name="shape">The largest step.</param>
    internal static (ModelRunner Runner, int NumBlocks, HostBlocks HostBlocks, MemoryReport Memory) Create(
        EngineOptions options, Device device, long elsewhere, DecoderModel model, KvGroup group, BatchShape shape)
    {
        bool gpu = device.Kind == DeviceKind.Cuda;
        int numBlocks = gpu ? 2 : KvCacheSizing.NumBlocks(options, group, shape, null);
        HostBlocks hostBlocks = HostKvSizing.Count(options, group.BlockBytes);
        using var scope = new DisposeScope();
        KvPool kv = scope.Add(new KvPool(device, group, numBlocks));
        HostKvPool? host = HostKvSizing.Allocate(options, device, group, hostBlocks);
        if (host is not null)
        {
            scope.Add(host);
        }

        var runner = new ModelRunner(device, model, kv, shape, host, options.Meters?.DeviceTime, options.LogprobsMode == LogprobsMode.Processed);
        scope.Release();
        try
        {
            MemoryReport memory = ReportOf(options, device, elsewhere, model, runner, kv);
            if (gpu)
            {
                memory = Profile(options, device, runner, memory);
                numBlocks = KvCacheSizing.NumBlocks(options, group, shape, memory);
                kv = new KvPool(device, group, numBlocks);
                runner.Attach(kv);
                if (!options.EnforceEager)
                {
                    runner.RecordGraphs();
                }
            }

            return (runner, numBlocks, hostBlocks, memory with { KvCache = kv.Bytes });
        }
        catch
        {
            runner.DisposeKeepingModel();
            throw;
        }
    }

    private static MemoryReport ReportOf(EngineOptions options, Device device, long elsewhere, DecoderModel model, ModelRunner runner, KvPool kv)
    {
        bool gpu = device.Kind == DeviceKind.Cuda;
        long total = device.Describe().TotalMemory;
        return new MemoryReport
        {
            Total = total,
            Limit = gpu ? (long)(total * (options.GpuMemoryUtilization ?? KvCacheSizing.DefaultGpuUtilization)) : total,
            Elsewhere = elsewhere,
            Weights = model.WeightBytes,
            Activations = model.ActivationBytes,
            StepBuffers = runner.BufferBytes,
            Runtime = 0,
            Graphs = 0,
            Reserved = runner.LazyBytes,
            KvCache = kv.Bytes,
            HostKv = runner.HostKv?.Bytes ?? 0,
        };
    }

    private static MemoryReport Profile(EngineOptions options, Device device, ModelRunner runner, MemoryReport known)
    {
        runner.WarmUp();
        runner.Tune();
        long warm = UsedBytes(device);
        long graphs = 0;
        if (!options.EnforceEager)
        {
            runner.RecordGraphs();
            graphs = UsedBytes(device) - warm;
        }

        long accounted = known.Elsewhere + known.Weights + known.Activations + known.StepBuffers + known.KvCache;
        // The two blocks of the profile make room for the real pool.
        return known with { Runtime = warm - accounted, Graphs = graphs, KvCache = 0 };
    }

    internal static long UsedBytes(Device device)
    {
        DeviceDescription now = device.Describe();
        return now.TotalMemory - now.FreeMemory;
    }
}
