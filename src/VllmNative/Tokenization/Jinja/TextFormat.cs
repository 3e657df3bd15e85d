using System.Globalization;
using System.Text;

namespace VllmNative.Tokenization.Jinja;

/// <summary>Values as text: what printing gives, Python's repr, and the % operator.</summary>
internal static class TextFormat
{
    private static readonly System.Buffers.SearchValues<char> WidthCharacters = System.Buffers.SearchValues.Create("0123456789.");

    public static JinjaString Text(JinjaValue value, RenderContext context)
    {
        switch (value)
        {
            case JinjaString text:
                return text;
            case JinjaUndefined:
                return JinjaString.Empty;
            case JinjaList or JinjaDict:
                MarkedTextBuilder builder = new();
                Repr(value, builder, context);
                return builder.ToValue();
            default:
                return new JinjaString(Scalar(value));
        }
    }

    /// <summary>A float as Python writes it: shortest digits, exponent from 1e16 and below 1e-4.</summary>
    public static string Float(double value)
    {
        if (double.IsNaN(value) || double.IsInfinity(value))
        {
            return double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }

        string shortest = value.ToString("E16", CultureInfo.InvariantCulture);
        string digits = value.ToString("R", CultureInfo.InvariantCulture);
        int exponent = value == 0 ? 0 : int.Parse(shortest.AsSpan(shortest.IndexOf('E', StringComparison.Ordinal) + 1), CultureInfo.InvariantCulture);
        int e = digits.IndexOf('E', StringComparison.Ordinal);
        string mantissa = (e < 0 ? digits : digits[..e]).TrimStart('-').Replace(".", "", StringComparison.Ordinal).TrimStart('0').TrimEnd('0');
        mantissa = mantissa.Length == 0 ? "0" : mantissa;
        string sign = double.IsNegative(value) ? "-" : "";
        if (exponent is < -4 or >= 16)
        {
            string fraction = mantissa.Length > 1 ? "." + mantissa[1..] : "";
            return $"{sign}{mantissa[0]}{fraction}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}";
        }

        if (exponent < 0)
        {
            return $"{sign}0.{new string('0', -exponent - 1)}{mantissa}";
        }

        mantissa = mantissa.PadRight(exponent + 2, '0');
        return $"{sign}{mantissa[..(exponent + 1)]}.{mantissa[(exponent + 1)..]}";
    }

    /// <summary><c>format % values</c> with %s %r %d %i %f %x and %%.</summary>
    public static JinjaString Percent(JinjaString format, JinjaValue values, RenderContext context)
    {
        IReadOnlyList<JinjaValue> arguments = values is JinjaList { IsTuple: true } tuple ? tuple.Items : [values];
        MarkedTextBuilder output = new();
        int used = 0;
        string text = format.Text;
        context.ChargeText(text.Length);
        int start = 0;
        for (int i = text.IndexOf('%', StringComparison.Ordinal); i >= 0 && i + 1 < text.Length; i = text.IndexOf('%', start))
        {
            output.Append(format, start, i - start);
            int end = text.AsSpan(i + 1).IndexOfAnyExcept(WidthCharacters) + i + 1;
            if (end <= i)
            {
                throw context.Fail("incomplete format");
            }

            if (text[end] == '%')
            {
                output.Append("%");
            }
            else
            {
                JinjaValue value = used < arguments.Count ? arguments[used++] : throw context.Fail("not enough arguments for the format");
                JinjaString piece = FormatOne(text[end], text[(i + 1)..end], value, context);
                context.ChargeText((long)output.Length + piece.Text.Length);
                output.Append(piece);
            }

            start = end + 1;
        }

        output.Append(format, start, text.Length - start);
        return used == arguments.Count ? output.ToValue() : throw context.Fail("too many arguments for the format");
    }

    private static JinjaString FormatOne(char kind, string width, JinjaValue value, RenderContext context)
    {
        if (kind == 's' && width.Length == 0)
        {
            return Text(value, context);
        }

        if (kind is 'd' or 'i' && width.Length == 0 && Arithmetic.IsNumber(value))
        {
            return new JinjaString(((long)Arithmetic.ToDouble(value)).ToString(CultureInfo.InvariantCulture));
        }

        if (kind == 'f' && Arithmetic.IsNumber(value) && (width.Length == 0 || (width.Length == 2 && width[0] == '.')))
        {
            return new JinjaString(Arithmetic.ToDouble(value).ToString(width.Length == 0 ? "F6" : "F" + width[1], CultureInfo.InvariantCulture));
        }

        throw context.Fail($"the format '%{JsonItem.Shorten(width)}{kind}' of {value.TypeName} is not supported");
    }

    private static string Scalar(JinjaValue value) => value switch
    {
        JinjaNone => "None",
        JinjaBool flag => flag.Value ? "True" : "False",
        JinjaInt number => number.Value.ToString(CultureInfo.InvariantCulture),
        JinjaFloat number => Float(number.Value),
        JinjaUndefined => "Undefined",
        JinjaFunction function => $"<function {function.Name}>",
        _ => $"<{value.TypeName}>",
    };

    private static void Repr(JinjaValue value, MarkedTextBuilder output, RenderContext context)
    {
        context.Charge(1);
        context.Enter();
        switch (value)
        {
            case JinjaString text:
                context.ChargeText((long)output.Length + text.Text.Length);
                output.Append(text.Derive(Quote(text.Text)));
                break;
            case JinjaList list:
                output.Append(list.IsTuple ? "(" : "[");
                for (int i = 0; i < list.Items.Count; i++)
                {
                    output.Append(i == 0 ? "" : ", ");
                    Repr(list.Items[i], output, context);
                }

                output.Append(!list.IsTuple ? "]" : list.Items.Count == 1 ? ",)" : ")");
                break;
            case JinjaDict dict:
                output.Append("{");
                for (int i = 0; i < dict.Entries.Count; i++)
                {
                    output.Append(i == 0 ? "" : ", ");
                    Repr(dict.Entries[i].Key, output, context);
                    output.Append(": ");
                    Repr(dict.Entries[i].Value, output, context);
                }

                output.Append("}");
                break;
            default:
                output.Append(Scalar(value));
                break;
        }

        context.Leave();
    }

    private static string Quote(string text)
    {
        char quote = text.Contains('\'', StringComparison.Ordinal) && !text.Contains('"', StringComparison.Ordinal) ? '"' : '\'';
        StringBuilder result = new();
        result.Append(quote);
        foreach (char c in text)
        {
            _ = c switch
            {
                '\n' => result.Append("\\n"),
                '\r' => result.Append("\\r"),
                '\t' => result.Append("\\t"),
                '\\' => result.Append("\\\\"),
                _ when c == quote => result.Append('\\').Append(c),
                < ' ' or '\x7f' => result.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => result.Append(c),
            };
        }

        return result.Append(quote).ToString();
    }
}
