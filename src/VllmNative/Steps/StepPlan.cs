namespace VllmNative.Steps;

/// <summary>
/// Everything a step does, as data: what goes down from scheduling to execution. Plans are reused; the scheduler fills one
/// while another may be in flight.
/// </summary>
internal sealed class StepPlan(int maxRows, int maxTokens)
{
    internal long StepId { get; set; }

    /// <summary>Rows to compute, in the order of their tokens.</summary>
    internal PlanList<StepRow> Rows { get; } = new(maxRows);

    /// <summary>Ids that the device does not have yet: prompts and recomputed tokens.</summary>
    internal PlanList<int> TokenIds { get; } = new(maxTokens);

    internal PlanList<RowUpdate> RowUpdates { get; } = new(maxRows);

    internal PlanList<TableUpdate> TableUpdates { get; } = new(maxRows * 2);

    internal PlanList<SamplingUpdate> SamplingUpdates { get; } = new(maxRows);

    internal PlanList<LogitEdit> LogitEdits { get; } = new(maxRows);

    internal PlanList<GivenTokens> GivenIds { get; } = new(0);

    /// <summary>At most one for each logits row; all of the same width.</summary>
    internal PlanList<LogitMask> LogitMasks { get; } = new(0);

    internal PlanList<RequestedIds> RequestedIds { get; } = new(0);

    internal PlanList<HiddenRows> HiddenRows { get; } = new(0);

    internal PlanList<ProcessorCall> ProcessorCalls { get; } = new(0);

    internal PlanList<BlockCopy> BlockCopies { get; } = new(16);

    internal PlanList<BlockSwap> BlockSwaps { get; } = new(16);

    /// <summary>What happened since the step before was planned, in order. The device does not read it.</summary>
    internal PlanList<StepEvent> Events { get; } = new(4 * maxRows);

    /// <summary>Tokens over all rows.</summary>
    internal int NumTokens { get; private set; }

    /// <summary>Logits rows over all rows.</summary>
    internal int NumLogits { get; private set; }

    internal int MaxQueryLength { get; private set; }

    internal int MaxSequenceLength { get; private set; }

    /// <summary>The same of rows with several tokens.</summary>
    internal int MaxPrefillSequenceLength { get; private set; }

    /// <summary>The largest <see cref="StepRow.TopLogprobs"/>; -1 when nobody asks.</summary>
    internal int MaxTopLogprobs { get; private set; } = -1;

    /// <summary>Whether every sampling row takes the most likely token.</summary>
    internal bool AllGreedy { get; set; } = true;

    /// <summary>Whether a sampling row has penalties.</summary>
    internal bool AnyPenalties { get; set; }

    /// <summary>Whether the step, which computes nothing, is there to wait for the copies of steps before it.</summary>
    internal bool AwaitsSwaps { get; set; }

    /// <summary>Whether there is nothing to do: no rows to compute, no blocks to move, no copies to wait for.</summary>
    internal bool IsEmpty => Rows.Count == 0 && BlockCopies.Count == 0 && BlockSwaps.Count == 0 && !AwaitsSwaps;

    internal void AddRow(in StepRow row)
    {
        Rows.Add(row);
        NumTokens += row.QueryLength;
        NumLogits += row.LogitCount;
        MaxQueryLength = Math.Max(MaxQueryLength, row.QueryLength);
        MaxSequenceLength = Math.Max(MaxSequenceLength, row.SequenceLength);
        if (row.QueryLength > 1)
        {
            MaxPrefillSequenceLength = Math.Max(MaxPrefillSequenceLength, row.SequenceLength);
        }

        if (row.LogitCount > 0)
        {
            MaxTopLogprobs = Math.Max(MaxTopLogprobs, row.TopLogprobs);
        }
    }

    internal void Clear()
    {
        Rows.Clear();
        TokenIds.Clear();
        RowUpdates.Clear();
        TableUpdates.Clear();
        SamplingUpdates.Clear();
        LogitEdits.Clear();
        LogitMasks.Clear();
        GivenIds.Clear();
        RequestedIds.Clear();
        HiddenRows.Clear();
        ProcessorCalls.Clear();
        BlockCopies.Clear();
        BlockSwaps.Clear();
        Events.Clear();
        AwaitsSwaps = false;
        NumTokens = 0;
        NumLogits = 0;
        MaxQueryLength = 0;
        MaxSequenceLength = 0;
        MaxPrefillSequenceLength = 0;
        MaxTopLogprobs = -1;
        AllGreedy = true;
        AnyPenalties = false;
    }
}
