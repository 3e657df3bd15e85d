namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Maps the split patterns of well-known tokenizers to hand-written scanners, and others to regular expressions.</summary>
internal static class SplitPatterns
{
    private const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private const string DeepSeek =
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";

    /// <summary>The scanner of a pattern; null with the reason when it is not a valid pattern.</summary>
    public static SplitScanner? Find(string pattern, out string? error)
    {
        error = null;
        return pattern switch
        {
            Gpt2 => WordPatternScanner.Gpt2,
            DeepSeek => new DeepSeekScanner(),
            @"\p{N}{1,3}" => new ClassRunScanner(UnicodeClass.Number, 3),
            @"\p{N}" => new ClassRunScanner(UnicodeClass.Number, 1),
            "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+" => new CjkRunScanner(),
            _ => (SplitScanner?)FindModern(pattern) ?? RegexScanner.TryCreate(pattern, out error),
        };
    }

    private static WordPatternScanner? FindModern(string pattern)
    {
        foreach (bool marks in new[] { false, true })
        {
            foreach ((string digits, int max) in new[] { (@"\p{N}", 1), (@"\p{N}{1,3}", 3), (@"\p{N}+", int.MaxValue) })
            {
                if (pattern == Modern(marks, digits))
                {
                    return WordPatternScanner.Modern(max, marks);
                }
            }
        }

        return null;
    }

    // Llama 3, Qwen 2 and their descendants; the last ones count marks as letters.
    private static string Modern(bool marks, string digits) =>
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?" + (marks ? @"[\p{L}\p{M}]+" : @"\p{L}+") + "|" + digits
        + @"| ?[^\s\p{L}" + (marks ? @"\p{M}" : "") + @"\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
}
