namespace VllmNative.Tokenization.Jinja;

/// <summary>The variable <c>loop</c> in a for block.</summary>
internal sealed class JinjaLoop(IReadOnlyList<JinjaValue> items, int depth) : JinjaValue
{
    private JinjaValue? _lastChecked;

    public int Index { get; set; }

    public override string TypeName => "loop";

    public JinjaValue? Find(string name) => name switch
    {
        "index" => new JinjaInt(Index + 1),
        "index0" => new JinjaInt(Index),
        "revindex" => new JinjaInt(items.Count - Index),
        "revindex0" => new JinjaInt(items.Count - Index - 1),
        "first" => JinjaBool.Of(Index == 0),
        "last" => JinjaBool.Of(Index == items.Count - 1),
        "length" => new JinjaInt(items.Count),
        "depth" => new JinjaInt(depth),
        "depth0" => new JinjaInt(depth - 1),
        "previtem" => Index > 0 ? items[Index - 1] : new JinjaUndefined("there is no previous item"),
        "nextitem" => Index + 1 < items.Count ? items[Index + 1] : new JinjaUndefined("there is no next item"),
        "cycle" => new JinjaFunction("cycle", (arguments, context) => arguments.Positional.Count > 0
            ? arguments.Positional[Index % arguments.Positional.Count]
            : throw context.Fail("cycle() needs an argument")),
        "changed" => new JinjaFunction("changed", Changed),
        _ => null,
    };

    private JinjaBool Changed(CallArguments arguments, RenderContext context)
    {
        JinjaList current = new(arguments.Positional);
        bool changed = _lastChecked is null || !Comparison.Equal(_lastChecked, current, context);
        _lastChecked = current;
        return JinjaBool.Of(changed);
    }
}
