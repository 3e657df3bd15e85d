namespace VllmNative.Tokenization.Jinja;

internal enum TokenKind
{
    Data,
    BlockBegin,
    BlockEnd,
    OutputBegin,
    OutputEnd,
    Name,
    Text,
    Integer,
    Float,
    Operator,
    End,
}

/// <summary>A token of the template source.</summary>
internal readonly record struct Token(TokenKind Kind, string Value, int Line)
{
    public bool Is(string op) => Kind == TokenKind.Operator && Value == op;

    public bool IsName(string name) => Kind == TokenKind.Name && Value == name;
}
