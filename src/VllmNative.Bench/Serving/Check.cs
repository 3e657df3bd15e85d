using System.Globalization;
using VllmNative.Diagnostics;

namespace VllmNative.Bench.Serving;

/// <summary>Checks of what a command line gave.</summary>
internal static class Check
{
    /// <exception cref="VllmException">It does not hold; the message names option, value and range.</exception>
    internal static void Option(bool holds, string option, object? value, string expected)
    {
        if (!holds)
        {
            throw new VllmException(string.Create(CultureInfo.InvariantCulture, $"{option} is {value}, expected {expected}"));
        }
    }
}
