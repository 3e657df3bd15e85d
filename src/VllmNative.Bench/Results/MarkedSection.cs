using VllmNative.Diagnostics;

namespace VllmNative.Bench.Results;

/// <summary>A piece of README.md that a program writes, between two comments that name it.</summary>
/// <param name="Name">The word in the comments.</param>
internal sealed record MarkedSection(string Name)
{
    private string Begin => $"<!-- {Name}:begin -->";

    private string End => $"<!-- {Name}:end -->";

    /// <summary>Replaces what stands between the markers; adds them at the end where there are none.</summary>
    internal string Insert(string readme, string content)
    {
        string block = $"{Begin}\n{content}{End}";
        if (!readme.Contains(Begin, StringComparison.Ordinal) && !readme.Contains(End, StringComparison.Ordinal))
        {
            return (readme.Length == 0 ? "" : readme.TrimEnd('\n') + "\n\n") + block + "\n";
        }

        (int begin, int end) = Find(readme);
        return readme[..begin] + block + readme[(end + End.Length)..];
    }

    /// <summary>What stands between the markers.</summary>
    internal string Extract(string readme)
    {
        (int begin, int end) = Find(readme);
        return readme[(begin + Begin.Length + 1)..end];
    }

    private (int Begin, int End) Find(string readme)
    {
        int begin = readme.IndexOf(Begin, StringComparison.Ordinal);
        int end = readme.IndexOf(End, StringComparison.Ordinal);
        return begin >= 0 && end > begin ? (begin, end) : throw new VllmException($"README.md: {Begin} and {End} are not a pair");
    }
}
