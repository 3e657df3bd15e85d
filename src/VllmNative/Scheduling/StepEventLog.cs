using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>
/// What happens between steps: it is told with the next one, to whoever records, and counted at once, for whoever watches. Written by the
/// engine thread; other threads may read the counts.
/// </summary>
internal sealed class StepEventLog(int capacity)
{
    // By kind.
    private static readonly int Kinds = Enum.GetValues<StepEventKind>().Length;

    // Since the last step that had something to do.
    private readonly PlanList<StepEvent> _untold = new(capacity);
    private readonly long[] _counts = new long[Kinds];
    private readonly long[] _sums = new long[Kinds];
    private long _rows;
    private long _tokens;

    /// <summary>Rows and tokens that steps were to compute so far.</summary>
    internal long ScheduledRows => Volatile.Read(ref _rows);

    /// <inheritdoc cref="ScheduledRows"/>
    internal long ScheduledTokens => Volatile.Read(ref _tokens);

    /// <summary>How often it happened so far.</summary>
    internal long CountOf(StepEventKind kind) => Volatile.Read(ref _counts[(int)kind]);

    /// <summary>How many tokens or blocks that were, all together; see <see cref="StepEventKind"/>.</summary>
    internal long SumOf(StepEventKind kind) => Volatile.Read(ref _sums[(int)kind]);

    internal void Add(in StepEvent happened)
    {
        _untold.Add(happened);
        int kind = (int)happened.Kind;
        Volatile.Write(ref _counts[kind], _counts[kind] + 1);
        Volatile.Write(ref _sums[kind], _sums[kind] + happened.Count);
    }

    /// <summary>Tells it with a step; an empty one is never submitted, so that it waits for the next.</summary>
    internal void HandOver(StepPlan plan)
    {
        if (plan.IsEmpty)
        {
            return;
        }

        plan.Events.AddRange(_untold.Span);
        _untold.Clear();
        Volatile.Write(ref _rows, _rows + plan.Rows.Count);
        Volatile.Write(ref _tokens, _tokens + plan.NumTokens);
    }
}
