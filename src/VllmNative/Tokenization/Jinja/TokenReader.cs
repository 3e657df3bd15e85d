namespace VllmNative.Tokenization.Jinja;

/// <summary>Walks over the tokens and watches how deep the parser goes.</summary>
internal sealed class TokenReader(List<Token> tokens, int maxDepth)
{
    private int _at;
    private int _depth;

    public Token Current => tokens[_at];

    public Token Following => tokens[Math.Min(_at + 1, tokens.Count - 1)];

    public Token Take()
    {
        Token token = tokens[_at];
        _at = Math.Min(_at + 1, tokens.Count - 1);
        return token;
    }

    public bool TakeIf(string op)
    {
        bool matches = Current.Is(op);
        if (matches)
        {
            Take();
        }

        return matches;
    }

    public bool TakeIfName(string name)
    {
        bool matches = Current.IsName(name);
        if (matches)
        {
            Take();
        }

        return matches;
    }

    public void Expect(string op)
    {
        if (!TakeIf(op))
        {
            throw Unexpected($"'{op}'");
        }
    }

    public void Expect(TokenKind kind)
    {
        if (Take() is var token && token.Kind != kind)
        {
            throw new ChatTemplateException(token.Line, $"expected {Describe(kind)}, found {Describe(token)}");
        }
    }

    public string ExpectName()
    {
        Token token = Current;
        return token.Kind == TokenKind.Name ? Take().Value : throw Unexpected("a name");
    }

    public void Enter()
    {
        if (++_depth > maxDepth)
        {
            throw new ChatTemplateException(Current.Line, $"the template nests deeper than {maxDepth} levels");
        }
    }

    public void Leave() => _depth--;

    public ChatTemplateException Unexpected(string expected) =>
        new(Current.Line, $"expected {expected}, found {Describe(Current)}");

    private static string Describe(Token token) => token.Value.Length > 0 && token.Kind != TokenKind.Data
        ? $"'{JsonItem.Shorten(token.Value)}'"
        : Describe(token.Kind);

    private static string Describe(TokenKind kind) => kind switch
    {
        TokenKind.Data => "text",
        TokenKind.BlockBegin => "'{%'",
        TokenKind.BlockEnd => "'%}'",
        TokenKind.OutputBegin => "'{{'",
        TokenKind.OutputEnd => "'}}'",
        TokenKind.End => "the end of the template",
        _ => "a value",
    };
}
