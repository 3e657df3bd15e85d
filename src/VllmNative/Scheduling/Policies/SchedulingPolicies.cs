namespace VllmNative.Scheduling.Policies;

/// <summary>The scheduling policies by name.</summary>
internal static class SchedulingPolicies
{
    internal const string Default = "fcfs";

    internal static IReadOnlyList<string> Names { get; } = [Default, "priority", "fair", "shortest-predicted"];

    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="weights">For "fair": weights by user.</param>
    internal static SchedulingPolicy Create(string name, IReadOnlyDictionary<string, double>? weights = null) => name switch
    {
        Default => new FcfsPolicy(),
        "priority" => new PriorityPolicy(),
        "fair" => new FairPolicy(weights),
        "shortest-predicted" => new ShortestPredictedPolicy(),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "expected one of " + string.Join(", ", Names)),
    };
}
