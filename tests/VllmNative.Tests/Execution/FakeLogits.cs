using VllmNative.Steps;

namespace VllmNative.Tests.Execution;

/// <summary>What a plan changes about the fake device's logits, and what a result says of them.</summary>
internal static class FakeLogits
{
    /// <summary>Whether masks or edits of the plan forbid a token.</summary>
    internal static bool Banned(StepPlan plan, int logitsRow, int id)
    {
        foreach (LogitMask mask in plan.LogitMasks.Span)
        {
            if (mask.LogitsRow == logitsRow && (mask.Bits.Span[id / 32] >> (id % 32) & 1) == 0)
            {
                return true;
            }
        }

        foreach (LogitEdit edit in plan.LogitEdits.Span)
        {
            if (edit.LogitsRow == logitsRow && edit.TokenId == id)
            {
                return float.IsNegativeInfinity(edit.Value);
            }
        }

        return false;
    }

    /// <summary>Writes log-probabilities where the plan asks for them.</summary>
    /// <param name="flight">The step.</param>
    /// <param name="distribution">Of what follows these tokens; null = <see cref="FakeLanguage"/>'s.</param>
    internal static void WriteLogprobs(FakeFlight flight, Func<int[], float[]?> distribution)
    {
        int width = flight.Plan.MaxTopLogprobs;
        if (width < 0)
        {
            return;
        }

        int[] ids = [.. flight.Rows.SelectMany(row => row.Ids)];
        flight.Result.EnsureTop(width, ids.Length);
        for (int i = 0; i < ids.Length; i++)
        {
            if (flight.Histories.GetValueOrDefault(i) is { } history && distribution(history) is { } logprobs)
            {
                int[] best = [.. Enumerable.Range(0, logprobs.Length).OrderByDescending(id => logprobs[id]).Concat(Enumerable.Repeat(-1, width)).Take(width)];
                best.CopyTo(flight.Result.TopIds, i * width);
                best.Select(id => id < 0 ? float.NegativeInfinity : logprobs[id]).ToArray().CopyTo(flight.Result.TopLogprobs, i * width);
                continue;
            }

            (flight.Result.Logprobs[i], flight.Result.Ranks[i]) = (FakeLanguage.Logprob(ids[i]), ids[i] + 1);
            for (int k = 0; k < width; k++)
            {
                (flight.Result.TopIds[(i * width) + k], flight.Result.TopLogprobs[(i * width) + k]) = (ids[i] + k, FakeLanguage.Logprob(ids[i]) - k);
            }
        }
    }
}
