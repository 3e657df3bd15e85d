using System.Globalization;

namespace VllmNative.Tokenization.Jinja;

/// <content>Operands: literals, names, subscripts, calls, filters and tests.</content>
internal sealed partial class ExpressionParser
{
    private Expression ParseUnary(bool withFilters)
    {
        Expression node;
        if (reader.Current.Is("-") || reader.Current.Is("+"))
        {
            reader.Enter();
            Token op = reader.Take();
            node = new Unary(op.Value, ParseUnary(withFilters: false), op.Line);
            reader.Leave();
        }
        else
        {
            node = ParsePrimary();
        }

        node = ParsePostfix(node);
        return withFilters ? ParseFiltersAndTests(node) : node;
    }

    private Expression ParsePrimary()
    {
        Token token = reader.Take();
        switch (token.Kind)
        {
            case TokenKind.Text:
                string text = token.Value;
                while (reader.Current.Kind == TokenKind.Text)
                {
                    text += reader.Take().Value;
                }

                return new Literal(new JinjaString(text), token.Line);
            case TokenKind.Integer:
                return new Literal(new JinjaInt(long.Parse(token.Value, CultureInfo.InvariantCulture)), token.Line);
            case TokenKind.Float:
                return new Literal(new JinjaFloat(double.Parse(token.Value, CultureInfo.InvariantCulture)), token.Line);
            case TokenKind.Name:
                return token.Value switch
                {
                    "true" or "True" => new Literal(JinjaBool.True, token.Line),
                    "false" or "False" => new Literal(JinjaBool.False, token.Line),
                    "none" or "None" => new Literal(JinjaNone.Instance, token.Line),
                    _ => new Variable(token.Value, token.Line),
                };
            default:
                return token.Value switch
                {
                    "(" => ParseParentheses(token.Line),
                    "[" => new ListLiteral(ParseItems(), IsTuple: false, token.Line),
                    "{" => ParseDict(token.Line),
                    _ => throw new ChatTemplateException(token.Line, $"expected an expression, found '{JsonItem.Shorten(token.Value)}'"),
                };
        }
    }

    private Expression ParseParentheses(int line)
    {
        if (reader.TakeIf(")"))
        {
            return new ListLiteral([], IsTuple: true, line);
        }

        Expression value = ParseTuple();
        reader.Expect(")");
        return value;
    }

    private List<Expression> ParseItems()
    {
        List<Expression> items = [];
        while (!reader.TakeIf("]"))
        {
            items.Add(Parse());
            if (!reader.Current.Is("]"))
            {
                reader.Expect(",");
            }
        }

        return items;
    }

    private DictLiteral ParseDict(int line)
    {
        List<(Expression, Expression)> entries = [];
        while (!reader.TakeIf("}"))
        {
            Expression key = Parse();
            reader.Expect(":");
            entries.Add((key, Parse()));
            if (!reader.Current.Is("}"))
            {
                reader.Expect(",");
            }
        }

        return new DictLiteral(entries, line);
    }

    private Expression ParsePostfix(Expression node)
    {
        while (true)
        {
            int line = reader.Current.Line;
            if (reader.TakeIf("."))
            {
                Token name = reader.Take();
                node = name.Kind switch
                {
                    TokenKind.Name => new Attribute(node, name.Value, line),
                    TokenKind.Integer => new Subscript(
                        node, new Literal(new JinjaInt(long.Parse(name.Value, CultureInfo.InvariantCulture)), line), line),
                    _ => throw new ChatTemplateException(line, "expected a name after '.'"),
                };
            }
            else if (reader.TakeIf("["))
            {
                node = ParseSubscript(node, line);
            }
            else if (reader.Current.Is("("))
            {
                node = new Call(node, ParseArguments(), line);
            }
            else
            {
                return node;
            }
        }
    }

    private Expression ParseSubscript(Expression target, int line)
    {
        Expression? start = reader.Current.Is(":") ? null : ParseTuple();
        if (start is not null && reader.TakeIf("]"))
        {
            return new Subscript(target, start, line);
        }

        reader.Expect(":");
        Expression? stop = reader.Current.Is("]") || reader.Current.Is(":") ? null : Parse();
        Expression? step = reader.TakeIf(":") && !reader.Current.Is("]") ? Parse() : null;
        reader.Expect("]");
        return new Slice(target, start, stop, step, line);
    }

    private Expression ParseFiltersAndTests(Expression node)
    {
        while (true)
        {
            if (reader.TakeIf("|"))
            {
                node = ParseFilter(node);
            }
            else if (reader.Current.IsName("is"))
            {
                reader.Take();
                node = ParseTest(node);
            }
            else if (reader.Current.Is("("))
            {
                int line = reader.Current.Line;
                node = new Call(node, ParseArguments(), line);
            }
            else
            {
                return node;
            }
        }
    }

    private FilterCall ParseFilter(Expression? target)
    {
        int line = reader.Current.Line;
        string name = reader.ExpectName();
        if (!Filters.IsKnown(name))
        {
            throw new ChatTemplateException(line, $"no filter named '{JsonItem.Shorten(name)}'");
        }

        return new FilterCall(target, name, reader.Current.Is("(") ? ParseArguments() : ArgumentList.Empty, line);
    }

    private TestCall ParseTest(Expression target)
    {
        int line = reader.Current.Line;
        bool negated = reader.TakeIfName("not");
        string name = reader.ExpectName();
        if (!Tests.IsKnown(name))
        {
            throw new ChatTemplateException(line, $"no test named '{JsonItem.Shorten(name)}'");
        }

        ArgumentList arguments = ArgumentList.Empty;
        Token next = reader.Current;
        if (next.Is("("))
        {
            arguments = ParseArguments();
        }
        else if (next.Kind is TokenKind.Text or TokenKind.Integer or TokenKind.Float || next.Is("[") || next.Is("{")
            || (next.Kind == TokenKind.Name && next.Value is not ("else" or "or" or "and" or "is" or "if" or "not" or "in")))
        {
            // A test takes one argument without parentheses: x is divisibleby 3.
            arguments = new ArgumentList([ParsePostfix(ParsePrimary())], []);
        }

        return new TestCall(target, name, arguments, negated, line);
    }
}
