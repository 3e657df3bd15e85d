using VllmNative.Cache.Disk;
using Xunit;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>Who may share a prefix: different scopes never meet, equal ones always do.</summary>
public sealed class PrefixScopeTests
{
    [Fact]
    public void Different_scopes_have_different_roots()
    {
        byte[] adapter = [.. "salt"u8];
        PrefixScope[] scopes =
        [
            PrefixScope.Shared,
            new(null, ""),
            new([], null),
            new([], ""),
            new(null, "salt"),
            new(adapter, null),
            new(adapter, "salt"),
            new(adapter, "sal"),
            new(adapter[..3], "tsalt"),
            // As UTF-8 text these would be the same replacement character.
            new(null, "\ud800"),
            new(null, "\ud801"),
            // What the encoding of another scope looks like.
            new(null, "salt\u0001\u0000"),
            new([.. adapter, 2, 8, 0, 0, 0, .. "s\0a\0l\0t\0"u8], null),
        ];
        Assert.Equal(scopes.Length, scopes.Select(scope => scope.Root(DiskHarness.Hash(1))).Distinct().Count());
        Assert.Equal(scopes.Length, scopes.Distinct().Count());
    }

    [Fact]
    public void Equal_scopes_are_one()
    {
        PrefixScope one = new([1, 2], "x");
        PrefixScope two = new([1, 2], "x");
        Assert.Equal(one, two);
        Assert.Equal(one.GetHashCode(), two.GetHashCode());
        Assert.Equal(one.Root(DiskHarness.Hash(1)), two.Root(DiskHarness.Hash(1)));
    }

    [Fact]
    public void Models_do_not_share() =>
        Assert.NotEqual(PrefixScope.Shared.Root(DiskHarness.Hash(1)), PrefixScope.Shared.Root(DiskHarness.Hash(2)));
}
