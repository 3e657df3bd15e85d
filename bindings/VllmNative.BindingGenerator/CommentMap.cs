using System.Text;
using System.Text.RegularExpressions;

namespace VllmNative.BindingGenerator;

/// <summary>
/// Finds the comment that belongs to a declaration by its byte offset: the one right above it, else the one that
/// follows it on the same line. Clang keeps only documentation comments, and the header is written in plain ones.
/// </summary>
internal sealed partial class CommentMap
{
    private readonly string _text;
    private readonly List<(int Start, int End)> _comments = [];

    /// <param name="header">The header's bytes; clang counts offsets in bytes.</param>
    public CommentMap(byte[] header)
    {
        // One char per byte keeps offsets equal; Clean() turns the bytes back into UTF-8.
        _text = Encoding.Latin1.GetString(header);
        foreach (Match match in Comment().Matches(_text))
        {
            _comments.Add((match.Index, match.Index + match.Length));
        }
    }

    /// <summary>The header with one char per byte.</summary>
    public string Text => _text;

    /// <summary>The comment that ends on the line above the declaration, or null.</summary>
    public string? Above(int declarationStart)
    {
        int lineStart = _text.LastIndexOf('\n', declarationStart) + 1;
        foreach ((int start, int end) in _comments)
        {
            bool ownLine = _text[(_text.LastIndexOf('\n', start) + 1)..start].Trim().Length == 0;
            if (end + 1 == lineStart && ownLine && _text[end] == '\n' && !IsDivider(start))
            {
                return Clean(_text[start..end]);
            }
        }
        return null;
    }

    /// <summary>The comment between the declaration's end and the end of that line, or null.</summary>
    public string? Behind(int declarationEnd)
    {
        int lineEnd = _text.IndexOf('\n', declarationEnd);
        foreach ((int start, int end) in _comments)
        {
            if (start >= declarationEnd && start < lineEnd)
            {
                return Clean(_text[start..end]);
            }
        }
        return null;
    }

    /// <summary>The title of the last divider (<c>/* ---- title ---- */</c>) before the offset; "" if none.</summary>
    public string Section(int offset)
    {
        string title = "";
        foreach ((int start, int end) in _comments)
        {
            if (start > offset)
            {
                break;
            }
            if (IsDivider(start))
            {
                title = _text[start..end].Trim('/', '*', '-', ' ');
            }
        }
        return title;
    }

    private bool IsDivider(int start) => _text.AsSpan(start).StartsWith("/* ----");

    private static string Clean(string comment)
    {
        string body = Encoding.UTF8.GetString(Encoding.Latin1.GetBytes(comment[2..^2]));
        IEnumerable<string> lines = body.Split('\n').Select(line => line.Trim().TrimStart('*').Trim());
        return string.Join('\n', lines).Trim();
    }

    [GeneratedRegex(@"/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comment();
}
