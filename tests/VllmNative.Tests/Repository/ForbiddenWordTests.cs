using System.Text.RegularExpressions;
using Xunit;

namespace VllmNative.Tests.Repository;

/// <summary>Words that say "not finished" do not stay in the code: an open end is an issue or an error in words.</summary>
public sealed partial class ForbiddenWordTests
{
    private static readonly string[] Extensions = [".cs", ".cpp", ".cu", ".cuh", ".h", ".c", ".sh", ".cmake", ".csproj", ".props"];

    // Brackets keep this line from finding itself.
    [GeneratedRegex(@"\b(TOD[O]|FIXM[E]|HAC[K]|XX[X]|NotImplementedExceptio[n])\b")]
    private static partial Regex Unfinished();

    [Fact]
    public void NothingTrackedIsMarkedUnfinished()
    {
        IEnumerable<string> found =
            from file in RepositoryRoot.TrackedFiles()
            where Extensions.Contains(Path.GetExtension(file))
            from line in File.ReadLines(RepositoryRoot.Combine(file)).Select((text, index) => (text, number: index + 1))
            where Unfinished().IsMatch(line.text)
            select $"{file}:{line.number}: {line.text.Trim()}";
        string all = string.Join('\n', found);
        Assert.True(all.Length == 0, all);
    }
}
