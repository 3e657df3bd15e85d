namespace VllmNative.Tokenization.Jinja;

/// <summary>Methods of lists; those that would change one do not exist, as in the sandbox that chat templates are written for.</summary>
internal static class ListMethods
{
    public static JinjaFunction? Find(JinjaList list, string name) => name switch
    {
        "index" => new(name, (arguments, context) =>
        {
            JinjaValue wanted = arguments.Require(0, "value", context);
            for (int i = 0; i < list.Items.Count; i++)
            {
                if (Comparison.Equal(list.Items[i], wanted, context))
                {
                    return new JinjaInt(i);
                }
            }

            throw context.Fail("the value is not in the list");
        }),
        "count" => new(name, (arguments, context) =>
        {
            JinjaValue wanted = arguments.Require(0, "value", context);
            return new JinjaInt(list.Items.Count(item => Comparison.Equal(item, wanted, context)));
        }),
        "append" or "extend" or "insert" or "pop" or "remove" or "sort" or "reverse" or "clear" => new(name, (_, context) =>
            throw context.Fail($"'{name}' changes a list, which a chat template may not do")),
        _ => null,
    };
}
