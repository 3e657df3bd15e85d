using VllmNative.Requests;

namespace VllmNative.Tests.Engine;

/// <summary>A request with two parameters of the table, or with one.</summary>
internal sealed record ParameterPair(Parameter First, Parameter? Second)
{
    /// <summary>With no parameter at all.</summary>
    internal static ParameterPair Plain { get; } = new(new Parameter("plain", "", ParameterEffect.None), null);

    internal static IReadOnlyList<ParameterPair> Singles { get; } = [.. ParameterTable.All.Select(parameter => new ParameterPair(parameter, null))];

    /// <summary>Each parameter with each other one.</summary>
    internal static IReadOnlyList<ParameterPair> Pairs { get; } =
    [
        .. from first in Enumerable.Range(0, ParameterTable.All.Length)
           from second in Enumerable.Range(first + 1, ParameterTable.All.Length - first - 1)
           where ParameterTable.All[first].Property != ParameterTable.All[second].Property
           select new ParameterPair(ParameterTable.All[first], ParameterTable.All[second]),
    ];

    /// <summary>All that are not refused.</summary>
    internal static IReadOnlyList<ParameterPair> Accepted { get; } = [.. Singles, .. Pairs.Where(pair => pair.Refusal is null)];

    internal string? Refusal => Second is null ? null : ParameterTable.Refused.GetValueOrDefault((First.ToString(), Second.ToString()));

    internal SamplingParams Sampling => Second is null ? First.Sampling(ParameterTable.Base) : Second.Sampling(First.Sampling(ParameterTable.Base));

    internal RequestScheduling Scheduling => Second is null ? First.Scheduling(new()) : Second.Scheduling(First.Scheduling(new()));

    /// <summary>The parameter that decides the tokens; its prompt is used, so that a pair can be compared with it alone.</summary>
    internal Parameter Leading => First.Effect == ParameterEffect.None && Second is { Effect: not ParameterEffect.None } ? Second : First;

    /// <summary>Whether the tokens must be those of the leading parameter alone.</summary>
    internal bool TokensAreLeadings => Second is not null && (First.Effect == ParameterEffect.None || Second.Effect == ParameterEffect.None);

    /// <summary>Whether a repetition gives the same.</summary>
    internal bool Repeats => Sampling.Seed is not null;

    internal int[] Prompt => PromptOf(Leading);

    internal static int[] PromptOf(Parameter parameter)
    {
        int seed = parameter.ToString().Sum(letter => letter);
        return TestEngines.Prompt(seed, 20 + (seed % 25));
    }

    internal void Check(ParameterOutcome outcome)
    {
        outcome.CheckAlways();
        First.Check(outcome);
        Second?.Check(outcome);
    }

    public override string ToString() => Second is null ? $"{First}" : $"{First} x {Second}";
}
