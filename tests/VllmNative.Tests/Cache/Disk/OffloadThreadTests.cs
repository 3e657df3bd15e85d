using VllmNative.Cache.Disk;
using Xunit;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>Jobs in, results out: loads before stores, nobody waits, and every job that was taken ends once.</summary>
public sealed class OffloadThreadTests : IDisposable
{
    private const int BlockSize = 4;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly BlockHash Model = DiskHarness.Hash(-7);

    private readonly DiskHarness _disk = new();
    private readonly HostMemory _host = new(16);
    private readonly SemaphoreSlim _woken = new(0);
    private readonly List<OffloadThread> _threads = [];

    public void Dispose()
    {
        _host.Gate.Set();
        _threads.ForEach(thread => thread.Dispose());
        _host.Gate.Dispose();
        _woken.Dispose();
        _disk.Dispose();
    }

    [Fact]
    public void What_was_stored_is_loaded_in_the_next_run()
    {
        OffloadThread first = Start();
        Fill(0, 1, 2);
        Assert.True(first.TryStore(new StoreJob(1, Path(3), PrefixScope.Shared, Blocks((0, 0), (1, 1), (2, 2)))));
        Assert.Equal(new OffloadResult(1, OffloadResultKind.Stored, 3), Next(first));
        first.Dispose();

        OffloadThread second = Start();
        Assert.True(second.TryLoad(new LoadJob(2, Path(5), PrefixScope.Shared, 1, new[] { 5, 6, 7 })));
        Assert.Equal(new OffloadResult(2, OffloadResultKind.Loaded, 2), Next(second));
        Assert.Equal(_host.Bytes(1), _host.Bytes(5));
        Assert.Equal(_host.Bytes(2), _host.Bytes(6));
        Assert.Equal((2L, 1L), (second.Stats.Loaded, second.Stats.Missed));
    }

    [Fact]
    public void A_load_ends_at_the_first_block_that_is_missing()
    {
        OffloadThread thread = Start();
        Fill(0, 1, 2);
        thread.TryStore(new StoreJob(1, Path(4), PrefixScope.Shared, Blocks((0, 0), (1, 1), (3, 2))));
        Assert.Equal(3, Next(thread).Blocks);
        thread.TryLoad(new LoadJob(2, Path(4), PrefixScope.Shared, 0, new[] { 5, 6, 7, 8 }));
        Assert.Equal(2, Next(thread).Blocks);
        thread.TryLoad(new LoadJob(3, Path(4), PrefixScope.Shared, 2, new[] { 5, 6 }));
        Assert.Equal(0, Next(thread).Blocks);
        thread.TryLoad(new LoadJob(4, Path(4), PrefixScope.Shared, 3, new[] { 5 }));
        Assert.Equal(1, Next(thread).Blocks);
    }

    [Fact]
    public void Scopes_and_paths_do_not_share()
    {
        OffloadThread thread = Start();
        Fill(0, 1);
        PrefixScope salted = new(null, "salt");
        thread.TryStore(new StoreJob(1, Path(2), salted, Blocks((0, 0), (1, 1))));
        Next(thread);
        Assert.Equal(2, Loads(salted, Path(2)));
        Assert.Equal(0, Loads(PrefixScope.Shared, Path(2)));
        Assert.Equal(0, Loads(new PrefixScope([1], "salt"), Path(2)));
        int[] other = Path(2);
        other[BlockSize]++;
        Assert.Equal(1, Loads(salted, other));

        int Loads(PrefixScope scope, int[] path)
        {
            Assert.True(thread.TryLoad(new LoadJob(2, path, scope, 0, new[] { 8, 9 })));
            return Next(thread).Blocks;
        }
    }

    [Fact]
    public void Too_many_open_jobs_are_refused_at_once()
    {
        OffloadThread thread = Start(capacity: 2);
        Fill(0);
        _host.Gate.Reset();
        Assert.True(thread.TryStore(Store(1)) && thread.TryStore(Store(2)));
        Assert.False(thread.TryStore(Store(3)));
        Assert.True(thread.TryLoad(Load(4)) && thread.TryLoad(Load(5)));
        Assert.False(thread.TryLoad(Load(6)));
        _host.Gate.Set();
        List<OffloadResult> results = [Next(thread), Next(thread), Next(thread), Next(thread)];
        Assert.Equal([1, 2, 4, 5], results.Select(result => result.Id).Order());
        Assert.False(thread.TryTake(out _));
        Assert.True(thread.TryStore(Store(7)) && thread.TryLoad(Load(8)));
        Assert.Equal([7, 8], new[] { Next(thread).Id, Next(thread).Id }.Order());
    }

    [Fact]
    public void Results_that_nobody_takes_count_as_open()
    {
        OffloadThread thread = Start(capacity: 1);
        Assert.True(thread.TryLoad(Load(1)));
        Assert.True(_woken.Wait(Patience));
        Assert.False(thread.TryLoad(Load(2)));
        Assert.True(thread.TryTake(out _));
        Assert.True(thread.TryLoad(Load(3)));
    }

    [Fact]
    public void A_load_overtakes_stores()
    {
        OffloadThread thread = Start();
        Fill(0);
        _host.Gate.Reset();
        thread.TryStore(new StoreJob(1, Path(3), PrefixScope.Shared, Blocks((0, 0), (1, 0), (2, 0))));
        thread.TryStore(Store(2));
        Assert.True(_host.Entered.Wait(Patience));
        thread.TryLoad(Load(3));
        _host.Gate.Set();
        Assert.Equal([3, 1, 2], new[] { Next(thread).Id, Next(thread).Id, Next(thread).Id });
    }

    [Fact]
    public async Task Dispose_ends_open_jobs_with_what_was_done()
    {
        OffloadThread thread = Start(capacity: int.MaxValue);
        Fill(0);
        _host.Gate.Reset();
        thread.TryStore(new StoreJob(1, Path(3), PrefixScope.Shared, Blocks((0, 0), (1, 0), (2, 0))));
        Assert.True(_host.Entered.Wait(Patience));
        thread.TryStore(Store(2));
        thread.TryLoad(Load(3));
        Task dispose = Task.Run(thread.Dispose);
        while (thread.TryLoad(Load(4)))
        {
            // Until disposal has begun; what came before it is a job like the others.
            Thread.Yield();
        }

        _host.Gate.Set();
        await dispose.WaitAsync(Patience);
        Dictionary<long, int> blocks = [];
        while (thread.TryTake(out OffloadResult result))
        {
            blocks[result.Id] = result.Blocks;
        }

        Assert.True(blocks[1] == 1 && blocks[2] == 0 && blocks[3] == 0, string.Join(' ', blocks));
        Assert.False(thread.TryStore(Store(5)));
        thread.Dispose();
    }

    [Fact]
    public void A_mistake_of_the_caller_ends_that_job_alone()
    {
        OffloadThread thread = Start();
        Fill(0);
        for (int i = 0; i < 2; i++)
        {
            thread.TryStore(new StoreJob(1, Path(2), PrefixScope.Shared, Blocks((0, 0), (1, 99))));
            Assert.Equal(1, Next(thread).Blocks);
        }

        Assert.Equal(1, LoadOne(thread));
        Assert.StartsWith("disk cache: a job failed, as others may without notice: ", Assert.Single(_disk.Log), StringComparison.Ordinal);
    }

    [Fact]
    public void A_disk_that_refuses_ends_jobs_with_nothing()
    {
        File.WriteAllText(_disk.Root, "");
        OffloadThread thread = Start();
        Fill(0);
        thread.TryStore(Store(1));
        Assert.Equal(0, Next(thread).Blocks);
        Assert.Equal(0, LoadOne(thread));
        Assert.Single(_disk.Log);
    }

    [Fact]
    public void Jobs_that_do_not_fit_their_path_are_refused()
    {
        OffloadThread thread = Start();
        Refused("the path has 5 tokens, expected a multiple of 4", () => thread.TryLoad(new LoadJob(1, new int[5], PrefixScope.Shared, 0, new[] { 1 })));
        Refused("blocks 1..2 of the path are asked for, expected 0..1", () => thread.TryLoad(new LoadJob(1, Path(2), PrefixScope.Shared, 1, new[] { 1, 2 })));
        Refused("blocks -1..0 of the path are asked for, expected 0..1", () => thread.TryLoad(new LoadJob(1, Path(2), PrefixScope.Shared, -1, new[] { 1, 2 })));
        Refused("blocks 2..2 of the path are asked for, expected 0..1", () => thread.TryStore(new StoreJob(1, Path(2), PrefixScope.Shared, Blocks((2, 0)))));

        static void Refused(string message, Func<bool> submit) => Assert.Equal(message, Assert.Throws<ArgumentException>(() => submit()).Message);
    }

    [Fact]
    public void The_beginning_of_a_path_is_kept_while_its_end_is_used()
    {
        OffloadThread thread = Start(blocks: 6);
        Fill(0, 1);
        thread.TryStore(new StoreJob(1, Path(2), PrefixScope.Shared, Blocks((0, 0), (1, 1))));
        Assert.Equal(2, Next(thread).Blocks);
        StoreOther(100, 2);

        // The first two blocks are in faster memory: only what follows them is stored.
        thread.TryStore(new StoreJob(2, Path(4), PrefixScope.Shared, Blocks((2, 0), (3, 1))));
        Assert.Equal(2, Next(thread).Blocks);
        StoreOther(200, 2);
        thread.TryLoad(new LoadJob(3, Path(4), PrefixScope.Shared, 0, new[] { 4, 5, 6, 7 }));
        Assert.Equal(4, Next(thread).Blocks);

        void StoreOther(int token, int blocks)
        {
            thread.TryStore(new StoreJob(9, Path(blocks, token), PrefixScope.Shared, Blocks((0, 0), (1, 1))));
            Assert.Equal(blocks, Next(thread).Blocks);
        }
    }

    [Fact]
    public void A_path_loses_its_end_first_whether_stored_or_loaded()
    {
        OffloadThread thread = Start(blocks: 4);
        Fill(0);

        // Several paths, since by chance one may lose its end first anyhow.
        for (int first = 0; first < 5000; first += 1000)
        {
            Assert.Equal(4, Stores(first, 4));
            Assert.Equal(2, Stores(first + 500, 2));
            Assert.Equal(2, Loads(first, 4));
            Assert.Equal(4, Stores(first + 100, 4));
            Assert.Equal(4, Loads(first + 100, 4));
            Assert.Equal(2, Stores(first + 500, 2));
            Assert.Equal(2, Loads(first + 100, 4));
        }

        int Stores(int first, int blocks)
        {
            thread.TryStore(new StoreJob(1, Path(blocks, first), PrefixScope.Shared, Blocks([.. Enumerable.Range(0, blocks).Select(i => (i, 0))])));
            return Next(thread).Blocks;
        }

        int Loads(int first, int blocks)
        {
            thread.TryLoad(new LoadJob(1, Path(blocks, first), PrefixScope.Shared, 0, new[] { 4, 5, 6, 7 }));
            return Next(thread).Blocks;
        }
    }

    private static int[] Path(int blocks, int first = 0) => [.. Enumerable.Range(first, blocks * BlockSize)];

    private static OffloadBlock[] Blocks(params (int Path, int Host)[] blocks) => [.. blocks.Select(block => new OffloadBlock(block.Path, block.Host))];

    private static StoreJob Store(long id) => new(id, Path(1), PrefixScope.Shared, Blocks((0, 0)));

    private static LoadJob Load(long id) => new(id, Path(1), PrefixScope.Shared, 0, new[] { 9 });

    private OffloadThread Start(int capacity = 8, int blocks = 1000)
    {
        OffloadThread thread = new(_disk.Open(blocks), Model, _host, BlockSize, capacity, () => _woken.Release(), _disk.Log.Add);
        _threads.Add(thread);
        return thread;
    }

    private void Fill(params int[] blocks)
    {
        foreach (int block in blocks)
        {
            DiskHarness.Payload(block).CopyTo(_host.Bytes(block), 0);
        }
    }

    private int LoadOne(OffloadThread thread)
    {
        Assert.True(thread.TryLoad(Load(77)));
        return Next(thread).Blocks;
    }

    private OffloadResult Next(OffloadThread thread)
    {
        OffloadResult result;
        while (!thread.TryTake(out result))
        {
            Assert.True(_woken.Wait(Patience), "no result came");
        }

        return result;
    }

    // Blocks while its gate is closed, so that a test decides when the thread goes on.
    private sealed class HostMemory(int blocks) : IHostBlocks
    {
        private readonly byte[][] _blocks = [.. Enumerable.Range(0, blocks).Select(_ => new byte[DiskHarness.BlockBytes])];

        internal ManualResetEventSlim Gate { get; } = new(initialState: true);

        internal SemaphoreSlim Entered { get; } = new(0);

        internal byte[] Bytes(int index) => _blocks[index];

        public Span<byte> Block(int index)
        {
            Entered.Release();
            Gate.Wait();
            return _blocks[index];
        }
    }
}
