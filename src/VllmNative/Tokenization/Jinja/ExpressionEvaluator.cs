namespace VllmNative.Tokenization.Jinja;

/// <summary>Evaluates expressions against the current scope.</summary>
internal sealed class ExpressionEvaluator(RenderContext context, Func<Scope> scope)
{
    public JinjaValue Evaluate(Expression node)
    {
        context.Charge(1);
        context.Line = node.Line;
        context.Enter();
        JinjaValue value = node switch
        {
            Literal literal => literal.Value,
            Variable variable => scope().Find(variable.Name) ?? Globals.Find(variable.Name)
                ?? (JinjaValue)new JinjaUndefined($"'{JsonItem.Shorten(variable.Name)}' is undefined"),
            ListLiteral list => new JinjaList([.. list.Items.Select(Evaluate)], list.IsTuple),
            DictLiteral dict => EvaluateDict(dict),
            Attribute attribute => Members.Attribute(Evaluate(attribute.Target), attribute.Name, context),
            Subscript subscript => Members.Item(Evaluate(subscript.Target), Evaluate(subscript.Index), context),
            Slice slice => Members.Slice(
                Evaluate(slice.Target), EvaluateOptional(slice.Start), EvaluateOptional(slice.Stop), EvaluateOptional(slice.Step), context),
            Call call => EvaluateCall(call),
            FilterCall filter => Filters.Run(filter.Name, Evaluate(filter.Target!), EvaluateArguments(filter.Arguments), context),
            TestCall test => JinjaBool.Of(
                Tests.Run(test.Name, Evaluate(test.Target), EvaluateArguments(test.Arguments), context) != test.Negated),
            Unary unary => EvaluateUnary(unary),
            Binary binary => EvaluateBinary(binary),
            Compare compare => EvaluateCompare(compare),
            Conditional conditional => Evaluate(conditional.Condition).IsTrue
                ? Evaluate(conditional.Then)
                : EvaluateOptional(conditional.Else) ?? new JinjaUndefined("the inline if has no else"),
            _ => throw context.Fail($"the expression {node.GetType().Name} is not supported"),
        };
        context.Leave();
        return value;
    }

    /// <summary>Applies the filters of a block to its text.</summary>
    public JinjaValue ApplyFilters(FilterCall filter, JinjaValue input) => Filters.Run(
        filter.Name,
        filter.Target is FilterCall inner ? ApplyFilters(inner, input) : input,
        EvaluateArguments(filter.Arguments),
        context);

    private JinjaValue? EvaluateOptional(Expression? node) => node is null ? null : Evaluate(node);

    private JinjaDict EvaluateDict(DictLiteral node)
    {
        JinjaDict dict = new();
        foreach ((Expression key, Expression value) in node.Entries)
        {
            JinjaValue evaluated = Evaluate(key);
            if (evaluated is JinjaDict or JinjaList { IsTuple: false } or JinjaUndefined)
            {
                throw context.Fail($"{evaluated.TypeName} cannot be a key");
            }

            dict.Set(evaluated, Evaluate(value));
        }

        return dict;
    }

    private CallArguments EvaluateArguments(ArgumentList arguments) =>
        arguments.Positional.Count == 0 && arguments.Named.Count == 0
            ? CallArguments.None
            : new CallArguments(
                [.. arguments.Positional.Select(Evaluate)],
                [.. arguments.Named.Select(pair => new KeyValuePair<string, JinjaValue>(pair.Name, Evaluate(pair.Value)))]);

    private JinjaValue EvaluateCall(Call call)
    {
        JinjaValue target = Evaluate(call.Target);
        CallArguments arguments = EvaluateArguments(call.Arguments);
        context.Line = call.Line;
        return target switch
        {
            JinjaFunction function => function.Body(arguments, context),
            JinjaUndefined undefined => throw context.Fail(undefined.Reason),
            _ => throw context.Fail($"{target.TypeName} cannot be called"),
        };
    }

    private JinjaValue EvaluateUnary(Unary node)
    {
        JinjaValue value = Evaluate(node.Operand);
        return node.Operator switch
        {
            "not" => JinjaBool.Of(!value.IsTrue),
            "-" => Arithmetic.Negate(value, context),
            _ => Arithmetic.IsNumber(value) ? value : throw context.Fail($"cannot apply '+' to {value.TypeName}"),
        };
    }

    private JinjaValue EvaluateBinary(Binary node)
    {
        JinjaValue left = Evaluate(node.Left);
        switch (node.Operator)
        {
            case "and":
                return left.IsTrue ? Evaluate(node.Right) : left;
            case "or":
                return left.IsTrue ? left : Evaluate(node.Right);
            case "~":
                return Arithmetic.Concat(TextFormat.Text(left, context), TextFormat.Text(Evaluate(node.Right), context), context);
            default:
                JinjaValue right = Evaluate(node.Right);
                context.Line = node.Line;
                return Arithmetic.Apply(node.Operator, left, right, context);
        }
    }

    private JinjaBool EvaluateCompare(Compare node)
    {
        JinjaValue left = Evaluate(node.First);
        foreach ((string op, Expression rightNode) in node.Rest)
        {
            JinjaValue right = Evaluate(rightNode);
            bool holds = op switch
            {
                "==" => Comparison.Equal(left, right, context),
                "!=" => !Comparison.Equal(left, right, context),
                "in" => Comparison.Contains(right, left, context),
                "not in" => !Comparison.Contains(right, left, context),
                "<" => Comparison.Order(left, right, context) < 0,
                "<=" => Comparison.Order(left, right, context) <= 0,
                ">" => Comparison.Order(left, right, context) > 0,
                _ => Comparison.Order(left, right, context) >= 0,
            };
            if (!holds)
            {
                return JinjaBool.False;
            }

            left = right;
        }

        return JinjaBool.True;
    }
}
