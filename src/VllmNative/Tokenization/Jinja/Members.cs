namespace VllmNative.Tokenization.Jinja;

/// <summary>Attribute and item lookup: data of the value itself and a fixed list of methods, nothing else.</summary>
internal static class Members
{
    /// <summary><c>value.name</c>: a method wins over an entry, as in Jinja.</summary>
    public static JinjaValue Attribute(JinjaValue target, string name, RenderContext context) =>
        FindAttribute(target, name, context)
        ?? (target as JinjaDict)?.Find(name)
        ?? Missing(target, name, context);

    /// <summary><c>value[index]</c>: an entry wins over a method.</summary>
    public static JinjaValue Item(JinjaValue target, JinjaValue index, RenderContext context)
    {
        JinjaValue? found = target switch
        {
            JinjaDict dict => dict.Find(index),
            JinjaList list when index is JinjaInt or JinjaBool => At(list.Items, Arithmetic.ToLong(index)),
            JinjaString text when index is JinjaInt or JinjaBool => CharacterAt(text, Arithmetic.ToLong(index), context),
            _ => null,
        };
        return found
            ?? (index is JinjaString name ? FindAttribute(target, name.Text, context) : null)
            ?? Missing(target, TextFormat.Text(index, context).Text, context);
    }

    public static JinjaValue Slice(JinjaValue target, JinjaValue? start, JinjaValue? stop, JinjaValue? step, RenderContext context)
    {
        long by = Bound(step, 1, context);
        if (by == 0)
        {
            throw context.Fail("the step of a slice must not be zero");
        }

        switch (target)
        {
            case JinjaList list:
                context.Charge(list.Items.Count);
                return new JinjaList([.. Indices(list.Items.Count).Select(i => list.Items[i])], list.IsTuple);
            case JinjaString text:
                context.ChargeText(text.Text.Length);
                MarkedTextBuilder builder = new();
                int[] offsets = CodePoints.Offsets(text.Text);
                foreach (int i in Indices(offsets.Length - 1))
                {
                    builder.Append(text, offsets[i], offsets[i + 1] - offsets[i]);
                }

                return builder.ToValue();
            case JinjaUndefined undefined:
                throw context.Fail(undefined.Reason);
            default:
                throw context.Fail($"{target.TypeName} cannot be sliced");
        }

        IEnumerable<int> Indices(int count)
        {
            long first = by > 0 ? 0 : count - 1;
            long last = by > 0 ? count : -1;
            long i = start is null or JinjaNone ? first : Clamp(Bound(start, 0, context), count);
            long end = stop is null or JinjaNone ? last : Clamp(Bound(stop, 0, context), count);
            for (; by > 0 ? i < end : i > end; i += by)
            {
                yield return (int)i;
            }
        }

        long Clamp(long value, int count)
        {
            value = value < 0 ? value + count : value;
            return by > 0 ? Math.Clamp(value, 0, count) : Math.Clamp(value, -1, count - 1);
        }
    }

    private static long Bound(JinjaValue? value, long fallback, RenderContext context) => value switch
    {
        null or JinjaNone => fallback,
        // Beyond any length, and far from overflow.
        JinjaInt number => Math.Clamp(number.Value, int.MinValue, int.MaxValue),
        _ => throw context.Fail($"slice bounds must be integers, found {value.TypeName}"),
    };

    private static JinjaValue? FindAttribute(JinjaValue target, string name, RenderContext context) => target switch
    {
        JinjaUndefined undefined => throw context.Fail(undefined.Reason),
        JinjaNamespace bag => bag.Members.GetValueOrDefault(name),
        JinjaLoop loop => loop.Find(name),
        JinjaString text => StringMethods.Find(text, name),
        JinjaDict dict => DictMethods.Find(dict, name),
        JinjaList list => ListMethods.Find(list, name),
        _ => null,
    };

    private static JinjaUndefined Missing(JinjaValue target, string name, RenderContext context)
    {
        context.Charge(1);
        return target is JinjaUndefined undefined
            ? throw context.Fail(undefined.Reason)
            : new JinjaUndefined($"'{target.TypeName} object' has no attribute '{JsonItem.Shorten(name)}'");
    }

    private static JinjaValue? At(IReadOnlyList<JinjaValue> items, long index)
    {
        index = index < 0 ? index + items.Count : index;
        return index >= 0 && index < items.Count ? items[(int)index] : null;
    }

    private static JinjaString? CharacterAt(JinjaString text, long index, RenderContext context)
    {
        context.ChargeText(text.Text.Length);
        int[] offsets = CodePoints.Offsets(text.Text);
        int count = offsets.Length - 1;
        index = index < 0 ? index + count : index;
        return index >= 0 && index < count ? text.Slice(offsets[index], offsets[index + 1] - offsets[index]) : null;
    }
}
