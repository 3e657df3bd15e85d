using VllmNative.BindingGenerator;
using VllmNative.Bindings;
using VllmNative.Tests.Repository;
using Xunit;

namespace VllmNative.Tests.Bindings;

/// <summary>The checked-in files are what the header gives today.</summary>
public sealed class GenerationTests
{
    [Fact]
    public void Header_hash_is_the_one_the_bindings_were_made_from()
    {
        byte[] header = File.ReadAllBytes(RepositoryRoot.Combine(GeneratedFiles.HeaderPath));
        Assert.True(
            HeaderReader.Hash(header) == AbiInfo.HeaderSha256,
            $"{GeneratedFiles.HeaderPath} changed: run VllmNative.BindingGenerator generate");
    }

    [Fact]
    public void Regeneration_gives_the_checked_in_bytes()
    {
        SortedDictionary<string, string> files = GeneratedFiles.Render(RepositoryRoot.Path, ClangOrSkip());
        Assert.Equal([], GeneratedFiles.Differences(RepositoryRoot.Path, files));
    }

    [Fact]
    public void Generation_twice_writes_nothing_the_second_time()
    {
        string clang = ClangOrSkip();
        using var folder = new TemporaryFolder();
        folder.Write(GeneratedFiles.HeaderPath, SmallHeader);
        Assert.Equal(5, GeneratedFiles.Write(folder.Path, GeneratedFiles.Render(folder.Path, clang)).Count);
        Assert.Empty(GeneratedFiles.Write(folder.Path, GeneratedFiles.Render(folder.Path, clang)));
    }

    [Fact]
    public void Changed_struct_shows_as_a_difference_with_file_and_line()
    {
        string clang = ClangOrSkip();
        using var folder = new TemporaryFolder();
        folder.Write(GeneratedFiles.HeaderPath, SmallHeader);
        GeneratedFiles.Write(folder.Path, GeneratedFiles.Render(folder.Path, clang));
        folder.Write(GeneratedFiles.HeaderPath, SmallHeader.Replace("int32_t rank", "int64_t rank", StringComparison.Ordinal));
        List<string> differences = GeneratedFiles.Differences(folder.Path, GeneratedFiles.Render(folder.Path, clang));
        Assert.Contains(differences, d => d.Contains("Structs.g.cs:", StringComparison.Ordinal) && d.Contains("expected '    public long Rank;'", StringComparison.Ordinal));
    }

    [Fact]
    public void Comments_reach_the_declarations_that_they_stand_at()
    {
        string clang = ClangOrSkip();
        using var folder = new TemporaryFolder();
        folder.Write(GeneratedFiles.HeaderPath, SmallHeader);
        string structs = GeneratedFiles.Render(folder.Path, clang)["bindings/VllmNative.Bindings/Generated/Structs.g.cs"];
        Assert.Contains("<summary>A view, a &lt;b&gt; &amp; c.</summary>", structs, StringComparison.Ordinal);
        Assert.Contains("<summary>1..4 – dimensions</summary>", structs, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("typedef struct vn_bad { int32_t rank; unsigned flags; } vn_bad;", "field type 'unsigned int' is not known")]
    [InlineData("int32_t vn_bad(unsigned flags);", "vn_bad: parameter flags: type 'unsigned int' is not known")]
    [InlineData("short vn_bad(void);", "return type 'short' is not known")]
    [InlineData("#define VN_BAD 1.5", "#define VN_BAD: value '1.5', expected a decimal integer")]
    [InlineData("int32_t vn_bad(int32_t", "expected")]
    public void Declaration_outside_the_rules_is_an_error_that_names_it(string declaration, string message)
    {
        string clang = ClangOrSkip();
        using var folder = new TemporaryFolder();
        folder.Write(GeneratedFiles.HeaderPath, SmallHeader + declaration + "\n");
        var error = Assert.Throws<GeneratorException>(() => GeneratedFiles.Render(folder.Path, clang));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private const string SmallHeader = """
        #include <stdint.h>
        #define VN_ABI_VERSION 3
        typedef struct vn_device vn_device;
        /* A view, a <b> & c. */
        typedef struct vn_tensor {
          void *data;
          int32_t rank; /* 1..4 – dimensions */
        } vn_tensor;
        int32_t vn_device_create(vn_device **out_device);

        """;

    // A machine without clang cannot run these; the build server must have it, or nobody would notice.
    private static string ClangOrSkip()
    {
        string? clang = ClangFrontEnd.Find();
        if (clang is null)
        {
            string reason = $"clang was not found ({ClangFrontEnd.SearchDescription})";
            Assert.False(string.Equals(Environment.GetEnvironmentVariable("CI"), "true", StringComparison.OrdinalIgnoreCase), reason);
            Assert.Skip(reason);
        }
        return clang;
    }
}
