namespace VllmNative.Diagnostics;

/// <summary>
/// Adds up, step by step, the KV slots that running requests own and those that hold a token or get one in the step: the rest is
/// wasted. The engine thread writes, anybody reads while it waits.
/// </summary>
internal sealed class KvSlotMeter
{
    private volatile bool _forget;

    /// <summary>Slots of the blocks that requests own; a block that several share counts once.</summary>
    internal long OwnedSlots { get; private set; }

    /// <summary>Slots of them that nothing was written to.</summary>
    internal long WastedSlots { get; private set; }

    /// <summary>Running requests.</summary>
    internal long Rows { get; private set; }

    /// <summary>Tokens that they have in the cache, each request's for itself.</summary>
    internal long Tokens { get; private set; }

    /// <summary>Tokens that they may have at their end: prompts and outputs.</summary>
    internal long FinalTokens { get; private set; }

    /// <summary>Wasted share of the owned slots, 0..1; null before the first step.</summary>
    internal double? WastedShare => OwnedSlots == 0 ? null : (double)WastedSlots / OwnedSlots;

    /// <summary>What rows of so many slots each, reserved at once, would have wasted of themselves.</summary>
    internal double? WastedByRowsOf(int slots) => Rows == 0 ? null : 1 - (Tokens / ((double)Rows * slots));

    /// <summary>What rows as long as each request becomes, reserved at once, would have wasted of themselves.</summary>
    internal double? WastedByExactRows => FinalTokens == 0 ? null : 1 - (Tokens / (double)FinalTokens);

    /// <summary>Counts a step; called by the engine thread.</summary>
    /// <param name="owned">Slots that anybody owns.</param>
    /// <param name="wasted">Slots of running requests without a token.</param>
    /// <param name="rows">Running requests.</param>
    /// <param name="tokens">Tokens that they have in the cache.</param>
    /// <param name="finalTokens">Tokens that they may have at their end.</param>
    internal void Add(long owned, long wasted, int rows, long tokens, long finalTokens)
    {
        if (_forget)
        {
            _forget = false;
            (OwnedSlots, WastedSlots, Rows, Tokens, FinalTokens) = (0, 0, 0, 0, 0);
        }

        OwnedSlots += owned;
        WastedSlots += wasted;
        Rows += rows;
        Tokens += tokens;
        FinalTokens += finalTokens;
    }

    /// <summary>Has the engine thread forget everything before the next step.</summary>
    internal void Reset() => _forget = true;
}
