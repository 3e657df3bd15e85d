namespace VllmNative.Tokenization.Jinja;

/// <summary>What a loop or a filter sees when it goes through a value.</summary>
internal static class Sequences
{
    public static IReadOnlyList<JinjaValue> Of(JinjaValue value, RenderContext context)
    {
        switch (value)
        {
            case JinjaList list:
                context.Charge(list.Items.Count);
                return list.Items;
            case JinjaDict dict:
                context.Charge(dict.Entries.Count);
                return [.. dict.Entries.Select(entry => entry.Key)];
            case JinjaString text:
                context.Charge(text.Text.Length);
                int[] offsets = CodePoints.Offsets(text.Text);
                return [.. Enumerable.Range(0, offsets.Length - 1).Select(i => (JinjaValue)text.Slice(offsets[i], offsets[i + 1] - offsets[i]))];
            case JinjaUndefined:
                return [];
            default:
                throw context.Fail($"{value.TypeName} is not iterable");
        }
    }

    public static long Length(JinjaValue value, RenderContext context)
    {
        switch (value)
        {
            case JinjaString text:
                context.ChargeText(text.Text.Length);
                return CodePoints.Count(text.Text);
            case JinjaList list:
                return list.Items.Count;
            case JinjaDict dict:
                return dict.Entries.Count;
            case JinjaUndefined:
                return 0;
            default:
                throw context.Fail($"{value.TypeName} has no length");
        }
    }

    public static JinjaString Join(IReadOnlyList<JinjaValue> items, JinjaString separator, RenderContext context)
    {
        MarkedTextBuilder builder = new();
        for (int i = 0; i < items.Count; i++)
        {
            JinjaString text = TextFormat.Text(items[i], context);
            long added = (long)separator.Text.Length + text.Text.Length;
            context.ChargeText(builder.Length + added > context.Limits.MaxOutputLength ? builder.Length + added : added);
            if (i > 0)
            {
                builder.Append(separator);
            }

            builder.Append(text);
        }

        return builder.ToValue();
    }

    /// <summary>A path of attributes and indices, as map(attribute="a.b.0") has them.</summary>
    public static JinjaValue Path(JinjaValue value, JinjaValue path, RenderContext context)
    {
        if (path is not JinjaString text)
        {
            return Members.Item(value, path, context);
        }

        foreach (string part in text.Text.Split('.'))
        {
            value = long.TryParse(part, out long index)
                ? Members.Item(value, new JinjaInt(index), context)
                : Members.Item(value, new JinjaString(part), context);
        }

        return value;
    }
}
