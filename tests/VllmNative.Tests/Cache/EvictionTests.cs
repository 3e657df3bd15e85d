using VllmNative.Cache;
using VllmNative.Cache.Eviction;
using Xunit;

namespace VllmNative.Tests.Cache;

/// <summary>Which cached blocks give way first.</summary>
public sealed class EvictionTests
{
    [Fact]
    public void Lru_takes_what_was_released_first()
    {
        EvictionOrder order = Filled("lru", (3, 1), (1, 9), (2, 1));
        Assert.Equal([3, 1, 2], Drain(order));
    }

    [Fact]
    public void Lfu_keeps_what_was_hit_often()
    {
        EvictionOrder order = EvictionPolicies.Create("lfu", 4);
        foreach (int block in new[] { 1, 2, 3 })
        {
            order.NoteNew(block);
        }

        order.NoteHit(1);
        order.NoteHit(1);
        order.NoteHit(3);
        Add(order, 1, 2, 3);
        Assert.Equal([2, 3, 1], Drain(order));
    }

    [Fact]
    public void Lfu_forgets_old_uses()
    {
        var order = new LfuEviction(3, halfLife: 10);
        order.NoteNew(1);
        for (int i = 0; i < 8; i++)
        {
            order.NoteHit(1);
        }

        // 100 uses of others later, eight old ones count less than one new one.
        for (int i = 0; i < 100; i++)
        {
            order.NoteHit(0);
        }

        order.NoteNew(2);
        Add(order, 1, 2);
        Assert.Equal([1, 2], Drain(order));
    }

    [Fact]
    public void Length_aware_keeps_long_sequences_but_not_for_ever()
    {
        EvictionOrder order = EvictionPolicies.Create("length-aware", 100);
        foreach ((int block, int chain) in new[] { (1, 64), (2, 2), (3, 8) })
        {
            order.BeginChain();
            order.Add(block, chain);
        }

        Assert.Equal([2, 3, 1], Drain(order));

        // Short ones come and go; what goes raises the worth of what comes, until the long one is next.
        order.BeginChain();
        order.Add(1, 64);
        int gone = 0;
        for (int block = 2; block < 100; block++)
        {
            order.BeginChain();
            order.Add(block, 4);
            int first = order.First;
            order.Remove(first);
            gone++;
            if (first == 1)
            {
                break;
            }
        }

        Assert.InRange(gone, 5, 40);
    }

    [Theory]
    [InlineData("lru")]
    [InlineData("lfu")]
    [InlineData("length-aware")]
    public void The_end_of_a_sequence_goes_before_its_beginning(string policy)
    {
        var pool = new BlockPool(9, policy);
        int[] chain = [.. Enumerable.Range(0, 8).Select(_ => Take(pool))];
        foreach (int block in chain)
        {
            pool.SetIndexed(block);
        }

        foreach (int block in chain)
        {
            pool.NoteHit(block);
        }

        pool.BeginChain();
        foreach (int block in chain.Reverse())
        {
            pool.Release(block, chain.Length);
        }

        Assert.Equal((8, 8), (pool.Free, pool.Cached));
        int[] peeked = new int[3];
        Assert.Equal(3, pool.PeekEvictions(peeked));
        Assert.Equal(chain.Reverse().Take(3), peeked);
        Assert.Equal(chain.Reverse(), chain.Select(_ => Take(pool)));
        Assert.Equal(8, pool.Evictions);
    }

    [Theory]
    [InlineData("lru")]
    [InlineData("lfu")]
    [InlineData("length-aware")]
    public void Cold_blocks_leave_before_others_in_their_own_order(string policy)
    {
        var pool = new BlockPool(9, policy);
        int[] chain = [.. Enumerable.Range(0, 8).Select(_ => Take(pool))];
        Array.ForEach(chain, pool.SetIndexed);
        pool.BeginChain();
        Array.ForEach(chain[..5], block => pool.Release(block));
        Array.ForEach(chain[5..], pool.ReleaseCold);
        // Found, it is as good as any.
        for (int time = 0; time < 2; time++)
        {
            pool.AddReference(chain[6]);
            pool.BeginChain();
            pool.Release(chain[6]);
        }

        int[] order = [chain[5], chain[7], .. chain[..5], chain[6]];
        Assert.Equal(order.Order(), pool.CachedBlocks().Order());
        int[] peeked = new int[8];
        Assert.Equal(8, pool.PeekEvictions(peeked));
        Assert.Equal(order, peeked);
        Assert.Equal((8, 8), (pool.Free, pool.Cached));
        Assert.Equal(order, order.Select(_ => Take(pool)));
        Assert.Equal(8, pool.Evictions);
    }

    [Fact]
    public void Unknown_names_are_refused() => Assert.Throws<ArgumentOutOfRangeException>(() => EvictionPolicies.Create("mru", 4));

    private static EvictionOrder Filled(string policy, params (int Block, int Chain)[] blocks)
    {
        EvictionOrder order = EvictionPolicies.Create(policy, 16);
        foreach ((int block, int chain) in blocks)
        {
            order.BeginChain();
            order.Add(block, chain);
        }

        return order;
    }

    private static void Add(EvictionOrder order, params int[] blocks) => Array.ForEach(blocks, block =>
    {
        order.BeginChain();
        order.Add(block, 1);
    });

    private static List<int> Drain(EvictionOrder order)
    {
        List<int> blocks = [];
        while (order.Count > 0)
        {
            blocks.Add(order.First);
            order.Remove(order.First);
        }

        return blocks;
    }

    private static int Take(BlockPool pool)
    {
        Assert.True(pool.TryTake(out int block, out _));
        return block;
    }
}
