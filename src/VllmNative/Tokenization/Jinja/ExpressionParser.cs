namespace VllmNative.Tokenization.Jinja;

/// <summary>
/// Recursive descent over expressions. From loosest to tightest: inline if, or, and, not, comparison, + -, ~, * / // %, **,
/// unary, postfix, filter and test.
/// </summary>
internal sealed partial class ExpressionParser(TokenReader reader)
{
    private static readonly string[] ComparisonOperators = ["==", "!=", "<", "<=", ">", ">="];

    /// <summary>An expression, or a tuple without parentheses.</summary>
    public Expression ParseTuple()
    {
        int line = reader.Current.Line;
        Expression first = Parse();
        if (!reader.Current.Is(","))
        {
            return first;
        }

        List<Expression> items = [first];
        while (reader.TakeIf(",") && reader.Current.Kind is not (TokenKind.BlockEnd or TokenKind.OutputEnd) && !reader.Current.Is(")"))
        {
            items.Add(Parse());
        }

        return new ListLiteral(items, IsTuple: true, line);
    }

    public Expression Parse(bool allowConditional = true)
    {
        reader.Enter();
        int line = reader.Current.Line;
        Expression value = ParseOr();
        while (allowConditional && reader.TakeIfName("if"))
        {
            Expression condition = ParseOr();
            value = new Conditional(condition, value, reader.TakeIfName("else") ? Parse() : null, line);
        }

        reader.Leave();
        return value;
    }

    public ArgumentList ParseArguments()
    {
        reader.Expect("(");
        List<Expression> positional = [];
        List<(string, Expression)> named = [];
        while (!reader.TakeIf(")"))
        {
            if (reader.Current.Kind == TokenKind.Name && reader.Following.Is("="))
            {
                string name = reader.Take().Value;
                reader.Take();
                named.Add((name, Parse()));
            }
            else if (named.Count > 0)
            {
                throw reader.Unexpected("a named argument");
            }
            else
            {
                positional.Add(Parse());
            }

            if (!reader.Current.Is(")"))
            {
                reader.Expect(",");
            }
        }

        return new ArgumentList(positional, named);
    }

    /// <summary>The filters of a filter block: <c>name(args)|name...</c>.</summary>
    public FilterCall ParseFilterChain()
    {
        FilterCall filter = ParseFilter(null);
        while (reader.TakeIf("|"))
        {
            filter = ParseFilter(filter);
        }

        return filter;
    }

    private Expression ParseOr()
    {
        Expression left = ParseAnd();
        while (reader.Current.IsName("or"))
        {
            int line = reader.Take().Line;
            left = new Binary("or", left, ParseAnd(), line);
        }

        return left;
    }

    private Expression ParseAnd()
    {
        Expression left = ParseNot();
        while (reader.Current.IsName("and"))
        {
            int line = reader.Take().Line;
            left = new Binary("and", left, ParseNot(), line);
        }

        return left;
    }

    private Expression ParseNot()
    {
        if (!reader.Current.IsName("not"))
        {
            return ParseComparison();
        }

        reader.Enter();
        int line = reader.Take().Line;
        Unary node = new("not", ParseNot(), line);
        reader.Leave();
        return node;
    }

    private Expression ParseComparison()
    {
        Expression first = ParseSum();
        List<(string, Expression)> rest = [];
        while (true)
        {
            if (reader.Current.Kind == TokenKind.Operator && ComparisonOperators.Contains(reader.Current.Value))
            {
                rest.Add((reader.Take().Value, ParseSum()));
            }
            else if (reader.TakeIfName("in"))
            {
                rest.Add(("in", ParseSum()));
            }
            else if (reader.Current.IsName("not") && reader.Following.IsName("in"))
            {
                reader.Take();
                reader.Take();
                rest.Add(("not in", ParseSum()));
            }
            else
            {
                return rest.Count == 0 ? first : new Compare(first, rest, first.Line);
            }
        }
    }

    private Expression ParseSum()
    {
        Expression left = ParseConcat();
        while (reader.Current.Is("+") || reader.Current.Is("-"))
        {
            Token op = reader.Take();
            left = new Binary(op.Value, left, ParseConcat(), op.Line);
        }

        return left;
    }

    private Expression ParseConcat()
    {
        Expression left = ParseProduct();
        while (reader.Current.Is("~"))
        {
            int line = reader.Take().Line;
            left = new Binary("~", left, ParseProduct(), line);
        }

        return left;
    }

    private Expression ParseProduct()
    {
        Expression left = ParsePower();
        while (reader.Current.Is("*") || reader.Current.Is("/") || reader.Current.Is("//") || reader.Current.Is("%"))
        {
            Token op = reader.Take();
            left = new Binary(op.Value, left, ParsePower(), op.Line);
        }

        return left;
    }

    private Expression ParsePower()
    {
        Expression left = ParseUnary(withFilters: true);
        while (reader.Current.Is("**"))
        {
            int line = reader.Take().Line;
            left = new Binary("**", left, ParseUnary(withFilters: true), line);
        }

        return left;
    }
}
