using VllmNative.Bindings;
using VllmNative.Engine;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>What the doctor says of this machine, and of one without the library.</summary>
public sealed class DoctorCommandTests
{
    [Fact]
    public void NamesLibraryVersionsAndDevices()
    {
        CliResult result = CliProcess.Run("doctor");
        Assert.Equal(0, result.ExitCode);
        Assert.Empty(result.Error);
        Assert.Matches(@"(?m)^native library\s+/.+/libvllm_native\.so$", result.Output);
        Assert.Matches($@"(?m)^ABI version\s+library {AbiInfo.AbiVersion}, binding {AbiInfo.AbiVersion}$", result.Output);
        Assert.Matches(@"(?m)^cpu 0\s+\S.*, \d+ threads?, (scalar code|AVX2|AVX-512|AVX-512 with BF16|AVX-512 with AMX), memory \d+\.\d GiB, free \d+\.\d [GM]iB$", result.Output);
        Assert.Matches(@"(?m)^cuda 0\s+(not available: \S.*|.*compute capability \d+\.\d.*)$", result.Output);
        Assert.Matches(@"(?m)^\.NET\s+\.NET \d+\.", result.Output);
        Assert.Matches(@"(?m)^OS\s+\S", result.Output);
    }

    [Fact]
    public void LibraryThatIsNotThere_IsExitCode1WithThePathsTried()
    {
        CliResult result = CliProcess.Run("", [("VLLM_NATIVE_PATH", "/no/such/folder")], "doctor");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("not loaded:", result.Output, StringComparison.Ordinal);
        Assert.Contains("/no/such/folder: no such file", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Catalog_ListsEveryKindOnceOrMore()
    {
        IReadOnlyList<DeviceReport> devices = DeviceCatalog.List();
        Assert.Equal(DeviceCatalog.Names, devices.Select(device => device.Kind).Distinct());
        Assert.All(devices, device => Assert.Equal(device.Device is null, device.Problem.Length > 0));
    }

    [Fact]
    public void Version_IsThePackages()
    {
        CliResult result = CliProcess.Run("--version");
        Assert.Equal(0, result.ExitCode);
        Assert.StartsWith("0.1.0", result.Output, StringComparison.Ordinal);
    }
}
