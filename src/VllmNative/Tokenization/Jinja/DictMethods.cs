namespace VllmNative.Tokenization.Jinja;

/// <summary>Methods of dictionaries; those that would change one do not exist here.</summary>
internal static class DictMethods
{
    public static JinjaFunction? Find(JinjaDict dict, string name) => name switch
    {
        "items" => new(name, (_, context) => Items(dict, context)),
        "keys" => new(name, (_, context) => All(dict, context, entry => entry.Key)),
        "values" => new(name, (_, context) => All(dict, context, entry => entry.Value)),
        "get" => new(name, (arguments, context) =>
            dict.Find(arguments.Require(0, "key", context)) ?? arguments.Find(1, "default") ?? JinjaNone.Instance),
        _ => null,
    };

    public static JinjaList Items(JinjaDict dict, RenderContext context) =>
        All(dict, context, entry => new JinjaList([entry.Key, entry.Value], isTuple: true));

    private static JinjaList All(JinjaDict dict, RenderContext context, Func<KeyValuePair<JinjaValue, JinjaValue>, JinjaValue> select)
    {
        context.Charge(dict.Entries.Count);
        return new JinjaList([.. dict.Entries.Select(select)]);
    }
}
