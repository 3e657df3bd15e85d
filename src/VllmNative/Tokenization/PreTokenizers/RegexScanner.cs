using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using VllmNative.Diagnostics;

namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>
/// Patterns that no hand-written scanner knows. The pattern comes from a model file, so it runs in linear time where
/// .NET can (NonBacktracking), and under a time limit where it cannot. .NET patterns see UTF-16, so a character beyond
/// the BMP is shown to the pattern as a BMP character of the same Unicode category.
/// </summary>
internal sealed class RegexScanner : SplitScanner
{
    private static readonly TimeSpan MatchLimit = TimeSpan.FromSeconds(1);
    private readonly Regex _regex;

    private RegexScanner(Regex regex) => _regex = regex;

    /// <summary>Compiles the pattern; null when .NET does not accept it.</summary>
    public static RegexScanner? TryCreate(string pattern, out string? error)
    {
        error = null;
        try
        {
            try
            {
                return new RegexScanner(new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, MatchLimit));
            }
            catch (NotSupportedException)
            {
                return new RegexScanner(new Regex(pattern, RegexOptions.CultureInvariant, MatchLimit));
            }
        }
        catch (ArgumentException e)
        {
            error = e.Message;
            return null;
        }
    }

    public override void FindAll(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        int first = matches.Count;
        int[]? offsets = null;
        ReadOnlySpan<char> subject = text.IndexOfAnyInRange('\uD800', '\uDBFF') < 0 ? text : StandIns(text, out offsets);
        Match(subject, matches);
        for (int i = first; offsets is not null && i < matches.Count; i++)
        {
            TextRange match = matches[i];
            matches[i] = new TextRange(offsets[match.Start], offsets[match.End] - offsets[match.Start]);
        }
    }

    private void Match(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        long started = Stopwatch.GetTimestamp();
        try
        {
            foreach (ValueMatch match in _regex.EnumerateMatches(text))
            {
                if (match.Length > 0)
                {
                    matches.Add(new TextRange(match.Index, match.Length));
                }

                // The limit of Regex counts per match; many slow matches are as bad as one.
                if (Stopwatch.GetElapsedTime(started) > MatchLimit)
                {
                    throw TooSlow(text.Length);
                }
            }
        }
        catch (RegexMatchTimeoutException)
        {
            throw TooSlow(text.Length);
        }
    }

    private static InvalidRequestException TooSlow(int length) => new(
        "prompt", $"the tokenizer's split pattern took longer than {MatchLimit.TotalSeconds:0} s on a piece of {length} characters");

    // One char per scalar, with the place in the text that each stands for.
    private static ReadOnlySpan<char> StandIns(ReadOnlySpan<char> text, out int[] offsets)
    {
        char[] result = new char[text.Length];
        offsets = new int[text.Length + 1];
        int count = 0;
        for (int i = 0; i < text.Length; i++)
        {
            offsets[count] = i;
            bool pair = i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]);
            result[count++] = pair
                ? StandIn(CharUnicodeInfo.GetUnicodeCategory(char.ConvertToUtf32(text[i], text[i + 1])))
                : text[i];
            i += pair ? 1 : 0;
        }

        offsets[count] = text.Length;
        return result.AsSpan(0, count);
    }

    // Rare characters of each category, so that a literal in a pattern is unlikely to name them.
    private static char StandIn(UnicodeCategory category) => category switch
    {
        UnicodeCategory.UppercaseLetter => '\u10A0',
        UnicodeCategory.LowercaseLetter => '\u2D00',
        UnicodeCategory.ModifierLetter => '\uA4F8',
        UnicodeCategory.OtherLetter => '\uA000',
        UnicodeCategory.NonSpacingMark => '\uA8E0',
        UnicodeCategory.SpacingCombiningMark => '\uA880',
        UnicodeCategory.DecimalDigitNumber => '\uA620',
        UnicodeCategory.LetterNumber => '\uA6E6',
        UnicodeCategory.OtherNumber => '\u3220',
        UnicodeCategory.OtherPunctuation => '\uA4FE',
        UnicodeCategory.DashPunctuation => '\u2E3A',
        UnicodeCategory.MathSymbol => '\u2A00',
        UnicodeCategory.CurrencySymbol => '\uA838',
        UnicodeCategory.ModifierSymbol => '\uA700',
        UnicodeCategory.OtherSymbol => '\u4DC0',
        UnicodeCategory.Format => '\u2061',
        UnicodeCategory.PrivateUse => '\uE000',
        _ => '\u0378',
    };
}
