using System.Globalization;
using System.Text;

namespace VllmNative.Tokenization.Jinja;

/// <summary>The functions that every chat template may call.</summary>
internal static class Globals
{
    private static readonly Dictionary<string, JinjaFunction> All = new JinjaFunction[]
    {
        new("raise_exception", (arguments, context) => throw new ChatTemplateException(
            context.Line, TextFormat.Text(arguments.Require(0, "message", context), context).Text, isRejection: true)),
        new("range", Range),
        new("namespace", Namespace),
        new("dict", (arguments, _) =>
        {
            JinjaDict dict = new();
            foreach ((string key, JinjaValue value) in arguments.Named)
            {
                dict.Set(key, value);
            }

            return dict;
        }),
        new("strftime_now", (arguments, context) => new JinjaString(
            FormatTime(arguments.RequireString(0, "format", context).Text, context))),
    }.ToDictionary(function => function.Name, StringComparer.Ordinal);

    public static JinjaFunction? Find(string name) => All.GetValueOrDefault(name);

    private static JinjaList Range(CallArguments arguments, RenderContext context)
    {
        bool single = arguments.Positional.Count == 1;
        long start = single ? 0 : arguments.Int(0, "start", 0, context);
        long stop = arguments.Int(single ? 0 : 1, "stop", 0, context);
        long step = arguments.Int(2, "step", 1, context);
        if (step == 0)
        {
            throw context.Fail("the step of range() must not be zero");
        }

        Int128 span = step > 0 ? (Int128)stop - start : (Int128)start - stop;
        Int128 count = span <= 0 ? 0 : (span + Int128.Abs(step) - 1) / Int128.Abs(step);
        if (count > context.Limits.MaxRange)
        {
            throw context.Fail($"range() of {count} items is over the limit of {context.Limits.MaxRange}");
        }

        context.Charge((long)count);
        return new JinjaList([.. Enumerable.Range(0, (int)count).Select(i => (JinjaValue)new JinjaInt(start + (i * step)))]);
    }

    private static JinjaNamespace Namespace(CallArguments arguments, RenderContext context)
    {
        JinjaNamespace bag = new();
        if (arguments.Positional is [JinjaDict initial, ..])
        {
            foreach ((JinjaValue key, JinjaValue value) in initial.Entries)
            {
                bag.Members[TextFormat.Text(key, context).Text] = value;
            }
        }

        foreach ((string key, JinjaValue value) in arguments.Named)
        {
            bag.Members[key] = value;
        }

        return bag;
    }

    private static string FormatTime(string format, RenderContext context)
    {
        StringBuilder result = new();
        DateTimeOffset now = context.Now;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                result.Append(format[i]);
                continue;
            }

            bool unpadded = format[++i] == '-' && i + 1 < format.Length;
            char code = unpadded ? format[++i] : format[i];
            string text = code switch
            {
                'Y' => now.ToString("yyyy", CultureInfo.InvariantCulture),
                'y' => now.ToString("yy", CultureInfo.InvariantCulture),
                'm' => now.ToString("MM", CultureInfo.InvariantCulture),
                'd' => now.ToString("dd", CultureInfo.InvariantCulture),
                'e' => now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
                'B' => now.ToString("MMMM", CultureInfo.InvariantCulture),
                'b' => now.ToString("MMM", CultureInfo.InvariantCulture),
                'A' => now.ToString("dddd", CultureInfo.InvariantCulture),
                'a' => now.ToString("ddd", CultureInfo.InvariantCulture),
                'H' => now.ToString("HH", CultureInfo.InvariantCulture),
                'I' => now.ToString("hh", CultureInfo.InvariantCulture),
                'M' => now.ToString("mm", CultureInfo.InvariantCulture),
                'S' => now.ToString("ss", CultureInfo.InvariantCulture),
                'p' => now.ToString("tt", CultureInfo.InvariantCulture),
                'j' => now.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
                'F' => now.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
                'T' => now.ToString("HH:mm:ss", CultureInfo.InvariantCulture),
                '%' => "%",
                _ => throw context.Fail($"the time format '%{code}' is not supported"),
            };
            result.Append(unpadded ? text.TrimStart('0') is { Length: > 0 } trimmed ? trimmed : "0" : text);
        }

        return result.ToString();
    }
}
