using System.Globalization;
using System.Text.RegularExpressions;

namespace VllmNative.Cli.Options;

/// <summary>
/// Numbers with a suffix, as vLLM's command line reads them: k, m, g, t are powers of 1000 and may follow a fraction,
/// K, M, G, T are powers of 1024 and follow a whole number.
/// </summary>
internal static partial class ByteSize
{
    private const string Expected = "expected a whole number, or one with a suffix: k, m, g, t (powers of 1000) or K, M, G, T (powers of 1024)";

    [GeneratedRegex(@"^(\d+)(\.\d+)?([kKmMgGtT]?)$", RegexOptions.CultureInvariant)]
    private static partial Regex Shape();

    /// <summary>Reads a size.</summary>
    /// <param name="text">Such as 512M, 1.5g or 4096.</param>
    /// <param name="value">The number; 0 when it is not one.</param>
    /// <param name="error">Why it is not one; empty when it is.</param>
    internal static bool TryParse(string text, out long value, out string error)
    {
        value = 0;
        Match match = Shape().Match(text);
        if (!match.Success || !decimal.TryParse(match.Groups[1].Value + match.Groups[2].Value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number))
        {
            error = $"is \"{text}\", {Expected}";
            return false;
        }

        string suffix = match.Groups[3].Value;
        bool fraction = match.Groups[2].Length > 0;
        if (fraction && (suffix.Length == 0 || char.IsUpper(suffix[0])))
        {
            error = $"is \"{text}\", but a fraction needs one of the suffixes k, m, g, t";
            return false;
        }

        decimal factor = Factor(suffix);
        if (number > long.MaxValue / factor)
        {
            error = $"is \"{text}\", expected at most {long.MaxValue}";
            return false;
        }

        value = (long)(number * factor);
        error = "";
        return true;
    }

    private static decimal Factor(string suffix) => suffix switch
    {
        "k" => 1_000m,
        "m" => 1_000_000m,
        "g" => 1_000_000_000m,
        "t" => 1_000_000_000_000m,
        "K" => 1L << 10,
        "M" => 1L << 20,
        "G" => 1L << 30,
        "T" => 1L << 40,
        _ => 1m,
    };
}
