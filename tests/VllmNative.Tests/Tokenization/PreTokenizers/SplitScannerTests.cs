using System.Text.RegularExpressions;
using VllmNative.Tokenization;
using VllmNative.Tokenization.PreTokenizers;
using Xunit;

namespace VllmNative.Tests.Tokenization.PreTokenizers;

/// <summary>The hand-written scanners against .NET's regular expressions, on texts within the BMP where those are right.</summary>
public class SplitScannerTests
{
    public static TheoryData<string> Patterns =>
    [
        @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        @"\p{N}{1,3}",
        @"\p{N}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ];

    [Theory]
    [MemberData(nameof(Patterns))]
    public void A_scanner_matches_where_the_pattern_does(string pattern)
    {
        SplitScanner scanner = SplitPatterns.Find(pattern, out string? error)!;
        Assert.Null(error);
        Assert.IsNotType<RegexScanner>(scanner);
        Regex regex = new(pattern, RegexOptions.CultureInvariant);
        for (int seed = 0; seed < 3000; seed++)
        {
            // .NET folds no U+017F under CultureInvariant, the reference does; surrogates are not categorized.
            string text = Regex.Replace(TextSamples.Random(new Random(seed), 25), "[\ud800-\udfff\u017f]", "");
            TextRange[] expected = [.. regex.Matches(text).Select(match => new TextRange(match.Index, match.Length))];
            Assert.True(expected.SequenceEqual(Scan(scanner, text)), $"seed {seed}");
        }
    }

    [Fact]
    public void Characters_beyond_the_bmp_count_by_their_category_in_scanners_and_in_unknown_patterns()
    {
        foreach (string pattern in new[] { @"\p{L}+|\p{N}|[^\p{L}\p{N}]+", @"\p{L}+|\p{N}|[^\p{L}\p{N}]+(?!\d{9})" })
        {
            RegexScanner scanner = Assert.IsType<RegexScanner>(SplitPatterns.Find(pattern, out _));
            List<TextRange> matches = [];
            scanner.FindAll("a\U00010330\U00020000\U0001D7D8\U0001F600!", matches);
            Assert.Equal([new(0, 5), new(5, 2), new(7, 3)], matches);
        }

        SplitScanner gpt2 = WordPatternScanner.Gpt2;
        Assert.Equal([new(0, 6), new(6, 2), new(8, 2), new(10, 3)], Scan(gpt2, "a\U00010330\U00020000b\U0001D7D8\U0001F600 \U00010330"));
    }

    [Theory]
    [InlineData(SplitBehavior.Removed, false, "a|b")]
    [InlineData(SplitBehavior.Isolated, false, "a|-|-|b|-")]
    [InlineData(SplitBehavior.MergedWithPrevious, false, "a-|-|b-")]
    [InlineData(SplitBehavior.MergedWithNext, false, "a|-|-b|-")]
    [InlineData(SplitBehavior.Contiguous, false, "a|--|b|-")]
    [InlineData(SplitBehavior.Removed, true, "-|-|-")]
    public void Each_behavior_cuts_as_it_says(object behavior, bool invert, string expected)
    {
        PieceBuffer buffer = new();
        buffer.Reset("a--b-".AsMemory(), atInputStart: true);
        new SplitPreTokenizer(new LiteralScanner("-"), (SplitBehavior)behavior, invert).Apply(buffer);
        Assert.Equal(expected, string.Join('|', buffer.Pieces.Select(piece => buffer.Text.Slice(piece.Start, piece.Length).ToString())));
    }

    private static List<TextRange> Scan(SplitScanner scanner, string text)
    {
        List<TextRange> found = [];
        scanner.FindAll(text, found);
        return found;
    }
}
