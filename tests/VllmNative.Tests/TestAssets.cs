using VllmNative.Tests.Repository;

namespace VllmNative.Tests;

/// <summary>Finds the committed test data, wherever the test binaries are.</summary>
internal static class TestAssets
{
    /// <summary>A path below tests/assets.</summary>
    internal static string Path(params string[] parts) => System.IO.Path.Combine([RepositoryRoot.Path, "tests", "assets", .. parts]);
}
