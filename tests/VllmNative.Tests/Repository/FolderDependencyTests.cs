using System.Text.RegularExpressions;
using Xunit;

namespace VllmNative.Tests.Repository;

/// <summary>Which folder of src/VllmNative may use which: data flows down the list, never back up.</summary>
public sealed partial class FolderDependencyTests
{
    // Everything may use Diagnostics and itself.
    private static readonly Dictionary<string, string> MayUse = new()
    {
        ["Diagnostics"] = "",
        ["Requests"] = "",
        ["Tokenization"] = "",
        ["Steps"] = "Requests",
        ["Cache"] = "Requests Steps",
        ["Scheduling"] = "Cache Requests Steps",
        ["Recording"] = "Cache Scheduling Requests Steps",
        ["Simulation"] = "Recording Scheduling Cache Requests Steps",
        ["Tensors"] = "Bindings",
        ["Parallel"] = "Tensors",
        ["Layers"] = "Tensors Parallel",
        ["Loading"] = "Tensors",
        ["Models"] = "Layers Loading Tensors",
        ["Sampling"] = "Tensors Requests",
        ["Execution"] = "Models Layers Sampling Tensors Parallel Requests Steps",
        ["Outputs"] = "Requests Tokenization",
        ["Metrics"] = "Requests",
        ["Engine"] = "Bindings Requests Tokenization Steps Cache Scheduling Recording Tensors Parallel Layers Loading Models Sampling Execution Outputs Metrics",
    };

    // Bindings for the exception that it throws, Scheduling for the modes that EngineOptions has; the rest of both is internal.
    private const string OtherAssembliesMayUse = "Bindings Engine Requests Metrics Scheduling Simulation Tokenization";

    // Benchmarks measure the device's operations themselves, and compute floors from a model's config.
    private const string BenchMayUse = OtherAssembliesMayUse + " Tensors Loading";

    [GeneratedRegex(@"\bVllmNative\.(\w+)")]
    private static partial Regex NamespaceReference();

    [Fact]
    public void FoldersUseOnlyWhatLiesBelowThem()
    {
        AssertNone(Sources("src/VllmNative").SelectMany(file => Violations(file, FolderOf(file))));
    }

    [Fact]
    public void OtherAssembliesUseTheEnginesSurface()
    {
        IEnumerable<string> assemblies = Directory.GetDirectories(RepositoryRoot.Combine("src"))
            .Where(folder => Path.GetFileName(folder) != "VllmNative");
        AssertNone(assemblies.SelectMany(folder =>
            Sources(folder).SelectMany(file => Forbidden(file, "", Path.GetFileName(folder) == "VllmNative.Bench" ? BenchMayUse : OtherAssembliesMayUse))));
    }

    [Fact]
    public void NoGlobalUsingHidesADependency()
    {
        Assert.DoesNotContain(Sources("src"), file => File.ReadAllText(file).Contains("global using VllmNative.", StringComparison.Ordinal));
        Assert.DoesNotContain(Directory.GetFiles(RepositoryRoot.Combine("src"), "*.csproj", SearchOption.AllDirectories),
            file => File.ReadAllText(file).Contains("<Using Include=\"VllmNative.", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("Scheduling", "using VllmNative.Tensors;", true)]
    [InlineData("Scheduling", "var x = VllmNative.Models.Llama.Create();", true)]
    [InlineData("Scheduling", "using VllmNative.Cache;", false)]
    [InlineData("Scheduling", "/// as <see cref=\"VllmNative.Models.Llama\"/> does", false)]
    [InlineData("Elsewhere", "", true)]
    public void ScannerSeesWhatIsForbidden(string folder, string line, bool isViolation)
    {
        Assert.Equal(isViolation, ViolationsIn([line], "file.cs", folder).Any());
    }

    private static void AssertNone(IEnumerable<string> violations)
    {
        string all = string.Join('\n', violations.Distinct());
        Assert.True(all.Length == 0, all);
    }

    private static IEnumerable<string> Sources(string folder) =>
        Directory.EnumerateFiles(RepositoryRoot.Combine(folder), "*.cs", SearchOption.AllDirectories);

    private static string FolderOf(string file)
    {
        string[] parts = Path.GetRelativePath(RepositoryRoot.Combine("src/VllmNative"), file).Split(Path.DirectorySeparatorChar);
        return parts.Length > 1 ? parts[0] : "the project's own folder";
    }

    private static IEnumerable<string> Violations(string file, string folder) => ViolationsIn(File.ReadLines(file), file, folder);

    private static IEnumerable<string> ViolationsIn(IEnumerable<string> lines, string file, string folder) =>
        MayUse.TryGetValue(folder, out string? allowed)
            ? Forbidden(lines, file, folder, allowed)
            : [$"{file}: {folder} has no row in the table of folders"];

    private static IEnumerable<string> Forbidden(string file, string folder, string allowed) =>
        Forbidden(File.ReadLines(file), file, folder, allowed);

    // Only names of folders and of the bindings count: VllmNative.Cli and the like are assemblies.
    private static IEnumerable<string> Forbidden(IEnumerable<string> lines, string file, string folder, string allowed) =>
        from line in lines
        where !line.TrimStart().StartsWith("//", StringComparison.Ordinal)
        from Match match in NamespaceReference().Matches(line)
        let used = match.Groups[1].Value
        where used == "Bindings" || MayUse.ContainsKey(used)
        where used != folder && used != "Diagnostics" && !allowed.Split(' ').Contains(used)
        select $"{file}: {(folder.Length > 0 ? folder : "this assembly")} uses {used}";
}
