namespace VllmNative.Tokenization.Jinja;

/// <summary>Recursive descent over statements.</summary>
internal sealed class TemplateParser
{
    private readonly TokenReader _reader;
    private readonly ExpressionParser _expressions;
    private int _loops;

    private TemplateParser(TokenReader reader)
    {
        _reader = reader;
        _expressions = new ExpressionParser(reader);
    }

    public static IReadOnlyList<Statement> Parse(string source, TemplateLimits limits)
    {
        if (source.Length > limits.MaxSourceLength)
        {
            throw new ChatTemplateException(0, $"the template has {source.Length} characters, the limit is {limits.MaxSourceLength}");
        }

        TokenReader reader = new(Lexer.Tokenize(source), limits.MaxDepth / 2);
        IReadOnlyList<Statement> body = new TemplateParser(reader).ParseBody([], out _);
        return body;
    }

    /// <summary>Statements up to one of the tags in <paramref name="ends"/>, whose name is taken; the tag's rest is left.</summary>
    private List<Statement> ParseBody(string[] ends, out string end)
    {
        _reader.Enter();
        List<Statement> body = [];
        while (true)
        {
            Token token = _reader.Take();
            switch (token.Kind)
            {
                case TokenKind.Data:
                    body.Add(new DataStatement(new JinjaString(token.Value), token.Line));
                    break;
                case TokenKind.OutputBegin:
                    body.Add(new OutputStatement(_expressions.ParseTuple(), token.Line));
                    _reader.Expect(TokenKind.OutputEnd);
                    break;
                case TokenKind.BlockBegin:
                    string name = _reader.ExpectName();
                    if (ends.Contains(name))
                    {
                        end = name;
                        _reader.Leave();
                        return body;
                    }

                    body.Add(ParseStatement(name, token.Line));
                    break;
                default:
                    if (ends.Length > 0)
                    {
                        throw new ChatTemplateException(token.Line, $"expected '{ends[^1]}' before the end of the template");
                    }

                    end = "";
                    _reader.Leave();
                    return body;
            }
        }
    }

    private Statement ParseStatement(string name, int line) => name switch
    {
        "if" => ParseIf(line),
        "for" => ParseFor(line),
        "set" => ParseSet(line),
        "macro" => ParseMacro(line),
        "with" => ParseWith(line),
        "filter" => ParseFilterBlock(line),
        "break" or "continue" => ParseLoopControl(name, line),

        // Marks what the model wrote, for training; rendering passes over it.
        "generation" => ParseGeneration(line),
        _ => throw new ChatTemplateException(line, $"the tag '{JsonItem.Shorten(name)}' is not supported here"),
    };

    private void EndTag() => _reader.Expect(TokenKind.BlockEnd);

    private List<Statement> BodyUntil(string end)
    {
        EndTag();
        List<Statement> body = ParseBody([end], out _);
        EndTag();
        return body;
    }

    private GroupStatement ParseGeneration(int line) => new(BodyUntil("endgeneration"), line);

    private IfStatement ParseIf(int line)
    {
        List<(Expression, IReadOnlyList<Statement>)> branches = [];
        while (true)
        {
            Expression condition = _expressions.ParseTuple();
            EndTag();
            branches.Add((condition, ParseBody(["elif", "else", "endif"], out string end)));
            if (end == "elif")
            {
                continue;
            }

            List<Statement> otherwise = end == "else" ? BodyUntil("endif") : [];
            if (end == "endif")
            {
                EndTag();
            }

            return new IfStatement(branches, otherwise, line);
        }
    }

    private ForStatement ParseFor(int line)
    {
        List<string> targets = ParseTargets();
        if (!_reader.TakeIfName("in"))
        {
            throw _reader.Unexpected("'in'");
        }

        Expression source = _expressions.Parse(allowConditional: false);
        Expression? filter = _reader.TakeIfName("if") ? _expressions.Parse() : null;
        if (_reader.Current.IsName("recursive"))
        {
            throw new ChatTemplateException(line, "recursive loops are not supported");
        }

        EndTag();
        _loops++;
        List<Statement> body = ParseBody(["else", "endfor"], out string end);
        _loops--;
        List<Statement> otherwise = end == "else" ? BodyUntil("endfor") : [];
        if (end == "endfor")
        {
            EndTag();
        }

        return new ForStatement(targets, source, filter, body, otherwise, line);
    }

    private List<string> ParseTargets()
    {
        bool parentheses = _reader.TakeIf("(");
        List<string> targets = [_reader.ExpectName()];
        while (_reader.TakeIf(","))
        {
            targets.Add(_reader.ExpectName());
        }

        if (parentheses)
        {
            _reader.Expect(")");
        }

        return targets;
    }

    private LoopControlStatement ParseLoopControl(string name, int line)
    {
        EndTag();
        return _loops > 0
            ? new LoopControlStatement(name == "break", line)
            : throw new ChatTemplateException(line, $"'{name}' outside of a loop");
    }

    private Statement ParseSet(int line)
    {
        List<string> targets = ParseTargets();
        string? member = targets.Count == 1 && _reader.TakeIf(".") ? _reader.ExpectName() : null;
        if (_reader.TakeIf("="))
        {
            Expression value = _expressions.ParseTuple();
            EndTag();
            return new SetStatement(targets, member, value, line);
        }

        FilterCall? filter = _reader.TakeIf("|") ? _expressions.ParseFilterChain() : null;
        return targets.Count == 1
            ? new SetBlockStatement(targets[0], member, filter, BodyUntil("endset"), line)
            : throw _reader.Unexpected("'='");
    }

    private MacroStatement ParseMacro(int line)
    {
        string name = _reader.ExpectName();
        List<(string, Expression?)> parameters = [];
        _reader.Expect("(");
        while (!_reader.TakeIf(")"))
        {
            string parameter = _reader.ExpectName();
            parameters.Add((parameter, _reader.TakeIf("=") ? _expressions.Parse() : null));
            if (!_reader.Current.Is(")"))
            {
                _reader.Expect(",");
            }
        }

        int loops = _loops;
        _loops = 0;
        List<Statement> body = BodyUntil("endmacro");
        _loops = loops;
        return new MacroStatement(name, parameters, body, line);
    }

    private WithStatement ParseWith(int line)
    {
        List<(string, Expression)> variables = [];
        while (_reader.Current.Kind != TokenKind.BlockEnd)
        {
            string name = _reader.ExpectName();
            _reader.Expect("=");
            variables.Add((name, _expressions.Parse()));
            if (_reader.Current.Kind != TokenKind.BlockEnd)
            {
                _reader.Expect(",");
            }
        }

        return new WithStatement(variables, BodyUntil("endwith"), line);
    }

    private FilterBlockStatement ParseFilterBlock(int line)
    {
        FilterCall filter = _expressions.ParseFilterChain();
        return new FilterBlockStatement(filter, BodyUntil("endfilter"), line);
    }
}
