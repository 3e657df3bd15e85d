using System.Reflection;
using VllmNative.Bindings;
using Xunit;

namespace VllmNative.Tests.Bindings;

/// <summary>The library's dynamic symbols are the header's functions: none missing, none besides.</summary>
public sealed class ExportTests
{
    [Fact]
    public void Exports_are_exactly_the_functions_of_the_header()
    {
        string output = Tool.RunOrSkip("nm", "-D", "--defined-only", NativeLibraryLoader.Load());
        IEnumerable<string> exports = output
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^1]);
        IEnumerable<string> imports = typeof(NativeMethods)
            .GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
            .Select(m => m.Name)
            .Where(n => n.StartsWith("vn_", StringComparison.Ordinal));
        Assert.Equal(imports.Order(StringComparer.Ordinal), exports.Order(StringComparer.Ordinal));
    }
}
