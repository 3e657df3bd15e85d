using VllmNative.Bindings;
using VllmNative.Bindings.Loading;
using Xunit;

namespace VllmNative.Tests.Bindings;

/// <summary>Which library is loaded, and what an error says when none is.</summary>
public sealed class LoaderTests
{
    [Fact]
    public void Without_an_override_runtimes_come_before_the_folders_and_the_hosts_places_last()
    {
        Assert.Equal(
            [
                "/app/runtimes/linux-x64/native/libvllm_native.so",
                "/lib/runtimes/linux-x64/native/libvllm_native.so",
                "/app/libvllm_native.so",
                "/lib/libvllm_native.so",
                "/host/libvllm_native.so",
            ],
            LibraryPaths.CandidatePaths(null, ["/app/", "/lib", ""], ["/host/", "/app"]));
    }

    [Fact]
    public void An_override_is_the_only_candidate()
    {
        Assert.Equal(["/elsewhere/lib.so"], LibraryPaths.CandidatePaths("/elsewhere/lib.so", ["/app"], ["/host"]));
    }

    [Fact]
    public void An_override_that_is_a_folder_means_the_library_in_it()
    {
        using var folder = new TemporaryFolder();
        Assert.Equal([Path.Combine(folder.Path, LibraryPaths.FileName)], LibraryPaths.CandidatePaths(folder.Path, ["/app"], []));
    }

    [Fact]
    public void Missing_everywhere_lists_every_path_and_the_variable()
    {
        var error = Assert.Throws<DllNotFoundException>(() => LibraryOpener.Open(["/none/a.so", "/none/b.so"]));
        Assert.Contains("/none/a.so: no such file", error.Message, StringComparison.Ordinal);
        Assert.Contains("/none/b.so: no such file", error.Message, StringComparison.Ordinal);
        Assert.Contains("VLLM_NATIVE_PATH", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void File_that_is_no_library_fails_in_the_loaders_words_and_is_not_passed_over()
    {
        using var folder = new TemporaryFolder();
        string broken = folder.Write(LibraryPaths.FileName, new string('x', 4096));
        var error = Assert.Throws<DllNotFoundException>(() => LibraryOpener.Open([broken, NativeLibraryLoader.Load()]));
        Assert.Contains($"{broken}: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("invalid ELF header", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Library_that_misses_a_dependency_names_it()
    {
        using var folder = new TemporaryFolder();
        string source = folder.Write("needed.c", "int needed(void) { return 1; }");
        string needed = Path.Combine(folder.Path, "libvn_needed.so");
        Tool.RunOrSkip("cc", "-shared", "-fPIC", "-o", needed, source);
        string user = folder.Write("user.c", "int needed(void); int vn_abi_version(void) { return needed(); }");
        string library = Path.Combine(folder.Path, LibraryPaths.FileName);
        Tool.RunOrSkip("cc", "-shared", "-fPIC", "-o", library, user, needed);
        File.Delete(needed);
        var error = Assert.Throws<DllNotFoundException>(() => LibraryOpener.Open([library]));
        Assert.Contains("libvn_needed.so", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Other_abi_version_is_refused_with_both_numbers()
    {
        using var folder = new TemporaryFolder();
        string source = folder.Write("old.c", "int vn_abi_version(void) { return 99; }");
        string library = Path.Combine(folder.Path, LibraryPaths.FileName);
        Tool.RunOrSkip("cc", "-shared", "-fPIC", "-o", library, source);
        var error = Assert.Throws<NativeException>(() => LibraryOpener.Open([library]));
        Assert.Equal(NativeStatus.AbiMismatch, error.Status);
        Assert.Contains($"ABI version 99, expected ABI version {AbiInfo.AbiVersion}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Some_other_library_is_refused()
    {
        string runtime = Path.GetDirectoryName(typeof(object).Assembly.Location)!;
        var error = Assert.Throws<NativeException>(() => LibraryOpener.Open([Path.Combine(runtime, "libSystem.Native.so")]));
        Assert.Contains("no export vn_abi_version", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Loaded_path_is_a_file_and_the_versions_match()
    {
        string path = NativeLibraryLoader.Load();
        Assert.Equal(path, NativeLibraryLoader.LoadedPath);
        Assert.True(File.Exists(path), path);
        Assert.Equal(AbiInfo.AbiVersion, NativeMethods.vn_abi_version());
    }
}
