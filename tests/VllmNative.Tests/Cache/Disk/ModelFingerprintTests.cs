using VllmNative.Cache.Disk;
using Xunit;

namespace VllmNative.Tests.Cache.Disk;

/// <summary>What K and V depend on: a change of any of it gives another fingerprint.</summary>
public sealed class ModelFingerprintTests
{
    private static readonly ModelFingerprint Base = new()
    {
        Checkpoint = [1, 2, 3],
        ModelDtype = "bfloat16",
        ResidualDtype = "float32",
        KvCacheDtype = "fp8",
        BlockSize = 16,
        BlockBytes = 2 << 20,
        Backend = "cuda sm_90",
        Deterministic = false,
    };

    [Fact]
    public void Any_single_change_gives_another_one()
    {
        ModelFingerprint[] all =
        [
            Base,
            Base with { Checkpoint = [1, 2, 4] },
            Base with { ModelDtype = "float16" },
            Base with { ResidualDtype = "bfloat16" },
            Base with { KvCacheDtype = "bfloat16" },
            Base with { BlockSize = 32 },
            Base with { BlockBytes = 1 << 20 },
            Base with { Backend = "cuda sm_80" },
            Base with { Deterministic = true },
            Base with { Rank = 1 },
            Base with { WorldSize = 2 },
            Base with { KvLayoutVersion = Base.KvLayoutVersion + 1 },
            Base with { KernelVersion = Base.KernelVersion + 1 },
            Base with { ModelDtype = "fp8", KvCacheDtype = "bfloat16" },
            Base with { BlockSize = 2 << 20, BlockBytes = 16 },
        ];
        Assert.Equal(all.Length, all.Select(fingerprint => fingerprint.Compute()).Distinct().Count());

        // So that a property added later is not forgotten above.
        Assert.Equal(12, typeof(ModelFingerprint).GetProperties(
            System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic | System.Reflection.BindingFlags.DeclaredOnly)
            .Count(property => property.CanWrite));
    }

    [Fact]
    public void The_same_values_give_the_same_one() =>
        Assert.Equal(Base.Compute(), (Base with { Checkpoint = [1, 2, 3] }).Compute());
}
