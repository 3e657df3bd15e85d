using System.Globalization;
using System.Text;

namespace VllmNative.Tokenization.Jinja;

/// <summary>Methods of strings. Those that cut keep the marks exactly; those that rewrite mark the whole result.</summary>
internal static class StringMethods
{
    public static JinjaFunction? Find(JinjaString text, string name)
    {
        Func<CallArguments, RenderContext, JinjaValue>? body = name switch
        {
            "strip" => (a, c) => Strip(text, a, c, true, true),
            "lstrip" => (a, c) => Strip(text, a, c, true, false),
            "rstrip" => (a, c) => Strip(text, a, c, false, true),
            "split" => (a, c) => Split(text, a, c, fromEnd: false),
            "rsplit" => (a, c) => Split(text, a, c, fromEnd: true),
            "splitlines" => (_, c) => SplitLines(text, c),
            "startswith" => (a, c) => Affix(text, a, c, (value, part) => value.StartsWith(part, StringComparison.Ordinal)),
            "endswith" => (a, c) => Affix(text, a, c, (value, part) => value.EndsWith(part, StringComparison.Ordinal)),
            "removeprefix" => (a, c) => a.RequireString(0, "prefix", c).Text is var part && text.Text.StartsWith(part, StringComparison.Ordinal)
                ? text.Slice(part.Length, text.Text.Length - part.Length) : text,
            "removesuffix" => (a, c) => a.RequireString(0, "suffix", c).Text is var part && text.Text.EndsWith(part, StringComparison.Ordinal)
                ? text.Slice(0, text.Text.Length - part.Length) : text,
            "upper" => (_, c) => Map(text, c, value => value.ToUpperInvariant()),
            "lower" => (_, c) => Map(text, c, Lower),
            "title" => (_, c) => Map(text, c, value => Title(value, char.IsLetter)),
            "capitalize" => (_, c) => Map(text, c, Capitalize),
            "replace" => (a, c) => Replace(text, a.RequireString(0, "old", c), a.RequireString(1, "new", c), a.Int(2, "count", -1, c), c),
            "find" => (a, c) => Position(text, text.Text.IndexOf(Part(text, a, c), StringComparison.Ordinal)),
            "rfind" => (a, c) => Position(text, text.Text.LastIndexOf(Part(text, a, c), StringComparison.Ordinal)),
            "count" => (a, c) => new JinjaInt(
                Part(text, a, c) is { Length: > 0 } part ? text.Text.AsSpan().Count(part) : CodePoints.Count(text.Text) + 1),
            "join" => (a, c) => Sequences.Join(Sequences.Of(a.Require(0, "iterable", c), c), text, c),
            "isdigit" => (_, _) => JinjaBool.Of(text.Text.Length > 0 && text.Text.All(char.IsDigit)),
            "isalpha" => (_, _) => JinjaBool.Of(text.Text.Length > 0 && text.Text.All(char.IsLetter)),
            "isalnum" => (_, _) => JinjaBool.Of(text.Text.Length > 0 && text.Text.All(char.IsLetterOrDigit)),
            "isspace" => (_, _) => JinjaBool.Of(text.Text.Length > 0 && text.Text.All(IsSpace)),
            "isupper" => (_, _) => JinjaBool.Of(text.Text.Any(char.IsUpper) && !text.Text.Any(char.IsLower)),
            "islower" => (_, _) => JinjaBool.Of(text.Text.Any(char.IsLower) && !text.Text.Any(char.IsUpper)),
            _ => null,
        };
        return body is null ? null : new JinjaFunction(name, (arguments, context) =>
        {
            context.ChargeText(text.Text.Length);
            return body(arguments, context);
        });
    }

    public static JinjaString Strip(JinjaString text, CallArguments arguments, RenderContext context, bool left, bool right)
    {
        string? chars = arguments.Find(0, "chars") is null or JinjaNone ? null : arguments.RequireString(0, "chars", context).Text;
        int start = 0;
        int end = text.Text.Length;
        while (left && start < end && Stripped(text.Text[start]))
        {
            start++;
        }

        while (right && end > start && Stripped(text.Text[end - 1]))
        {
            end--;
        }

        return text.Slice(start, end - start);

        bool Stripped(char c) => chars is null ? IsSpace(c) : chars.Contains(c, StringComparison.Ordinal);
    }

    public static JinjaString Map(JinjaString text, RenderContext context, Func<string, string> map)
    {
        context.ChargeText(text.Text.Length);
        return text.Derive(map(text.Text));
    }

    public static JinjaString Replace(JinjaString text, JinjaString old, JinjaString replacement, long count, RenderContext context)
    {
        context.ChargeSearch(text.Text.Length, old.Text.Length);
        if (old.Text.Length == 0)
        {
            throw context.Fail("replacing the empty string is not supported");
        }

        MarkedTextBuilder builder = new();
        int start = 0;
        for (int at; count != 0 && (at = text.Text.IndexOf(old.Text, start, StringComparison.Ordinal)) >= 0; count--)
        {
            context.ChargeText(builder.Length + (long)replacement.Text.Length > context.Limits.MaxOutputLength ? long.MaxValue : replacement.Text.Length);
            builder.Append(text, start, at - start);
            builder.Append(replacement);
            start = at + old.Text.Length;
        }

        builder.Append(text, start, text.Text.Length - start);
        return builder.ToValue();
    }

    // Lower case is what the template asks for, not a normalization for comparing.
#pragma warning disable CA1308
    public static string Lower(string text) => text.ToLowerInvariant();

    public static string Capitalize(string text) =>
        text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();
#pragma warning restore CA1308

    /// <summary>Upper case where a word begins, lower case inside.</summary>
    public static string Title(string text, Func<char, bool> isInside)
    {
        StringBuilder result = new(text.Length);
        bool inside = false;
        foreach (char c in text)
        {
            result.Append(inside ? char.ToLower(c, CultureInfo.InvariantCulture) : char.ToUpperInvariant(c));
            inside = isInside(c);
        }

        return result.ToString();
    }

    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\x1c' and <= '\x1f';

    private static string Part(JinjaString text, CallArguments arguments, RenderContext context)
    {
        string part = arguments.RequireString(0, "sub", context).Text;
        context.ChargeSearch(text.Text.Length, part.Length);
        return part;
    }

    private static JinjaInt Position(JinjaString text, int index) => new(index < 0 ? -1 : CodePoints.Count(text.Text[..index]));

    private static JinjaBool Affix(JinjaString text, CallArguments arguments, RenderContext context, Func<string, string, bool> matches)
    {
        // A tuple means any of its members.
        JinjaValue part = arguments.Require(0, "prefix", context);
        IReadOnlyList<JinjaValue> parts = part is JinjaList { IsTuple: true } tuple ? tuple.Items : [part];
        foreach (JinjaValue candidate in parts)
        {
            if (matches(text.Text, (candidate as JinjaString ?? throw context.Fail($"expected a string, found {candidate.TypeName}")).Text))
            {
                return JinjaBool.True;
            }
        }

        return JinjaBool.False;
    }

    private static JinjaList SplitLines(JinjaString text, RenderContext context)
    {
        List<JinjaValue> lines = [];
        for (int start = 0; start < text.Text.Length;)
        {
            int end = text.Text.AsSpan(start).IndexOfAny('\r', '\n');
            end = end < 0 ? text.Text.Length : start + end;
            context.Charge(1);
            lines.Add(text.Slice(start, end - start));
            start = end + (end + 1 < text.Text.Length && text.Text[end] == '\r' && text.Text[end + 1] == '\n' ? 2 : 1);
        }

        return new JinjaList(lines);
    }

    private static JinjaList Split(JinjaString text, CallArguments arguments, RenderContext context, bool fromEnd)
    {
        long max = arguments.Int(1, "maxsplit", -1, context);
        List<TextRange> parts = arguments.Find(0, "sep") is null or JinjaNone
            ? SplitSpace(text.Text)
            : SplitText(text.Text, arguments.RequireString(0, "sep", context).Text, context);
        context.Charge(parts.Count);

        // More parts than asked for: join the surplus back, at the far end.
        if (max >= 0 && parts.Count > max + 1)
        {
            int surplus = parts.Count - (int)max - 1;
            int first = fromEnd ? 0 : (int)max;
            TextRange merged = new(parts[first].Start, parts[first + surplus].End - parts[first].Start);
            parts.RemoveRange(first, surplus);
            parts[first] = merged;
        }

        return new JinjaList([.. parts.Select(part => (JinjaValue)text.Slice(part.Start, part.Length))]);
    }

    private static List<TextRange> SplitText(string text, string separator, RenderContext context)
    {
        if (separator.Length == 0)
        {
            throw context.Fail("the separator must not be empty");
        }

        context.ChargeSearch(text.Length, separator.Length);

        List<TextRange> parts = [];
        int start = 0;
        for (int at; (at = text.IndexOf(separator, start, StringComparison.Ordinal)) >= 0; start = at + separator.Length)
        {
            parts.Add(new TextRange(start, at - start));
        }

        parts.Add(new TextRange(start, text.Length - start));
        return parts;
    }

    private static List<TextRange> SplitSpace(string text)
    {
        List<TextRange> parts = [];
        for (int i = 0; i < text.Length; i++)
        {
            int start = i;
            while (i < text.Length && !IsSpace(text[i]))
            {
                i++;
            }

            if (i > start)
            {
                parts.Add(new TextRange(start, i - start));
            }
        }

        return parts;
    }
}
