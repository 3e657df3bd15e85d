using VllmNative.Cache;
using Xunit;

namespace VllmNative.Tests.Cache;

/// <summary>Nodes are found by their tokens and their parent, and by nothing else.</summary>
public sealed class PrefixIndexTests
{
    private static readonly PrefixRoot Root = new(default, 1_000_000);

    [Fact]
    public void A_node_is_found_behind_its_parent_only()
    {
        PrefixIndex index = NewIndex();
        int first = Add(index, Root.Id, -1, 1, [1, 2]);
        int second = Add(index, index.IdOf(first), first, 2, [3, 4]);
        Assert.Equal(first, Find(index, Root.Id, [1, 2]));
        Assert.Equal(second, Find(index, index.IdOf(first), [3, 4]));
        Assert.Equal(-1, Find(index, Root.Id, [3, 4]));
        Assert.Equal(-1, Find(index, index.IdOf(second), [3, 4]));
        Assert.Equal(-1, Find(index, Root.Id, [1, 3]));
    }

    [Fact]
    public void Equal_hashes_of_other_tokens_find_nothing()
    {
        PrefixIndex index = NewIndex();
        int node = index.Add(Root.Id, 42, [1, 2], -1, Root);
        index.SetDeviceBlock(node, 1);
        Assert.Equal(node, index.Find(Root.Id, 42, [1, 2]));
        Assert.Equal(-1, index.Find(Root.Id, 42, [2, 1]));
        // Both can stand beside each other.
        int other = index.Add(Root.Id, 42, [2, 1], -1, Root);
        index.SetDeviceBlock(other, 2);
        Assert.Equal((node, other), (index.Find(Root.Id, 42, [1, 2]), index.Find(Root.Id, 42, [2, 1])));
    }

    [Fact]
    public void A_child_of_a_parent_that_is_gone_is_never_found_again()
    {
        PrefixIndex index = NewIndex();
        int parent = Add(index, Root.Id, -1, 1, [1, 2]);
        int child = Add(index, index.IdOf(parent), parent, 2, [3, 4]);
        index.DropDeviceBlock(1);
        int again = Add(index, Root.Id, -1, 1, [1, 2]);
        // The slot may be the same, the id is not.
        Assert.Equal(-1, Find(index, index.IdOf(again), [3, 4]));
        Assert.False(index.TryPathOf(child, out _, out _));
    }

    [Fact]
    public void A_node_lives_while_one_of_its_copies_does()
    {
        PrefixIndex index = NewIndex();
        int node = Add(index, Root.Id, -1, 1, [1, 2]);
        index.SetHostBlock(node, 0);
        Assert.Null(index.DropDeviceBlock(1));
        Assert.Equal((node, -1, 0), (Find(index, Root.Id, [1, 2]), index.DeviceBlockOf(node), index.HostBlockOf(node)));
        Assert.Same(Root, index.DropHostBlock(0));
        Assert.Equal((-1, 0), (Find(index, Root.Id, [1, 2]), index.Count));
    }

    [Fact]
    public void Gains_are_at_least_what_a_look_up_finds_more_than_before()
    {
        PrefixIndex index = NewIndex();
        int first = Add(index, Root.Id, -1, 1, [1, 2]);
        index.SetHostBlock(first, 0);
        int second = Add(index, index.IdOf(first), first, 2, [3, 4]);
        Add(index, index.IdOf(second), second, 3, [5, 6]);
        Assert.Equal(3, index.Gains);
        // The device has the second and the third, which nobody gets to without the first.
        index.DropDeviceBlock(1);
        long before = index.Gains;
        index.SetDeviceBlock(first, 4);
        Assert.True(index.Gains - before >= 3);
    }

    [Fact]
    public void A_path_leads_from_the_first_block()
    {
        PrefixIndex index = NewIndex();
        int first = Add(index, Root.Id, -1, 1, [1, 2]);
        int second = Add(index, index.IdOf(first), first, 2, [3, 4]);
        int third = Add(index, index.IdOf(second), second, 3, [5, 6]);
        Assert.True(index.TryPathOf(third, out int[] path, out PrefixRoot? root));
        Assert.Equal([first, second, third], path);
        Assert.Same(Root, root);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(16)]
    [InlineData(17)]
    public void Hashes_change_with_every_token(int length)
    {
        var random = new Random(length);
        int[] tokens = [.. Enumerable.Range(0, length).Select(_ => random.Next())];
        ulong hash = TokenHash.Of(tokens);
        Assert.Equal(hash, TokenHash.Of(tokens));
        for (int i = 0; i < length; i++)
        {
            int[] other = [.. tokens];
            other[i] ^= 1 << random.Next(31);
            Assert.NotEqual(hash, TokenHash.Of(other));
        }

        Assert.NotEqual(TokenHash.Behind(1, hash), TokenHash.Behind(2, hash));
    }

    private static PrefixIndex NewIndex() => new(deviceBlocks: 8, hostBlocks: 4, blockSize: 2);

    private static int Add(PrefixIndex index, long parent, int parentNode, int block, int[] tokens)
    {
        int node = index.Add(parent, TokenHash.Of(tokens), tokens, parentNode, parent == Root.Id ? Root : null);
        index.SetDeviceBlock(node, block);
        return node;
    }

    private static int Find(PrefixIndex index, long parent, int[] tokens) => index.Find(parent, TokenHash.Of(tokens), tokens);
}
