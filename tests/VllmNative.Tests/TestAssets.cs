namespace VllmNative.Tests;

/// <summary>Finds the committed test data, wherever the test binaries are.</summary>
internal static class TestAssets
{
    /// <summary>A path below tests/assets.</summary>
    internal static string Path(params string[] parts)
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(System.IO.Path.Combine(directory.FullName, "VllmNative.sln")))
        {
            directory = directory.Parent;
        }

        string root = directory?.FullName ?? throw new DirectoryNotFoundException($"No directory above {AppContext.BaseDirectory} has VllmNative.sln.");
        return System.IO.Path.Combine([root, "tests", "assets", .. parts]);
    }
}
