namespace VllmNative.Tokenization.Jinja;

/// <summary>A value of the template language. Values are plain data: no member of a .NET object is reachable from a template.</summary>
internal abstract class JinjaValue
{
    /// <summary>Name for error messages, as Python has it.</summary>
    public abstract string TypeName { get; }

    public virtual bool IsTrue => true;
}

/// <summary>The result of a lookup that found nothing; printing it gives nothing, computing with it fails.</summary>
internal sealed class JinjaUndefined(string reason) : JinjaValue
{
    public string Reason { get; } = reason;

    public override string TypeName => "undefined";

    public override bool IsTrue => false;
}

internal sealed class JinjaNone : JinjaValue
{
    public static JinjaNone Instance { get; } = new();

    public override string TypeName => "NoneType";

    public override bool IsTrue => false;
}

internal sealed class JinjaBool : JinjaValue
{
    private JinjaBool(bool value) => Value = value;

    public static JinjaBool True { get; } = new(true);

    public static JinjaBool False { get; } = new(false);

    public bool Value { get; }

    public override string TypeName => "bool";

    public override bool IsTrue => Value;

    public static JinjaBool Of(bool value) => value ? True : False;
}

internal sealed class JinjaInt(long value) : JinjaValue
{
    public long Value { get; } = value;

    public override string TypeName => "int";

    public override bool IsTrue => Value != 0;
}

internal sealed class JinjaFloat(double value) : JinjaValue
{
    public double Value { get; } = value;

    public override string TypeName => "float";

    public override bool IsTrue => Value != 0;
}

internal sealed class JinjaList(IReadOnlyList<JinjaValue> items, bool isTuple = false) : JinjaValue
{
    public IReadOnlyList<JinjaValue> Items { get; } = items;

    public bool IsTuple { get; } = isTuple;

    public override string TypeName => IsTuple ? "tuple" : "list";

    public override bool IsTrue => Items.Count > 0;
}

/// <summary>A mutable bag of names, made by <c>namespace()</c>: the only thing a template can change.</summary>
internal sealed class JinjaNamespace : JinjaValue
{
    public Dictionary<string, JinjaValue> Members { get; } = new(StringComparer.Ordinal);

    public override string TypeName => "namespace";
}

/// <summary>Something callable: a global function, a method bound to its value, a macro.</summary>
internal sealed class JinjaFunction(string name, Func<CallArguments, RenderContext, JinjaValue> body) : JinjaValue
{
    public string Name { get; } = name;

    public Func<CallArguments, RenderContext, JinjaValue> Body { get; } = body;

    public override string TypeName => "function";
}
