using System.Runtime.InteropServices;

namespace VllmNative.Bindings.Loading;

/// <summary>Opens the first candidate that exists and checks that it speaks this assembly's ABI.</summary>
internal static class LibraryOpener
{
    /// <summary>The library and its path; throws an error that lists every path tried and why it failed.</summary>
    public static (nint Library, string Path) Open(IEnumerable<string> candidates)
    {
        var tried = new List<string>();
        foreach (string path in candidates)
        {
            if (!File.Exists(path))
            {
                tried.Add($"{path}: no such file");
                continue;
            }
            // The first file that exists is the one that was meant: a later one in its place would hide what is wrong with it.
            nint library;
            try
            {
                library = NativeLibrary.Load(path);
            }
            catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
            {
                tried.Add($"{path}: {error.Message.ReplaceLineEndings(" ").Trim()}");
                break;
            }
            CheckVersion(library, path);
            return (library, path);
        }
        throw new DllNotFoundException(
            $"the native library {LibraryPaths.FileName} could not be loaded (this process is {RuntimeInformation.RuntimeIdentifier}); " +
            $"set {NativeLibraryLoader.PathVariable} to the file or its folder. Tried:\n  {string.Join("\n  ", tried)}");
    }

    private static unsafe void CheckVersion(nint library, string path)
    {
        int? found = NativeLibrary.TryGetExport(library, nameof(NativeMethods.vn_abi_version), out nint export)
            ? ((delegate* unmanaged[Cdecl]<int>)export)()
            : null;
        if (found == AbiInfo.AbiVersion)
        {
            return;
        }
        NativeLibrary.Free(library);
        string what = found is null ? $"no export {nameof(NativeMethods.vn_abi_version)}" : $"ABI version {found}";
        throw new NativeException(
            NativeStatus.AbiMismatch,
            $"{path}: {what}, expected ABI version {AbiInfo.AbiVersion}: the library and this assembly come from different builds");
    }
}
