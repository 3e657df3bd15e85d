namespace VllmNative.Tests;

/// <summary>Finds files under tests/assets of the repository that the tests run in.</summary>
internal static class TestAssets
{
    public static string Path(params string[] parts)
    {
        for (DirectoryInfo? directory = new(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(directory.FullName, "VllmNative.sln")))
            {
                return System.IO.Path.Combine([directory.FullName, "tests", "assets", .. parts]);
            }
        }

        throw new DirectoryNotFoundException($"no directory above {AppContext.BaseDirectory} holds VllmNative.sln");
    }
}
