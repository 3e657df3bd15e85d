namespace VllmNative.Tokenization.Jinja;

/// <summary>Filters that go through a sequence.</summary>
internal static class SequenceFilters
{
    public static void AddTo(Dictionary<string, Func<JinjaValue, CallArguments, RenderContext, JinjaValue>> all)
    {
        all["length"] = (value, _, context) => new JinjaInt(Sequences.Length(value, context));
        all["count"] = all["length"];
        all["list"] = (value, _, context) => new JinjaList(Sequences.Of(value, context));
        all["first"] = (value, _, context) => Sequences.Of(value, context) is [var first, ..] ? first : Empty();
        all["last"] = (value, _, context) => Sequences.Of(value, context) is [.., var last] ? last : Empty();
        all["join"] = (value, a, context) => Sequences.Join(
            Keyed(Sequences.Of(value, context), a.Find(1, "attribute"), context),
            a.Find(0, "d") is { } separator ? TextFormat.Text(separator, context) : JinjaString.Empty, context);
        all["map"] = Map;
        all["select"] = (value, a, context) => Select(value, a, context, byAttribute: false, keep: true);
        all["reject"] = (value, a, context) => Select(value, a, context, byAttribute: false, keep: false);
        all["selectattr"] = (value, a, context) => Select(value, a, context, byAttribute: true, keep: true);
        all["rejectattr"] = (value, a, context) => Select(value, a, context, byAttribute: true, keep: false);
        all["items"] = (value, _, context) => value switch
        {
            JinjaDict dict => DictMethods.Items(dict, context),
            JinjaUndefined => new JinjaList([]),
            _ => throw context.Fail($"items of {value.TypeName}"),
        };
        all["dictsort"] = DictSort;
        all["unique"] = Unique;
        all["reverse"] = (value, _, context) => value is JinjaString text
            ? text.Derive(string.Concat(Sequences.Of(text, context).Reverse().Select(item => ((JinjaString)item).Text)))
            : new JinjaList([.. Sequences.Of(value, context).Reverse()]);
        all["sort"] = Sort;
        all["min"] = (value, a, context) => Extreme(value, a, context, sign: -1);
        all["max"] = (value, a, context) => Extreme(value, a, context, sign: 1);
        all["sum"] = (value, a, context) => Keyed(Sequences.Of(value, context), a.Find(0, "attribute"), context)
            .Aggregate(a.Find(1, "start") ?? new JinjaInt(0), (sum, item) => Arithmetic.Apply("+", sum, item, context));
    }

    private static JinjaUndefined Empty() => new("the sequence is empty");

    private static IReadOnlyList<JinjaValue> Keyed(IReadOnlyList<JinjaValue> items, JinjaValue? attribute, RenderContext context) =>
        attribute is null or JinjaNone ? items : [.. items.Select(item => Sequences.Path(item, attribute, context))];

    private static JinjaList Map(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        IReadOnlyList<JinjaValue> items = Sequences.Of(value, context);
        if (arguments.Positional.Count == 0)
        {
            JinjaValue attribute = arguments.Require(0, "attribute", context);
            JinjaValue? fallback = arguments.Find(1, "default");
            return new JinjaList([.. items.Select(item => Sequences.Path(item, attribute, context) is var found
                && found is JinjaUndefined && fallback is not null ? fallback : found)]);
        }

        string filter = arguments.RequireString(0, "filter", context).Text;
        CallArguments rest = new([.. arguments.Positional.Skip(1)], arguments.Named);
        context.Enter();
        JinjaList result = new([.. items.Select(item => Filters.Run(filter, item, rest, context))]);
        context.Leave();
        return result;
    }

    private static JinjaList Select(JinjaValue value, CallArguments arguments, RenderContext context, bool byAttribute, bool keep)
    {
        int skip = byAttribute ? 1 : 0;
        JinjaValue? attribute = byAttribute ? arguments.Require(0, "attribute", context) : null;
        string? test = arguments.Positional.Count > skip ? arguments.RequireString(skip, "test", context).Text : null;
        CallArguments rest = new([.. arguments.Positional.Skip(skip + 1)], arguments.Named);
        return new JinjaList([.. Sequences.Of(value, context).Where(item =>
        {
            JinjaValue subject = attribute is null ? item : Sequences.Path(item, attribute, context);
            return (test is null ? subject.IsTrue : Tests.Run(test, subject, rest, context)) == keep;
        })]);
    }

    private static JinjaList Sort(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        IReadOnlyList<JinjaValue> items = Sequences.Of(value, context);
        JinjaValue? attribute = arguments.Find(2, "attribute");
        return new JinjaList(Ordered(
            items, Keyed(items, attribute, context), arguments.Flag(1, "case_sensitive", false), arguments.Flag(0, "reverse", false), context));
    }

    private static JinjaList DictSort(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        if (value is not JinjaDict dict)
        {
            throw context.Fail($"dictsort of {value.TypeName}");
        }

        bool byValue = arguments.Find(1, "by") is JinjaString { Text: "value" };
        return new JinjaList(Ordered(
            DictMethods.Items(dict, context).Items,
            [.. dict.Entries.Select(entry => byValue ? entry.Value : entry.Key)],
            arguments.Flag(0, "case_sensitive", false), arguments.Flag(2, "reverse", false), context));
    }

    private static List<JinjaValue> Ordered(
        IReadOnlyList<JinjaValue> items, IReadOnlyList<JinjaValue> keys, bool caseSensitive, bool reverse, RenderContext context)
    {
        // LINQ's sort is stable, as Python's is, also in reverse.
        IEnumerable<(JinjaValue Item, JinjaValue Key)> pairs = items.Zip(keys.Select(key => Fold(key, caseSensitive, context)));
        Comparer<JinjaValue> comparer = Comparer<JinjaValue>.Create((left, right) => Comparison.Order(left, right, context));
        try
        {
            return [.. (reverse ? pairs.OrderByDescending(pair => pair.Key, comparer) : pairs.OrderBy(pair => pair.Key, comparer)).Select(pair => pair.Item)];
        }
        catch (InvalidOperationException e) when (e.InnerException is ChatTemplateException inner)
        {
            // Sorting wraps what the comparer throws.
            throw inner;
        }
    }

    private static JinjaValue Fold(JinjaValue value, bool caseSensitive, RenderContext context) =>
        !caseSensitive && value is JinjaString text ? StringMethods.Map(text, context, StringMethods.Lower) : value;

    private static JinjaList Unique(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        bool caseSensitive = arguments.Flag(0, "case_sensitive", false);
        List<JinjaValue> keys = [];
        List<JinjaValue> result = [];
        IReadOnlyList<JinjaValue> items = Sequences.Of(value, context);
        IReadOnlyList<JinjaValue> itemKeys = Keyed(items, arguments.Find(1, "attribute"), context);
        for (int i = 0; i < items.Count; i++)
        {
            JinjaValue key = Fold(itemKeys[i], caseSensitive, context);
            if (!keys.Exists(known => Comparison.Equal(known, key, context)))
            {
                keys.Add(key);
                result.Add(items[i]);
            }
        }

        return new JinjaList(result);
    }

    private static JinjaValue Extreme(JinjaValue value, CallArguments arguments, RenderContext context, int sign)
    {
        IReadOnlyList<JinjaValue> items = Sequences.Of(value, context);
        bool caseSensitive = arguments.Flag(0, "case_sensitive", false);
        IReadOnlyList<JinjaValue> keys = Keyed(items, arguments.Find(1, "attribute"), context);
        int best = 0;
        for (int i = 1; i < items.Count; i++)
        {
            if (Comparison.Order(Fold(keys[i], caseSensitive, context), Fold(keys[best], caseSensitive, context), context) * sign > 0)
            {
                best = i;
            }
        }

        return items.Count > 0 ? items[best] : Empty();
    }
}
