namespace VllmNative.Tokenization.Jinja;

/// <summary>The arithmetic operators. Integers have 64 bits; what does not fit fails.</summary>
internal static class Arithmetic
{
    public static bool IsNumber(JinjaValue value) => value is JinjaInt or JinjaFloat or JinjaBool;

    public static long ToLong(JinjaValue value) => value is JinjaBool flag ? (flag.Value ? 1 : 0) : ((JinjaInt)value).Value;

    public static double ToDouble(JinjaValue value) => value is JinjaFloat number ? number.Value : ToLong(value);

    public static JinjaValue Negate(JinjaValue value, RenderContext context) => value switch
    {
        JinjaFloat number => new JinjaFloat(-number.Value),
        JinjaInt or JinjaBool => Compute("-", new JinjaInt(0), value, context),
        _ => throw context.Fail($"cannot negate {value.TypeName}"),
    };

    public static JinjaValue Apply(string op, JinjaValue left, JinjaValue right, RenderContext context)
    {
        if (left is JinjaUndefined undefined || (undefined = (right as JinjaUndefined)!) is not null)
        {
            throw context.Fail(undefined.Reason);
        }

        switch (op, left, right)
        {
            case ("+", JinjaString a, JinjaString b):
                return Concat(a, b, context);
            case ("+", JinjaList a, JinjaList b) when a.IsTuple == b.IsTuple:
                context.Charge(a.Items.Count + b.Items.Count);
                return new JinjaList([.. a.Items, .. b.Items], a.IsTuple);
            case ("*", JinjaString text, JinjaInt or JinjaBool):
                return Repeat(text, ToLong(right), context);
            case ("*", JinjaInt or JinjaBool, JinjaString text):
                return Repeat(text, ToLong(left), context);
            case ("*", JinjaList list, JinjaInt):
                long times = Math.Max(0, ToLong(right));
                context.Charge(list.Items.Count == 0 ? 1 : (long)Math.Min(long.MaxValue / 2, (double)list.Items.Count * times));
                return new JinjaList([.. Enumerable.Range(0, list.Items.Count == 0 ? 0 : (int)times).SelectMany(_ => list.Items)], list.IsTuple);
            case ("%", JinjaString format, _):
                return TextFormat.Percent(format, right, context);
            default:
                return IsNumber(left) && IsNumber(right)
                    ? Compute(op, left, right, context)
                    : throw context.Fail($"cannot apply '{op}' to {left.TypeName} and {right.TypeName}");
        }
    }

    public static JinjaString Concat(JinjaString left, JinjaString right, RenderContext context)
    {
        context.ChargeText((long)left.Text.Length + right.Text.Length);
        MarkedTextBuilder builder = new();
        builder.Append(left);
        builder.Append(right);
        return builder.ToValue();
    }

    private static JinjaString Repeat(JinjaString text, long times, RenderContext context)
    {
        times = text.Text.Length == 0 ? 0 : Math.Max(0, times);
        context.ChargeText(times > context.Limits.MaxOutputLength ? times : times * text.Text.Length);
        MarkedTextBuilder builder = new();
        for (long i = 0; i < times; i++)
        {
            builder.Append(text);
        }

        return builder.ToValue();
    }

    private static JinjaValue Compute(string op, JinjaValue left, JinjaValue right, RenderContext context)
    {
        bool divides = op is "/" or "//" or "%";
        if (divides && ToDouble(right) == 0)
        {
            throw context.Fail("division by zero");
        }

        if (op == "/" || left is JinjaFloat || right is JinjaFloat || (op == "**" && ToLong(right) < 0))
        {
            return ComputeFloat(op, ToDouble(left), ToDouble(right));
        }

        try
        {
            return new JinjaInt(ComputeInt(op, ToLong(left), ToLong(right)));
        }
        catch (OverflowException)
        {
            throw context.Fail($"the result of '{op}' does not fit 64 bits");
        }
    }

    private static long ComputeInt(string op, long a, long b)
    {
        checked
        {
            switch (op)
            {
                case "+":
                    return a + b;
                case "-":
                    return a - b;
                case "*":
                    return a * b;
                case "//":
                    // Python rounds towards minus infinity.
                    return (a / b) - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
                case "%":
                    long rest = b == -1 ? 0 : a % b;
                    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
                default:
                    return Power(a, b);
            }
        }
    }

    private static long Power(long value, long exponent)
    {
        if (value is 0 or 1 || exponent == 0)
        {
            return exponent == 0 ? 1 : value;
        }

        if (value == -1)
        {
            return exponent % 2 == 0 ? 1 : -1;
        }

        long result = 1;
        for (long i = 0; i < exponent; i++)
        {
            result = checked(result * value);
        }

        return result;
    }

    private static JinjaFloat ComputeFloat(string op, double a, double b) => new(op switch
    {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => Math.Floor(a / b),
        "%" => a - (b * Math.Floor(a / b)),
        _ => Math.Pow(a, b),
    });
}
