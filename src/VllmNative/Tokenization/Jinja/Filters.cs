using System.Globalization;

namespace VllmNative.Tokenization.Jinja;

/// <summary>The filters by name; those on sequences are in <see cref="SequenceFilters"/>.</summary>
internal static class Filters
{
    private static readonly Dictionary<string, Func<JinjaValue, CallArguments, RenderContext, JinjaValue>> All = Build();

    public static bool IsKnown(string name) => All.ContainsKey(name);

    public static JinjaValue Run(string name, JinjaValue value, CallArguments arguments, RenderContext context) =>
        All.TryGetValue(name, out var filter)
            ? filter(value, arguments, context)
            : throw context.Fail($"no filter named '{JsonItem.Shorten(name)}'");

    private static Dictionary<string, Func<JinjaValue, CallArguments, RenderContext, JinjaValue>> Build()
    {
        Dictionary<string, Func<JinjaValue, CallArguments, RenderContext, JinjaValue>> all = new(StringComparer.Ordinal)
        {
            ["tojson"] = (value, a, context) => value is JinjaUndefined undefined
                ? throw context.Fail(undefined.Reason)
                : JsonText.Write(value, a, context),
            ["safe"] = (value, _, _) => value,
            ["string"] = (value, _, context) => TextFormat.Text(value, context),
            ["default"] = Default,
            ["d"] = Default,
            ["trim"] = (value, a, context) => StringMethods.Strip(Text(value, context), a, context, true, true),
            ["upper"] = (value, _, context) => StringMethods.Map(Text(value, context), context, text => text.ToUpperInvariant()),
            ["lower"] = (value, _, context) => StringMethods.Map(Text(value, context), context, StringMethods.Lower),
            ["capitalize"] = (value, _, context) => StringMethods.Map(Text(value, context), context, StringMethods.Capitalize),
            ["title"] = (value, _, context) => StringMethods.Map(
                Text(value, context), context, text => StringMethods.Title(text, c => !(StringMethods.IsSpace(c) || "-({[<".Contains(c, StringComparison.Ordinal)))),
            ["replace"] = (value, a, context) => StringMethods.Replace(
                Text(value, context), a.RequireString(0, "old", context), a.RequireString(1, "new", context), a.Int(2, "count", -1, context), context),
            ["indent"] = Indent,
            ["wordcount"] = (value, _, context) => new JinjaInt(
                Text(value, context).Text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length),
            ["format"] = (value, a, context) => TextFormat.Percent(Text(value, context), new JinjaList(a.Positional, isTuple: true), context),
            ["escape"] = Escape,
            ["e"] = Escape,
            ["int"] = ToInt,
            ["float"] = ToFloat,
            ["abs"] = (value, _, context) => Arithmetic.IsNumber(value)
                ? Arithmetic.ToDouble(value) < 0 ? Arithmetic.Negate(value, context) : value
                : throw context.Fail($"abs of {value.TypeName}"),
            ["round"] = Round,
        };
        SequenceFilters.AddTo(all);
        return all;
    }

    private static JinjaString Text(JinjaValue value, RenderContext context)
    {
        JinjaString text = TextFormat.Text(value, context);
        context.ChargeText(text.Text.Length);
        return text;
    }

    private static JinjaValue Default(JinjaValue value, CallArguments arguments, RenderContext context) =>
        value is JinjaUndefined || (arguments.Flag(1, "boolean", false) && !value.IsTrue)
            ? arguments.Find(0, "default_value") ?? JinjaString.Empty
            : value;

    private static JinjaString Escape(JinjaValue value, CallArguments arguments, RenderContext context) =>
        StringMethods.Map(Text(value, context), context, text => text
            .Replace("&", "&amp;", StringComparison.Ordinal).Replace("<", "&lt;", StringComparison.Ordinal)
            .Replace(">", "&gt;", StringComparison.Ordinal).Replace("\"", "&#34;", StringComparison.Ordinal)
            .Replace("'", "&#39;", StringComparison.Ordinal));

    private static JinjaValue ToInt(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        double number;
        switch (value)
        {
            case JinjaInt or JinjaBool:
                return new JinjaInt(Arithmetic.ToLong(value));
            case JinjaFloat real:
                number = real.Value;
                break;
            case JinjaString text when long.TryParse(text.Text.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long integer):
                return new JinjaInt(integer);
            case JinjaString text when double.TryParse(text.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out number):
                break;
            default:
                return arguments.Find(0, "default") ?? new JinjaInt(0);
        }

        return Math.Abs(number) < long.MaxValue ? new JinjaInt((long)number) : arguments.Find(0, "default") ?? new JinjaInt(0);
    }

    private static JinjaValue ToFloat(JinjaValue value, CallArguments arguments, RenderContext context) => value switch
    {
        JinjaInt or JinjaBool or JinjaFloat => new JinjaFloat(Arithmetic.ToDouble(value)),
        JinjaString text when double.TryParse(text.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) => new JinjaFloat(number),
        _ => arguments.Find(0, "default") ?? new JinjaFloat(0),
    };

    private static JinjaFloat Round(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        if (!Arithmetic.IsNumber(value))
        {
            throw context.Fail($"round of {value.TypeName}");
        }

        double scale = Math.Pow(10, Math.Clamp(arguments.Int(0, "precision", 0, context), -15, 15));
        double number = Arithmetic.ToDouble(value) * scale;
        string method = arguments.Find(1, "method") is JinjaString name ? name.Text : "common";
        return new JinjaFloat(method switch
        {
            "common" => Math.Round(number, MidpointRounding.ToEven),
            "ceil" => Math.Ceiling(number),
            "floor" => Math.Floor(number),
            _ => throw context.Fail($"the rounding method '{JsonItem.Shorten(method)}' is not known"),
        } / scale);
    }

    private static JinjaString Indent(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        JinjaString text = Text(value, context);
        JinjaString pad = arguments.Find(0, "width") as JinjaString
            ?? new JinjaString(new string(' ', (int)Math.Clamp(arguments.Int(0, "width", 4, context), 0, 256)));
        bool indentFirst = arguments.Flag(1, "first", false);
        bool indentBlank = arguments.Flag(2, "blank", false);
        MarkedTextBuilder builder = new();
        for (int start = 0; start <= text.Text.Length;)
        {
            int end = text.Text.IndexOf('\n', start);
            end = end < 0 ? text.Text.Length : end;
            bool blank = end == start;
            if ((start > 0 || indentFirst) && (!blank || indentBlank))
            {
                context.ChargeText((long)pad.Text.Length + (builder.Length > context.Limits.MaxOutputLength ? builder.Length : 0));
                builder.Append(pad);
            }

            builder.Append(text, start, Math.Min(end + 1, text.Text.Length) - start);
            start = end + 1;
        }

        return builder.ToValue();
    }
}
