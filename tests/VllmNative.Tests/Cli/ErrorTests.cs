using VllmNative.Bindings;
using VllmNative.Cli.Rendering;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>What goes wrong is one line on stderr and exit code 1.</summary>
public sealed class ErrorTests : IDisposable
{
    private readonly DirectoryInfo _empty = Directory.CreateTempSubdirectory("vllm-native-cli-");

    [Theory]
    [InlineData("complete", "--prompt", "x")]
    [InlineData("chat")]
    [InlineData("demo")]
    public void DirectoryThatIsNoModel_IsNamed(params string[] command)
    {
        CliResult result = CliProcess.Run([.. command, "--model", _empty.FullName]);
        AssertOneLine(result, $"{_empty.FullName}: has no config.json: not a model directory");
    }

    [Fact]
    public void Verbose_AddsTheStackTrace()
    {
        CliResult result = CliProcess.Run("complete", "--prompt", "x", "--model", _empty.FullName, "--verbose");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("ModelFormatException", result.Error, StringComparison.Ordinal);
        Assert.Contains("   at VllmNative.", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void BadOption_IsNamedWithTheHelp()
    {
        CliResult result = CliProcess.Run("complete", "--model", CliProcess.DemoModel, "--max-tokens", "ten");
        AssertOneLine(result, "--max-tokens is \"ten\", expected a whole number. (see vllm-native complete --help)");
    }

    [Fact]
    public void UnknownCommand_IsNamed()
    {
        CliResult result = CliProcess.Run("fly");
        Assert.Contains("'fly'", Assert.Single(result.ErrorLines), StringComparison.Ordinal);
        Assert.Equal(1, result.ExitCode);
    }

    [Fact]
    public void CudaWithoutADevice_SaysWhy()
    {
        // A library folder without the plugin: the same on machines that have a GPU.
        string library = NativeLibraryLoader.Load();
        string copy = Path.Combine(_empty.FullName, "libvllm_native.so");
        File.Copy(library, copy);
        CliResult result = CliProcess.Run("", [("VLLM_NATIVE_PATH", copy)], "complete", "--prompt", "x", "--model", CliProcess.DemoModel, "--device", "cuda");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("no CUDA plugin", Assert.Single(result.ErrorLines), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void BadSamplingValue_IsNamedWithItsRange()
    {
        CliResult result = CliProcess.Run("complete", "--model", CliProcess.DemoModel, "--prompt", "x", "--temperature", "3");
        Assert.Equal(1, result.ExitCode);
        Assert.Equal("vllm-native: error: temperature is 3, expected 0..2", Assert.Single(result.ErrorLines));
        Assert.Empty(result.Output);
    }

    [Fact]
    public void MessageOfManyLines_BecomesOne() => Assert.Equal("a b c", ErrorLine.OneLine(" a\r\n  b\n\tc\n"));

    public void Dispose() => _empty.Delete(recursive: true);

    private static void AssertOneLine(CliResult result, string message)
    {
        Assert.Equal($"vllm-native: error: {message}{Environment.NewLine}", result.Error);
        Assert.Empty(result.Output);
        Assert.Equal(1, result.ExitCode);
    }
}
