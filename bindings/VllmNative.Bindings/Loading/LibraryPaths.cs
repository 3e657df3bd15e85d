namespace VllmNative.Bindings.Loading;

/// <summary>Where the native library is looked for, in order. Pure, so that the order can be tested.</summary>
internal static class LibraryPaths
{
    /// <summary>The file's name.</summary>
    public const string FileName = "libvllm_native.so";

    private const string RuntimesFolder = "runtimes/linux-x64/native";

    /// <summary>
    /// The files to try. An override is the only candidate: when it is wrong, another library in its place would hide that.
    /// </summary>
    /// <param name="overridePath">VLLM_NATIVE_PATH: the library, or the folder that holds it; null or empty when not set.</param>
    /// <param name="folders">The application's folder and this assembly's.</param>
    /// <param name="searchFolders">Further folders of native files that the host knows (packages, single-file bundles).</param>
    public static IEnumerable<string> CandidatePaths(string? overridePath, IEnumerable<string> folders, IEnumerable<string> searchFolders)
    {
        if (!string.IsNullOrEmpty(overridePath))
        {
            string path = Path.GetFullPath(overridePath);
            return [Directory.Exists(path) ? Path.Combine(path, FileName) : path];
        }
        string[] near = folders.Where(f => f.Length > 0).ToArray();
        return near.Select(f => Path.Combine(f, RuntimesFolder, FileName))
            .Concat(near.Select(f => Path.Combine(f, FileName)))
            .Concat(searchFolders.Select(f => Path.Combine(f, FileName)))
            .Select(Path.GetFullPath)
            .Distinct(StringComparer.Ordinal);
    }
}
