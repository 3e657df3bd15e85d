namespace VllmNative.Benchmarks;

/// <summary>Finds the repository, wherever the binaries are.</summary>
internal static class BenchmarkFiles
{
    internal static string Root { get; } = FindRoot();

    /// <summary>A path below tests/assets.</summary>
    internal static string Asset(params string[] parts) => Path.Combine([Root, "tests", "assets", .. parts]);

    private static string FindRoot()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "VllmNative.sln")))
        {
            directory = directory.Parent;
        }

        return directory?.FullName ?? throw new DirectoryNotFoundException($"No directory above {AppContext.BaseDirectory} has VllmNative.sln.");
    }
}
