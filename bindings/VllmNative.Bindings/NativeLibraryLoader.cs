using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using VllmNative.Bindings.Loading;

namespace VllmNative.Bindings;

/// <summary>
/// Finds, opens and checks the native library once for the process: on the first native call, or by <see cref="Load"/>.
/// The order is VLLM_NATIVE_PATH (alone, when set), runtimes/linux-x64/native beside the application, the application's
/// folder, then the folders of native files that the host knows.
/// </summary>
public static class NativeLibraryLoader
{
    /// <summary>The environment variable that names the library's file or its folder.</summary>
    public const string PathVariable = "VLLM_NATIVE_PATH";

    // A failure stays: half of a process must not run on another library than the rest.
    private static readonly Lazy<(nint Library, string Path)> Loaded = new(() => LibraryOpener.Open(Candidates()));

    /// <summary>The file that was loaded, or null when none was yet.</summary>
    public static string? LoadedPath => Loaded.IsValueCreated ? Loaded.Value.Path : null;

    /// <summary>Loads the library now, so that a missing one shows at start and not at the first request.</summary>
    /// <returns>The file that was loaded.</returns>
    /// <exception cref="DllNotFoundException">No candidate loaded; the message lists each with its reason.</exception>
    /// <exception cref="NativeException">The library has another ABI version; the message has both.</exception>
    public static string Load() => Loaded.Value.Path;

    // A module initializer runs before any import of this assembly is bound; it only registers.
#pragma warning disable CA2255 // Meant for applications, since it runs unasked; an import cannot be bound by anything later.
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void Register() => NativeLibrary.SetDllImportResolver(typeof(NativeLibraryLoader).Assembly, Resolve);

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath) =>
        name == NativeMethods.Library ? Loaded.Value.Library : 0;

    private static IEnumerable<string> Candidates() => LibraryPaths.CandidatePaths(
        Environment.GetEnvironmentVariable(PathVariable),
        [AppContext.BaseDirectory, AssemblyFolder()],
        (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries));

    // In a single file an assembly has no place of its own; the application's folder stands in.
    [System.Diagnostics.CodeAnalysis.UnconditionalSuppressMessage("SingleFile", "IL3000", Justification = "The empty answer is handled.")]
    private static string AssemblyFolder() => Path.GetDirectoryName(typeof(NativeLibraryLoader).Assembly.Location) ?? "";
}
