namespace VllmNative.Tokenization.Jinja;

/// <summary>The tests of <c>is</c>.</summary>
internal static class Tests
{
    private static readonly Dictionary<string, Func<JinjaValue, CallArguments, RenderContext, bool>> All = new(StringComparer.Ordinal)
    {
        ["defined"] = (value, _, _) => value is not JinjaUndefined,
        ["undefined"] = (value, _, _) => value is JinjaUndefined,
        ["none"] = (value, _, _) => value is JinjaNone,
        ["string"] = (value, _, _) => value is JinjaString,
        ["mapping"] = (value, _, _) => value is JinjaDict,
        ["sequence"] = (value, _, _) => value is JinjaString or JinjaList or JinjaDict,
        ["iterable"] = (value, _, _) => value is JinjaString or JinjaList or JinjaDict or JinjaUndefined,
        ["number"] = (value, _, _) => value is JinjaInt or JinjaFloat or JinjaBool,
        ["integer"] = (value, _, _) => value is JinjaInt,
        ["float"] = (value, _, _) => value is JinjaFloat,
        ["boolean"] = (value, _, _) => value is JinjaBool,
        ["true"] = (value, _, _) => value == JinjaBool.True,
        ["false"] = (value, _, _) => value == JinjaBool.False,
        ["callable"] = (value, _, _) => value is JinjaFunction,
        ["odd"] = (value, _, context) => Arithmetic.Apply("%", value, new JinjaInt(2), context) is JinjaInt { Value: 1 },
        ["even"] = (value, _, context) => Arithmetic.Apply("%", value, new JinjaInt(2), context) is JinjaInt { Value: 0 },
        ["divisibleby"] = (value, a, context) => !Arithmetic.Apply("%", value, a.Require(0, "num", context), context).IsTrue,
        ["sameas"] = (value, a, context) => ReferenceEquals(value, a.Require(0, "other", context)),
        ["lower"] = (value, _, context) => TextFormat.Text(value, context).Text is var text && string.Equals(text, StringMethods.Lower(text), StringComparison.Ordinal),
        ["upper"] = (value, _, context) => TextFormat.Text(value, context).Text is var text && string.Equals(text, text.ToUpperInvariant(), StringComparison.Ordinal),
        ["in"] = (value, a, context) => Comparison.Contains(a.Require(0, "seq", context), value, context),
        ["equalto"] = (value, a, context) => Comparison.Equal(value, a.Require(0, "other", context), context),
        ["ne"] = (value, a, context) => !Comparison.Equal(value, a.Require(0, "other", context), context),
        ["lt"] = (value, a, context) => Comparison.Order(value, a.Require(0, "other", context), context) < 0,
        ["le"] = (value, a, context) => Comparison.Order(value, a.Require(0, "other", context), context) <= 0,
        ["gt"] = (value, a, context) => Comparison.Order(value, a.Require(0, "other", context), context) > 0,
        ["ge"] = (value, a, context) => Comparison.Order(value, a.Require(0, "other", context), context) >= 0,
        ["filter"] = (value, _, _) => value is JinjaString name && Filters.IsKnown(name.Text),
        ["test"] = (value, _, _) => value is JinjaString name && IsKnown(name.Text),
    };

    private static readonly Dictionary<string, string> Aliases = new(StringComparer.Ordinal)
    {
        ["eq"] = "equalto",
        ["=="] = "equalto",
        ["!="] = "ne",
        ["<"] = "lt",
        ["lessthan"] = "lt",
        ["<="] = "le",
        [">"] = "gt",
        ["greaterthan"] = "gt",
        [">="] = "ge",
    };

    public static bool IsKnown(string name) => All.ContainsKey(name) || Aliases.ContainsKey(name);

    public static bool Run(string name, JinjaValue value, CallArguments arguments, RenderContext context)
    {
        string known = Aliases.GetValueOrDefault(name, name);
        return All.TryGetValue(known, out var test)
            ? test(value, arguments, context)
            : throw context.Fail($"no test named '{JsonItem.Shorten(name)}'");
    }
}
