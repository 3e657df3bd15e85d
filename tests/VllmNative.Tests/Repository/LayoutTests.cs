using Xunit;

namespace VllmNative.Tests.Repository;

/// <summary>What may lie at the root, and how large the checkout may be.</summary>
public sealed class LayoutTests
{
    private const long MiB = 1 << 20;

    private static readonly HashSet<string> AllowedAtRoot =
    [
        "native", "bindings", "src", "tests", "cmake", "CMakeLists.txt", "build.sh", "VllmNative.sln", "README.md",
        // Files that tools look for at the root only.
        ".ci", ".clang-format", ".editorconfig", ".gitattributes", ".gitignore", "Directory.Build.props",
        "Directory.Packages.props", "LICENSE", "global.json", "NuGet.config",
    ];

    [Fact]
    public void RootHoldsOnlyWhatIsPlannedThere()
    {
        IEnumerable<string> others = RepositoryRoot.TrackedFiles().Select(file => file.Split('/')[0]).Distinct()
            .Where(name => !AllowedAtRoot.Contains(name));
        Assert.Empty(others);
    }

    // A machine with a GPU takes 64 MiB: the checkout and a packed runtime have to fit together.
    [Theory]
    [InlineData("", 60)]
    [InlineData("tests/assets/", 26)]
    public void TrackedFilesStaySmall(string prefix, int limitInMiB)
    {
        List<FileInfo> files = [.. RepositoryRoot.TrackedFiles()
            .Where(file => file.StartsWith(prefix, StringComparison.Ordinal))
            .Select(file => new FileInfo(RepositoryRoot.Combine(file)))];
        long bytes = files.Sum(file => file.Length);
        string largest = string.Join(", ", files.OrderByDescending(file => file.Length).Take(3).Select(file => file.FullName));
        Assert.True(bytes <= limitInMiB * MiB, $"'{prefix}' holds {bytes} bytes, the limit is {limitInMiB} MiB; largest: {largest}");
    }
}
