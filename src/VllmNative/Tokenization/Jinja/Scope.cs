namespace VllmNative.Tokenization.Jinja;

/// <summary>Variables of a template, a loop round or a macro call; reading looks outwards, writing stays inside.</summary>
internal sealed class Scope(Scope? parent)
{
    private readonly Dictionary<string, JinjaValue> _variables = new(StringComparer.Ordinal);

    public JinjaValue? Find(string name)
    {
        for (Scope? scope = this; scope is not null; scope = scope.Parent)
        {
            if (scope._variables.TryGetValue(name, out JinjaValue? value))
            {
                return value;
            }
        }

        return null;
    }

    public void Set(string name, JinjaValue value) => _variables[name] = value;

    private Scope? Parent { get; } = parent;
}
