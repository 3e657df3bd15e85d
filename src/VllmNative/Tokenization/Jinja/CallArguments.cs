namespace VllmNative.Tokenization.Jinja;

/// <summary>The arguments of a call.</summary>
internal sealed class CallArguments(IReadOnlyList<JinjaValue> positional, IReadOnlyList<KeyValuePair<string, JinjaValue>> named)
{
    public static CallArguments None { get; } = new([], []);

    public IReadOnlyList<JinjaValue> Positional { get; } = positional;

    public IReadOnlyList<KeyValuePair<string, JinjaValue>> Named { get; } = named;

    /// <summary>An argument by position or name; null when not given.</summary>
    public JinjaValue? Find(int position, string name)
    {
        if (position < Positional.Count)
        {
            return Positional[position];
        }

        foreach ((string key, JinjaValue value) in Named)
        {
            if (key == name)
            {
                return value;
            }
        }

        return null;
    }

    public JinjaValue Require(int position, string name, RenderContext context) =>
        Find(position, name) ?? throw context.Fail($"argument '{name}' is missing");

    public JinjaString RequireString(int position, string name, RenderContext context) =>
        Require(position, name, context) as JinjaString
        ?? throw context.Fail($"argument '{name}' must be a string, found {Require(position, name, context).TypeName}");

    public bool Flag(int position, string name, bool fallback) => Find(position, name)?.IsTrue ?? fallback;

    public long Int(int position, string name, long fallback, RenderContext context) => Find(position, name) switch
    {
        null => fallback,
        JinjaInt value => value.Value,
        JinjaBool value => value.Value ? 1 : 0,
        { } other => throw context.Fail($"argument '{name}' must be an integer, found {other.TypeName}"),
    };
}
