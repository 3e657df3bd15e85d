using VllmNative.Cache;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Cache;

/// <summary>A prompt may be looked up on any thread; what is found counts as long as it is still there.</summary>
public sealed class PrefixPathTests
{
    private const int BlockSize = 2;

    private readonly BlockPool _pool = new(9);
    private readonly PrefixCache _prefixes;
    private readonly KvCacheManager _cache;

    public PrefixPathTests()
    {
        _prefixes = new PrefixCache(_pool, hostBlocks: 0, BlockSize);
        _cache = new KvCacheManager(_pool, BlockSize, _prefixes);
    }

    [Fact]
    public void What_was_found_before_is_not_looked_up_again()
    {
        Request owner = Compute([1, 2, 3, 4, 5, 6]);
        Request later = Prepare([1, 2, 3, 4, 5, 6, 7]);
        Assert.Equal(3, later.Foreseen!.Nodes.Length);
        // Its hashes would find nothing now.
        Array.Clear(later.BlockHashes);
        Assert.Equal(owner.Blocks[..3], Found(later));
    }

    [Fact]
    public void What_came_since_is_found_too()
    {
        Request owner = Compute([1, 2, 3, 4]);
        Request later = Prepare([1, 2, 3, 4, 5, 6, 7]);
        Assert.Equal(2, later.Foreseen!.Nodes.Length);
        Request further = Compute([1, 2, 3, 4, 5, 6]);
        Assert.Equal([.. owner.Blocks[..2], further.Blocks[2]], Found(later));
    }

    [Fact]
    public void What_is_gone_since_is_not_found()
    {
        Request owner = Compute([1, 2, 3, 4, 5, 6]);
        Request later = Prepare([1, 2, 3, 4, 5, 6, 7]);
        _prefixes.Forget(owner.Blocks[1]);
        Assert.Equal(owner.Blocks[..1], Found(later));
        // Another node takes the place of the one that is gone.
        _cache.Enter(later);
        Request other = Compute([8, 9, 10, 11]);
        Assert.Equal(2, other.NodeCount);
        Assert.Equal(owner.Blocks[..1], Found(later));
    }

    [Fact]
    public void A_beginning_that_was_forgotten_and_began_anew_is_another_one()
    {
        Request owner = Compute([1, 2, 3, 4], salt: "a");
        Request later = Prepare([1, 2, 3, 4, 5], salt: "a");
        Assert.Equal(2, later.Foreseen!.Nodes.Length);
        _prefixes.Reset();
        _cache.Free(owner);
        _cache.Leave(owner);
        Assert.Equal(0, _prefixes.Roots);
        Request again = Compute([1, 2, 3, 4], salt: "a");
        Assert.Equal(again.Blocks[..2], Found(later));
        Assert.Empty(Found(Prepare([1, 2, 3, 4, 5], salt: "b")));
    }

    [Fact]
    public void At_least_one_token_is_left_to_compute()
    {
        Request owner = Compute([1, 2, 3, 4]);
        Assert.Equal(owner.Blocks[..1], Found(Prepare([1, 2, 3, 4])));
    }

    [Fact]
    public void Who_shall_not_read_or_goes_on_from_another_one_foresees_nothing()
    {
        Compute([1, 2, 3, 4]);
        Assert.Null(Prepare([1, 2, 3, 4, 5], scheduling: new RequestScheduling { SkipReadingPrefixCache = true }).Foreseen);
        Request first = Prepare([1, 2, 3, 4, 5]);
        Request second = NewRequest([1, 2, 3, 4, 5], null, first);
        _prefixes.Prepare(second);
        Assert.Null(second.Foreseen);
    }

    // A node's id must never be seen with content that it did not stand for, whatever the one thread that changes the index does meanwhile.
    [Fact]
    public void Other_threads_look_while_the_index_changes()
    {
        const int values = 12;
        const int changes = 200_000;
        // Long blocks that differ at their ends, so that comparing them takes a while.
        const int tokens = 256;
        int[][] content = [.. Enumerable.Range(0, values).Select(value => Enumerable.Repeat(1, tokens - 1).Append(value).ToArray())];
        var index = new PrefixIndex(deviceBlocks: 4, hostBlocks: 0, tokens);
        var root = new PrefixRoot(default, index.NewId());
        // What each id stood for; ids are given out one by one.
        var valueOf = new int[changes + 2];
        bool done = false;
        List<(long Id, int Value)> found = [];
        var reader = new Thread(() =>
        {
            for (int value = 0; !Volatile.Read(ref done); value = (value + 1) % values)
            {
                if (index.FindFromOutside(root.Id, hash: 7, content[value], out long id) != PrefixIndex.None)
                {
                    found.Add((id, value));
                }
            }
        });
        reader.Start();
        // Equal hashes: all nodes are one chain, and each place in it changes its content again and again.
        var random = new Random(1);
        for (int i = 0; i < changes; i++)
        {
            int block = 1 + (i % 3);
            if (i >= 3)
            {
                index.DropDeviceBlock(block);
            }

            int value = random.Next(values);
            int node = index.Add(root.Id, hash: 7, content[value], PrefixIndex.None, root);
            index.SetDeviceBlock(node, block);
            valueOf[index.IdOf(node)] = value;
        }

        Volatile.Write(ref done, true);
        reader.Join();
        Assert.True(found.Count > 1000, $"only {found.Count} were found");
        Assert.DoesNotContain(found, hit => valueOf[hit.Id] != hit.Value);
    }

    private Request Prepare(int[] prompt, string? salt = null, RequestScheduling? scheduling = null)
    {
        Request request = NewRequest(prompt, scheduling ?? new RequestScheduling { CacheSalt = salt }, null);
        _prefixes.Prepare(request);
        return request;
    }

    private Request Compute(int[] prompt, string? salt = null)
    {
        Request request = NewRequest(prompt, new RequestScheduling { CacheSalt = salt }, null);
        _cache.Enter(request);
        Assert.True(_cache.TryGrow(request, request.Length, new Steps.StepPlan(1, 64)));
        request.Scheduled = request.Length;
        _cache.Register(request);
        return request;
    }

    private int[] Found(Request request)
    {
        if (request.PrefixRoot == 0)
        {
            _cache.Enter(request);
        }

        var nodes = new int[_prefixes.Index.Capacity];
        return [.. nodes.Take(_prefixes.Match(request, nodes)).Select(_prefixes.Index.DeviceBlockOf)];
    }

    private static Request NewRequest(int[] prompt, RequestScheduling? scheduling, Request? parent) =>
        new(1, prompt, SamplingParams.Greedy, 4, [], BlockSize, seed: 0, parent) { Scheduling = scheduling ?? RequestScheduling.Default };
}
