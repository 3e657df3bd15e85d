using System.Text;

namespace VllmNative.Cli.Rendering;

/// <summary>Text of any length in a box of a few lines.</summary>
internal static class TextFit
{
    /// <summary>The beginning, with an ellipsis where it goes on.</summary>
    internal static string Head(string text, int width, int lines)
    {
        List<string> all = Wrap(text, width);
        if (all.Count <= lines)
        {
            return string.Join('\n', all);
        }

        string last = all[lines - 1];
        all[lines - 1] = last.Length < width ? last + "…" : last[..(width - 1)] + "…";
        return string.Join('\n', all.Take(lines));
    }

    /// <summary>The newest lines.</summary>
    internal static string Tail(string text, int width, int lines)
    {
        List<string> all = Wrap(text, width);
        return string.Join('\n', all.Skip(all.Count - lines));
    }

    /// <summary>What a model wrote, without the control characters that could steer a terminal; line breaks stay.</summary>
    internal static string Printable(string text) =>
        text.Any(IsControl) ? string.Concat(text.Select(c => IsControl(c) ? '\uFFFD' : c)) : text;

    private static bool IsControl(char c) => char.IsControl(c) && c is not ('\n' or '\t');

    // At spaces where there are any; a word that is wider than the box is cut.
    private static List<string> Wrap(string text, int width)
    {
        List<string> lines = [];
        foreach (string paragraph in Printable(text).Split('\n'))
        {
            var line = new StringBuilder();
            foreach (string word in paragraph.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            {
                if (line.Length > 0 && line.Length + 1 + word.Length > width)
                {
                    lines.Add(line.ToString());
                    line.Clear();
                }

                line.Append(line.Length > 0 ? " " : "").Append(word);
                while (line.Length > width)
                {
                    lines.Add(line.ToString(0, width));
                    line.Remove(0, width);
                }
            }

            lines.Add(line.ToString());
        }

        return lines;
    }
}
