using System.Text;

namespace VllmNative.BindingGenerator;

/// <summary>How C names become C# names: drop the prefix, then PascalCase; a few exceptions are listed.</summary>
internal static class Naming
{
    // Names that the rule would make vague or that C# keeps for itself.
    private static readonly Dictionary<string, string> StructNames = new()
    {
        ["vn_tensor"] = "NativeTensor",
        ["vn_kv_cache"] = "KvCacheView",
    };

    private static readonly Dictionary<string, string> ParameterNames = new()
    {
        ["params"] = "parameters",
        ["event"] = "@event",
    };

    /// <summary>vn_gemm_params -> GemmParams.</summary>
    public static string Struct(string name) => StructNames.TryGetValue(name, out string? renamed) ? renamed : Pascal(name["vn_".Length..]);

    /// <summary>vn_stream -> StreamHandle.</summary>
    public static string Handle(string name) => Pascal(name["vn_".Length..]) + "Handle";

    /// <summary>VN_DTYPE_F8_E4M3 -> DtypeF8E4M3: words with digits are formats and stay as they are.</summary>
    public static string Constant(string name)
    {
        IEnumerable<string> words = name["VN_".Length..].Split('_').Select(w => w.Any(char.IsDigit) ? w : w.ToLowerInvariant());
        return Pascal(string.Join('_', words));
    }

    /// <summary>struct_size -> StructSize.</summary>
    public static string Field(string name) => Pascal(name);

    /// <summary>row_stride -> rowStride; out_count -> count, since C# says <c>out</c> itself.</summary>
    public static string Parameter(string name)
    {
        string bare = name.StartsWith("out_", StringComparison.Ordinal) ? name["out_".Length..] : name;
        if (ParameterNames.TryGetValue(bare, out string? renamed))
        {
            return renamed;
        }
        string pascal = Pascal(bare);
        return char.ToLowerInvariant(pascal[0]) + pascal[1..];
    }

    private static string Pascal(string snake)
    {
        var result = new StringBuilder(snake.Length);
        foreach (string word in snake.Split('_', StringSplitOptions.RemoveEmptyEntries))
        {
            result.Append(char.ToUpperInvariant(word[0])).Append(word, 1, word.Length - 1);
        }
        return result.ToString();
    }
}
