using VllmNative.Cache.Disk;
using VllmNative.Diagnostics;
using VllmNative.Loading;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>The disk tier's thread, with what it works on: the model's fingerprint and the host pool's memory.</summary>
internal sealed class OffloadWorker : IDisposable
{
    // Each open job holds host blocks; more would only age in the queue.
    private const int OpenJobs = 64;

    private ManualResetEventSlim? _news;

    private OffloadWorker(EngineOptions options, BlockHash fingerprint, KvGroup group, HostKvPool host)
    {
        long budget = (long)(options.KvOffloadDiskSpace * (1L << 30));
        var store = new DiskBlockStore(options.KvOffloadDirectory!, fingerprint, checked((int)group.BlockBytes), budget, options.Tell);
        Thread = new OffloadThread(store, fingerprint, new Memory(host), group.BlockSize, OpenJobs, Wake, options.Tell);
    }

    internal OffloadThread Thread { get; }

    /// <summary>Starts the thread; null when the options name no directory.</summary>
    internal static OffloadWorker? Start(EngineOptions options, string modelDirectory, DataType type, DataType residualType, DeviceDescription device, KvGroup group, HostKvPool? host)
    {
        if (options.KvOffloadDirectory is null)
        {
            return null;
        }

        if (host is null || !Directory.Exists(options.Model))
        {
            throw new VllmException($"engine options: KvOffloadDirectory is \"{options.KvOffloadDirectory}\", which needs a model directory and KvOffloadSpace above 0");
        }

        var fingerprint = new ModelFingerprint
        {
            Checkpoint = options.LoadFormat == LoadFormat.Dummy ? CheckpointDigest.ComputeDummy(modelDirectory, options.Seed) : CheckpointDigest.Compute(modelDirectory),
            ModelDtype = type.ToString(),
            ResidualDtype = residualType.ToString(),
            KvCacheDtype = group.Type.ToString(),
            BlockSize = group.BlockSize,
            BlockBytes = group.BlockBytes,
            Backend = $"{device.Kind} {device.CapabilityName}",
            Deterministic = options.Deterministic,
        };
        return new OffloadWorker(options, fingerprint.Compute(), group, host);
    }

    /// <summary>Whom results wake from here on.</summary>
    internal void Attach(ManualResetEventSlim news) => Volatile.Write(ref _news, news);

    public void Dispose() => Thread.Dispose();

    private void Wake() => Volatile.Read(ref _news)?.Set();

    private sealed class Memory(HostKvPool host) : IHostBlocks
    {
        public Span<byte> Block(int index) => host.Block(index);
    }
}
