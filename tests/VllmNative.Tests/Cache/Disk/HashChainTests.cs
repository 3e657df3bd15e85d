using System.Buffers.Binary;
using System.Security.Cryptography;
using VllmNative.Cache.Disk;
using Xunit;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>Hashes of paths, and the memory of recent ones.</summary>
public sealed class HashChainTests
{
    private const int BlockSize = 4;

    private static readonly BlockHash Model = DiskHarness.Hash(3);

    [Fact]
    public void A_block_is_hashed_after_its_predecessor()
    {
        int[] tokens = [1, -2, 3, int.MaxValue, 5, 6, 7, 8];
        HashChain chain = new HashChainCache(Model, BlockSize).Of(PrefixScope.Shared, tokens);

        // Written out as it is specified, since files of one version must be found by the next.
        var input = new byte[32 + (4 * BlockSize)];
        PrefixScope.Shared.Root(Model).CopyTo(input);
        for (int block = 0; block < 2; block++)
        {
            for (int i = 0; i < BlockSize; i++)
            {
                BinaryPrimitives.WriteInt32LittleEndian(input.AsSpan(32 + (4 * i)), tokens[(block * BlockSize) + i]);
            }

            byte[] digest = SHA256.HashData(input);
            Assert.Equal(Convert.ToHexStringLower(digest), chain[block].ToString());
            digest.CopyTo(input, 0);
        }
    }

    [Fact]
    public void The_root_is_what_earlier_versions_wrote()
    {
        byte[] fingerprint = [.. Enumerable.Range(0, 32).Select(i => (byte)i)];
        byte[] expected = SHA256.HashData([0, 32, 0, 0, 0, .. fingerprint, 1, 2, 0, 0, 0, 9, 8, 2, 2, 0, 0, 0, 65, 0]);
        Assert.Equal(new BlockHash(expected), new PrefixScope([9, 8], "A").Root(new BlockHash(fingerprint)));
    }

    [Fact]
    public void Any_token_changes_its_block_and_all_after_it()
    {
        int[] tokens = [.. Enumerable.Range(0, 12)];
        HashChain one = Fresh(tokens);
        for (int i = 0; i < tokens.Length; i++)
        {
            int[] changed = [.. tokens];
            changed[i]++;
            HashChain other = Fresh(changed);
            for (int block = 0; block < 3; block++)
            {
                Assert.Equal(block < i / BlockSize, one[block] == other[block]);
            }
        }
    }

    [Fact]
    public void The_memory_changes_no_hash()
    {
        HashChainCache cache = new(Model, BlockSize);
        Random random = new(5);
        PrefixScope[] scopes = [PrefixScope.Shared, new(null, "a"), new([1], "a")];
        for (int round = 0; round < 2000; round++)
        {
            // Few different tokens, so that paths meet in all ways.
            int[] tokens = [.. Enumerable.Range(0, BlockSize * random.Next(0, 5)).Select(i => random.Next(12) == 0 ? 1 : 0)];
            PrefixScope scope = scopes[random.Next(scopes.Length)];
            HashChain chain = cache.Of(scope, tokens);
            HashChain fresh = Fresh(tokens, scope);
            for (int block = random.Next(5); block < tokens.Length / BlockSize; block++)
            {
                Assert.Equal(fresh[block], chain[block]);
            }
        }
    }

    [Fact]
    public void A_path_that_grows_is_kept_once()
    {
        HashChainCache cache = new(Model, BlockSize);
        int[] tokens = [.. Enumerable.Range(0, 400)];
        HashChain chain = cache.Of(PrefixScope.Shared, tokens.AsSpan(0, 200));
        Assert.Same(chain, cache.Of(PrefixScope.Shared, tokens.AsSpan(0, 200)));
        Assert.Same(chain, cache.Of(PrefixScope.Shared, tokens.AsSpan(0, 100)));
        cache.Of(PrefixScope.Shared, tokens);
        Assert.Equal((1, 400), (cache.Count, cache.Tokens));
    }

    [Fact]
    public void The_memory_is_bounded()
    {
        HashChainCache cache = new(Model, BlockSize);
        for (int i = 0; i < 100; i++)
        {
            cache.Of(PrefixScope.Shared, [i, 1, 2, 3]);
            Assert.True(cache.Count <= HashChainCache.MaxChains);
        }

        Assert.Equal((HashChainCache.MaxChains, HashChainCache.MaxChains * BlockSize), (cache.Count, cache.Tokens));
        for (int i = 0; i < 4; i++)
        {
            var large = new int[HashChainCache.MaxTokens / 2];
            large[0] = -i - 1;
            cache.Of(PrefixScope.Shared, large);
            Assert.True(cache.Tokens <= HashChainCache.MaxTokens, $"{cache.Tokens} tokens are kept");
        }

        Assert.Equal(2, cache.Count);
    }

    private static HashChain Fresh(int[] tokens, PrefixScope? scope = null) =>
        new(scope ?? PrefixScope.Shared, (scope ?? PrefixScope.Shared).Root(Model), tokens, BlockSize);
}
