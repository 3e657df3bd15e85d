namespace VllmNative.Tests.Bindings;

/// <summary>The checkout that the tests were built from.</summary>
internal static class Repository
{
    /// <summary>The folder of VllmNative.sln, found upwards from the test assembly.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The full path of a file given relative to the root.</summary>
    public static string File(string path) => Path.Combine(Root, path);

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (System.IO.File.Exists(Path.Combine(folder.FullName, "VllmNative.sln")))
            {
                return folder.FullName;
            }
        }
        throw new DirectoryNotFoundException($"no VllmNative.sln above {AppContext.BaseDirectory}");
    }
}
