using VllmNative.Requests;

namespace VllmNative.Tests.Engine;

/// <summary>What a parameter, as its line in <see cref="ParameterTable"/> sets it, does to the tokens of a request.</summary>
internal enum ParameterEffect
{
    /// <summary>Nothing: tokens are those without it.</summary>
    None,

    /// <summary>The request alone gets other tokens, or more or fewer of them.</summary>
    Shows,

    /// <summary>It depends on what the tokens are.</summary>
    Depends,
}

/// <summary>A parameter of a request with a value other than its default.</summary>
/// <param name="Property">The property of <see cref="SamplingParams"/> or <see cref="RequestScheduling"/> that it sets.</param>
/// <param name="Value">What it is set to, in words.</param>
/// <param name="Effect">What it does to the tokens.</param>
internal sealed record Parameter(string Property, string Value, ParameterEffect Effect)
{
    internal Func<SamplingParams, SamplingParams> Sampling { get; init; } = parameters => parameters;

    internal Func<RequestScheduling, RequestScheduling> Scheduling { get; init; } = scheduling => scheduling;

    /// <summary>Fails when what was generated is not what the parameter asks for, whatever else was asked for.</summary>
    internal Action<ParameterOutcome> Check { get; init; } = _ => { };

    /// <summary>"property value", how errors and lists name it.</summary>
    public override string ToString() => $"{Property} {Value}";
}
