using System.Text;

namespace VllmNative.Outputs;

/// <summary>Finds the first stop string that a growing text contains.</summary>
internal sealed class StopMatcher(IReadOnlyList<string> stops)
{
    private readonly int _longest = stops.Count == 0 ? 0 : stops.Max(stop => stop.Length);

    /// <summary>Characters at the end that may still become a stop string and are held back while streaming.</summary>
    internal int HeldBack => Math.Max(0, _longest - 1);

    /// <summary>Looks for the stop string that ends first in text whose tail from <paramref name="from"/> is new.</summary>
    /// <param name="text">All text so far.</param>
    /// <param name="from">Where the new text begins.</param>
    /// <param name="start">Where the match begins.</param>
    /// <returns>The stop string, or null.</returns>
    internal string? Find(StringBuilder text, int from, out int start)
    {
        start = -1;
        if (_longest == 0 || from == text.Length)
        {
            return null;
        }

        int windowStart = Math.Max(0, from - _longest + 1);
        string window = text.ToString(windowStart, text.Length - windowStart);
        string? found = null;
        int end = int.MaxValue;
        foreach (string stop in stops)
        {
            // A short one that lies before the new text was looked for already, or was not to count.
            int first = Math.Max(0, from - stop.Length + 1 - windowStart);
            int index = window.IndexOf(stop, first, StringComparison.Ordinal);
            if (index >= 0 && index + stop.Length < end)
            {
                (found, end, start) = (stop, index + stop.Length, windowStart + index);
            }
        }

        return found;
    }
}
