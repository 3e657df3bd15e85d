namespace VllmNative.Tokenization.Jinja;

/// <summary>Equality and order, as Python has them: 1 == 1.0 == True, lists by elements, strings by code unit.</summary>
internal static class Comparison
{
    public static bool Equal(JinjaValue left, JinjaValue right, RenderContext context)
    {
        context.Charge(1);
        if (left is JinjaString a && right is JinjaString b)
        {
            if (a.Text.Length != b.Text.Length)
            {
                return false;
            }

            context.ChargeText(a.Text.Length);
            return a.Text == b.Text;
        }

        context.Enter();
        bool equal = (left, right) switch
        {
            (JinjaList x, JinjaList y) => x.IsTuple == y.IsTuple && x.Items.Count == y.Items.Count
                && x.Items.Zip(y.Items).All(pair => Equal(pair.First, pair.Second, context)),
            (JinjaDict x, JinjaDict y) => x.Entries.Count == y.Entries.Count
                && x.Entries.All(entry => y.Find(entry.Key) is { } other && Equal(entry.Value, other, context)),
            _ => ScalarEquals(left, right),
        };
        context.Leave();
        return equal;
    }

    public static bool ScalarEquals(JinjaValue left, JinjaValue right)
    {
        if (left is JinjaString a && right is JinjaString b)
        {
            return a.Text == b.Text;
        }

        if (Arithmetic.IsNumber(left) && Arithmetic.IsNumber(right))
        {
            return left is JinjaFloat || right is JinjaFloat
                ? Arithmetic.ToDouble(left) == Arithmetic.ToDouble(right)
                : Arithmetic.ToLong(left) == Arithmetic.ToLong(right);
        }

        return ReferenceEquals(left, right) || (left is JinjaUndefined && right is JinjaUndefined);
    }

    /// <summary>Negative, zero or positive.</summary>
    public static int Order(JinjaValue left, JinjaValue right, RenderContext context)
    {
        context.Charge(1);
        switch (left, right)
        {
            case (JinjaString a, JinjaString b):
                context.ChargeText(Math.Min(a.Text.Length, b.Text.Length));
                return string.CompareOrdinal(a.Text, b.Text);
            case (JinjaList a, JinjaList b):
                context.Enter();
                int count = Math.Min(a.Items.Count, b.Items.Count);
                int order = 0;
                for (int i = 0; i < count && order == 0; i++)
                {
                    order = Order(a.Items[i], b.Items[i], context);
                }

                context.Leave();
                return order != 0 ? order : a.Items.Count.CompareTo(b.Items.Count);
            case (_, _) when Arithmetic.IsNumber(left) && Arithmetic.IsNumber(right):
                return left is JinjaFloat || right is JinjaFloat
                    ? Arithmetic.ToDouble(left).CompareTo(Arithmetic.ToDouble(right))
                    : Arithmetic.ToLong(left).CompareTo(Arithmetic.ToLong(right));
            default:
                throw context.Fail($"cannot compare {left.TypeName} with {right.TypeName}");
        }
    }

    /// <summary><c>item in container</c>.</summary>
    public static bool Contains(JinjaValue container, JinjaValue item, RenderContext context)
    {
        switch (container)
        {
            case JinjaString text when item is JinjaString part:
                context.ChargeSearch(text.Text.Length, part.Text.Length);
                return text.Text.Contains(part.Text, StringComparison.Ordinal);
            case JinjaString:
                throw context.Fail($"'in <string>' requires a string on the left, found {item.TypeName}");
            case JinjaList list:
                return list.Items.Any(other => Equal(other, item, context));
            case JinjaDict dict:
                return dict.Find(item) is not null;
            case JinjaUndefined:
                return false;
            default:
                throw context.Fail($"{container.TypeName} is not a container");
        }
    }
}
