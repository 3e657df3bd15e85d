using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Steps;
using Xunit;

namespace VllmNative.Tests.Cache;

/// <summary>Blocks as numbers: who is free, who owns what.</summary>
public sealed class BlockPoolTests
{
    [Fact]
    public void Every_block_but_the_null_block_is_handed_out_once()
    {
        var pool = new BlockPool(5);
        Assert.Equal([1, 2, 3, 4], TakeAll(pool));
        Assert.False(pool.TryTake(out _, out _));
        Assert.Equal((0, 4), (pool.Free, pool.Used));
    }

    [Fact]
    public void What_was_freed_first_is_reused_first()
    {
        var pool = new BlockPool(5);
        TakeAll(pool);
        foreach (int block in new[] { 3, 1, 4 })
        {
            pool.Release(block);
        }

        Assert.Equal([3, 1, 4], TakeAll(pool));
    }

    [Fact]
    public void A_block_with_two_owners_is_free_after_both_let_go()
    {
        var pool = new BlockPool(3);
        pool.TryTake(out int block, out _);
        pool.AddReference(block);
        pool.Release(block);
        Assert.Equal((1, 1), (pool.Used, pool.ReferencesOf(block)));
        pool.Release(block);
        Assert.Equal((0, 0), (pool.Used, pool.ReferencesOf(block)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0)]
    [InlineData(-1)]
    public void A_pool_without_a_usable_block_is_refused(int total) => Assert.Throws<ArgumentOutOfRangeException>(() => new BlockPool(total));

    [Fact]
    public void Random_owners_keep_the_invariants()
    {
        Seeds.Each(50, seed =>
        {
            var random = new Random(seed);
            var pool = new BlockPool(random.Next(2, 40));
            List<Request> owners = [.. Enumerable.Range(0, 6).Select(i => NewRequest(i))];
            for (int i = 0; i < 300; i++)
            {
                Request request = owners[random.Next(owners.Count)];
                Request other = owners[random.Next(owners.Count)];
                switch (random.Next(3))
                {
                    case 0 when request.BlockCount < request.Blocks.Length && pool.TryTake(out int block, out _):
                        request.Blocks[request.BlockCount++] = block;
                        break;
                    case 1 when request.BlockCount > 0:
                        pool.Release(request.Blocks[--request.BlockCount]);
                        break;
                    case 2 when other.BlockCount > 0 && request.BlockCount < request.Blocks.Length:
                        pool.AddReference(other.Blocks[0]);
                        request.Blocks[request.BlockCount++] = other.Blocks[0];
                        break;
                }

                CacheInvariants.Check(pool, owners);
            }
        });
    }

    [Fact]
    public void The_invariants_notice_leaks_and_false_owners()
    {
        var pool = new BlockPool(4);
        pool.TryTake(out int block, out _);
        Assert.Contains($"block {block} has 0 owners", Broken(pool, []), StringComparison.Ordinal);
        Request owner = NewRequest(1);
        owner.Blocks[owner.BlockCount++] = block;
        CacheInvariants.Check(pool, [owner]);
        owner.Blocks[owner.BlockCount++] = block;
        Assert.Contains($"block {block} has 2 owners", Broken(pool, [owner]), StringComparison.Ordinal);
        owner.Blocks[1] = 3;
        Assert.Contains("block 3 has 1 owners, the count says 0", Broken(pool, [owner]), StringComparison.Ordinal);
    }

    [Fact]
    public void A_request_grows_by_what_it_lacks_or_not_at_all()
    {
        var pool = new BlockPool(5);
        var cache = new KvCacheManager(pool, blockSize: 4);
        var plan = new StepPlan(4, 64);
        Request request = NewRequest(1);
        request.Row = 2;
        Assert.True(cache.TryGrow(request, 5, plan));
        Assert.Equal([new TableUpdate(0, 2, 0, 1), new TableUpdate(0, 2, 1, 2)], plan.TableUpdates.Span.ToArray());
        Assert.True(cache.TryGrow(request, 8, plan));
        Assert.Equal((2, 2), (request.BlockCount, plan.TableUpdates.Count));
        Assert.False(cache.TryGrow(request, 17, plan));
        Assert.Equal((2, 2, 2), (request.BlockCount, plan.TableUpdates.Count, pool.Free));
        Assert.True(cache.TryGrow(request, 9, plan));
        cache.Free(request);
        // The end of the sequence goes before its beginning.
        Assert.Equal([4, 3, 2, 1], TakeAll(pool));
    }

    private static string Broken(BlockPool pool, Request[] owners) => Assert.Throws<InvalidOperationException>(() => CacheInvariants.Check(pool, owners)).Message;

    private static Request NewRequest(long id) => new(id, [1, 2], SamplingParams.Greedy, 30, [], blockSize: 4, seed: 0);

    private static int[] TakeAll(BlockPool pool)
    {
        List<int> taken = [];
        while (pool.TryTake(out int block, out _))
        {
            taken.Add(block);
        }

        return [.. taken];
    }
}
