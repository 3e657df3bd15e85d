namespace VllmNative.Tokenization.Jinja;

/// <summary>Runs the statements of a template. One instance renders once.</summary>
internal sealed class Interpreter
{
    private readonly RenderContext _context;
    private readonly ExpressionEvaluator _expressions;
    private Scope _scope;
    private MarkedTextBuilder _output = new();
    private int _loopDepth;

    public Interpreter(RenderContext context, Scope globals)
    {
        _context = context;
        _scope = globals;
        _expressions = new ExpressionEvaluator(context, () => _scope);
    }

    private enum Flow
    {
        Next,
        Break,
        Continue,
    }

    public JinjaString Render(IReadOnlyList<Statement> template)
    {
        Run(template);
        return _output.ToValue();
    }

    private Flow Run(IReadOnlyList<Statement> statements)
    {
        _context.Enter();
        Flow flow = Flow.Next;
        for (int i = 0; i < statements.Count && flow == Flow.Next; i++)
        {
            _context.Charge(1);
            _context.Line = statements[i].Line;
            flow = Run(statements[i]);
        }

        _context.Leave();
        return flow;
    }

    private Flow Run(Statement statement)
    {
        switch (statement)
        {
            case DataStatement data:
                Write(data.Text);
                return Flow.Next;
            case OutputStatement output:
                Write(TextFormat.Text(_expressions.Evaluate(output.Value), _context));
                return Flow.Next;
            case IfStatement branch:
                return RunIf(branch);
            case ForStatement loop:
                return RunFor(loop);
            case LoopControlStatement control:
                return control.IsBreak ? Flow.Break : Flow.Continue;
            case GroupStatement group:
                return Run(group.Body);
            case SetStatement set:
                RunSet(set);
                return Flow.Next;
            case SetBlockStatement set:
                JinjaValue captured = Capture(set.Body, new Scope(_scope), out Flow flow);
                Assign(set.Target, set.Member, set.Filter is null ? captured : _expressions.ApplyFilters(set.Filter, captured));
                return flow;
            case FilterBlockStatement filter:
                JinjaString body = Capture(filter.Body, new Scope(_scope), out Flow filterFlow);
                Write(TextFormat.Text(_expressions.ApplyFilters(filter.Filter, body), _context));
                return filterFlow;
            case WithStatement with:
                return RunWith(with);
            case MacroStatement macro:
                DefineMacro(macro);
                return Flow.Next;
            default:
                throw _context.Fail($"the statement {statement.GetType().Name} is not supported");
        }
    }

    private Flow RunIf(IfStatement branch)
    {
        foreach ((Expression condition, IReadOnlyList<Statement> body) in branch.Branches)
        {
            if (_expressions.Evaluate(condition).IsTrue)
            {
                return Run(body);
            }
        }

        return Run(branch.Else);
    }

    private Flow RunFor(ForStatement loop)
    {
        IReadOnlyList<JinjaValue> items = Sequences.Of(_expressions.Evaluate(loop.Source), _context);
        Scope outer = _scope;
        if (loop.Filter is not null)
        {
            items = [.. items.Where(item =>
            {
                _scope = new Scope(outer);
                Unpack(loop.Targets, item);
                bool keep = _expressions.Evaluate(loop.Filter).IsTrue;
                _scope = outer;
                return keep;
            })];
        }

        if (items.Count == 0)
        {
            return Run(loop.Else);
        }

        JinjaLoop state = new(items, ++_loopDepth);
        for (int i = 0; i < items.Count; i++)
        {
            _context.Charge(1);
            state.Index = i;
            _scope = new Scope(outer);
            _scope.Set("loop", state);
            Unpack(loop.Targets, items[i]);
            Flow flow = Run(loop.Body);
            if (flow == Flow.Break)
            {
                break;
            }
        }

        _loopDepth--;
        _scope = outer;
        return Flow.Next;
    }

    private Flow RunWith(WithStatement with)
    {
        Scope outer = _scope;
        Scope inner = new(outer);
        foreach ((string name, Expression value) in with.Variables)
        {
            inner.Set(name, _expressions.Evaluate(value));
        }

        _scope = inner;
        Flow flow = Run(with.Body);
        _scope = outer;
        return flow;
    }

    private void RunSet(SetStatement set)
    {
        JinjaValue value = _expressions.Evaluate(set.Value);
        if (set.Targets.Count == 1)
        {
            Assign(set.Targets[0], set.Member, value);
        }
        else
        {
            Unpack(set.Targets, value);
        }
    }

    private void Assign(string target, string? member, JinjaValue value)
    {
        if (member is null)
        {
            _scope.Set(target, value);
            return;
        }

        JinjaNamespace bag = _scope.Find(target) as JinjaNamespace
            ?? throw _context.Fail($"cannot set '{member}' of '{target}': it is not a namespace");
        bag.Members[member] = value;
    }

    private void Unpack(IReadOnlyList<string> targets, JinjaValue value)
    {
        if (targets.Count == 1)
        {
            _scope.Set(targets[0], value);
            return;
        }

        IReadOnlyList<JinjaValue> items = Sequences.Of(value, _context);
        if (items.Count != targets.Count)
        {
            throw _context.Fail($"cannot unpack {items.Count} values into {targets.Count} names");
        }

        for (int i = 0; i < items.Count; i++)
        {
            _scope.Set(targets[i], items[i]);
        }
    }

    private void DefineMacro(MacroStatement macro)
    {
        Scope defined = _scope;
        defined.Set(macro.Name, new JinjaFunction(macro.Name, (arguments, _) => CallMacro(macro, defined, arguments)));
    }

    private JinjaString CallMacro(MacroStatement macro, Scope defined, CallArguments arguments)
    {
        if (arguments.Positional.Count > macro.Parameters.Count)
        {
            throw _context.Fail($"macro '{macro.Name}' takes {macro.Parameters.Count} arguments, {arguments.Positional.Count} were given");
        }

        foreach ((string name, JinjaValue _) in arguments.Named)
        {
            if (!macro.Parameters.Any(parameter => parameter.Name == name))
            {
                throw _context.Fail($"macro '{macro.Name}' takes no argument '{name}'");
            }
        }

        Scope scope = new(defined);
        Scope caller = _scope;
        _scope = scope;
        for (int i = 0; i < macro.Parameters.Count; i++)
        {
            (string name, Expression? fallback) = macro.Parameters[i];
            scope.Set(name, arguments.Find(i, name)
                ?? (fallback is null ? new JinjaUndefined($"argument '{name}' was not given") : _expressions.Evaluate(fallback)));
        }

        JinjaString result = Capture(macro.Body, scope, out _);
        _scope = caller;
        return result;
    }

    private JinjaString Capture(IReadOnlyList<Statement> body, Scope scope, out Flow flow)
    {
        MarkedTextBuilder outerOutput = _output;
        Scope outerScope = _scope;
        _output = new MarkedTextBuilder();
        _scope = scope;
        flow = Run(body);
        JinjaString result = _output.ToValue();
        _output = outerOutput;
        _scope = outerScope;
        return result;
    }

    private void Write(JinjaString text)
    {
        long total = (long)_output.Length + text.Text.Length;
        _context.ChargeText(total > _context.Limits.MaxOutputLength ? total : text.Text.Length);
        _output.Append(text);
    }
}
