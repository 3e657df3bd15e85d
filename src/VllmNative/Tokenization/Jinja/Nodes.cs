namespace VllmNative.Tokenization.Jinja;

/// <summary>A node of the syntax tree, with the line it begins on.</summary>
internal abstract record Node(int Line);

internal abstract record Expression(int Line) : Node(Line);

internal sealed record Literal(JinjaValue Value, int Line) : Expression(Line);

internal sealed record Variable(string Name, int Line) : Expression(Line);

internal sealed record ListLiteral(IReadOnlyList<Expression> Items, bool IsTuple, int Line) : Expression(Line);

internal sealed record DictLiteral(IReadOnlyList<(Expression Key, Expression Value)> Entries, int Line) : Expression(Line);

internal sealed record Attribute(Expression Target, string Name, int Line) : Expression(Line);

internal sealed record Subscript(Expression Target, Expression Index, int Line) : Expression(Line);

internal sealed record Slice(Expression Target, Expression? Start, Expression? Stop, Expression? Step, int Line) : Expression(Line);

internal sealed record Call(Expression Target, ArgumentList Arguments, int Line) : Expression(Line);

/// <summary><paramref name="Target"/> is null in a filter block, where the body takes its place.</summary>
internal sealed record FilterCall(Expression? Target, string Name, ArgumentList Arguments, int Line) : Expression(Line);

internal sealed record TestCall(Expression Target, string Name, ArgumentList Arguments, bool Negated, int Line) : Expression(Line);

internal sealed record Unary(string Operator, Expression Operand, int Line) : Expression(Line);

internal sealed record Binary(string Operator, Expression Left, Expression Right, int Line) : Expression(Line);

/// <summary><c>a &lt; b &lt; c</c>: every comparison must hold.</summary>
internal sealed record Compare(Expression First, IReadOnlyList<(string Operator, Expression Right)> Rest, int Line) : Expression(Line);

internal sealed record Conditional(Expression Condition, Expression Then, Expression? Else, int Line) : Expression(Line);

internal sealed record ArgumentList(IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named)
{
    public static ArgumentList Empty { get; } = new([], []);
}

internal abstract record Statement(int Line) : Node(Line);

internal sealed record DataStatement(JinjaString Text, int Line) : Statement(Line);

internal sealed record OutputStatement(Expression Value, int Line) : Statement(Line);

internal sealed record IfStatement(IReadOnlyList<(Expression Condition, IReadOnlyList<Statement> Body)> Branches, IReadOnlyList<Statement> Else, int Line)
    : Statement(Line);

internal sealed record ForStatement(
    IReadOnlyList<string> Targets, Expression Source, Expression? Filter, IReadOnlyList<Statement> Body, IReadOnlyList<Statement> Else, int Line)
    : Statement(Line);

internal sealed record LoopControlStatement(bool IsBreak, int Line) : Statement(Line);

/// <summary><paramref name="Member"/> is set for <c>set ns.member = ...</c>.</summary>
internal sealed record SetStatement(IReadOnlyList<string> Targets, string? Member, Expression Value, int Line) : Statement(Line);

internal sealed record SetBlockStatement(string Target, string? Member, FilterCall? Filter, IReadOnlyList<Statement> Body, int Line) : Statement(Line);

internal sealed record FilterBlockStatement(FilterCall Filter, IReadOnlyList<Statement> Body, int Line) : Statement(Line);

internal sealed record WithStatement(IReadOnlyList<(string Name, Expression Value)> Variables, IReadOnlyList<Statement> Body, int Line) : Statement(Line);

internal sealed record MacroStatement(string Name, IReadOnlyList<(string Name, Expression? Default)> Parameters, IReadOnlyList<Statement> Body, int Line)
    : Statement(Line);

/// <summary>Statements in a row, where a block adds no meaning of its own.</summary>
internal sealed record GroupStatement(IReadOnlyList<Statement> Body, int Line) : Statement(Line);
