namespace VllmNative.Tokenization.Jinja;

/// <summary>One rendering: what it has used, where it is, and how it fails.</summary>
internal sealed class RenderContext(TemplateLimits limits, DateTimeOffset now, CancellationToken cancellationToken)
{
    private const int StepsPerCancellationCheck = 1024;
    private long _steps;
    private long _nextCheck = StepsPerCancellationCheck;
    private int _depth;

    public TemplateLimits Limits { get; } = limits;

    public DateTimeOffset Now { get; } = now;

    /// <summary>The line of the node being evaluated.</summary>
    public int Line { get; set; }

    public ChatTemplateException Fail(string cause) => new(Line, cause);

    public void Charge(long steps)
    {
        _steps += steps;
        if (_steps > Limits.MaxSteps)
        {
            throw Fail($"the template took more than {Limits.MaxSteps} steps");
        }

        if (_steps >= _nextCheck)
        {
            _nextCheck = _steps + StepsPerCancellationCheck;
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Accounts for a string to be made or read through.</summary>
    public void ChargeText(long length)
    {
        if (length > Limits.MaxOutputLength)
        {
            throw Fail($"a text of {length} characters is over the limit of {Limits.MaxOutputLength}");
        }

        Charge(1 + (length / 32));
    }

    /// <summary>Accounts for a search, which in the worst case compares the part at every position.</summary>
    public void ChargeSearch(long length, long partLength) => Charge((1 + (length / 32)) * (1 + (partLength / 256)));

    public void Enter()
    {
        if (++_depth > Limits.MaxDepth || !System.Runtime.CompilerServices.RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw Fail($"the template nests deeper than {Limits.MaxDepth} levels");
        }
    }

    public void Leave() => _depth--;
}
