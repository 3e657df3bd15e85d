using System.Collections.Concurrent;
using VllmNative.Cache.Disk;
using VllmNative.Tests.Cache.Disk;
using VllmNative.Tests.Execution;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>The disk tier's own thread over a folder that disappears with it. It answers when it likes.</summary>
internal sealed class TemporaryDisk : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly TempDirectory _folder = new();
    private readonly AutoResetEvent _answered = new(false);
    private readonly ConcurrentQueue<string> _log = new();

    /// <param name="host">What it reads and writes.</param>
    /// <param name="blockSize">Tokens in a block.</param>
    /// <param name="blocks">Files that there is room for.</param>
    internal TemporaryDisk(FakeHostBlocks host, int blockSize, int blocks)
    {
        BlockHash fingerprint = DiskHarness.Hash(-blockSize);
        long budget = blocks * DiskEntry.BytesOf(BlockFile.HeaderBytes + host.BlockBytes);
        var store = new DiskBlockStore(Path.Combine(_folder.Path, "root"), fingerprint, host.BlockBytes, budget, _log.Enqueue);
        Thread = new OffloadThread(store, fingerprint, host, blockSize, capacity: 8, () => _answered.Set(), _log.Enqueue);
    }

    internal OffloadThread Thread { get; }

    /// <summary>Waits for an answer, no longer than this; one that nobody waited for counts.</summary>
    internal void Wait(int milliseconds) => _answered.WaitOne(milliseconds);

    internal void WaitForAnswer() => Assert.True(_answered.WaitOne(Patience), "the disk does not answer");

    /// <summary>Ends the thread: afterwards every question has its answer.</summary>
    internal void Stop()
    {
        Thread.Dispose();
        Assert.Empty(_log);
    }

    public void Dispose()
    {
        Thread.Dispose();
        _answered.Dispose();
        _folder.Dispose();
    }
}
