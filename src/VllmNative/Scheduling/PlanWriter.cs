using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>Writes what a request does in a step into the plan.</summary>
internal static class PlanWriter
{
    /// <summary>Tells the device about a request that gets a row.</summary>
    internal static void AddAdmission(StepPlan plan, Request request)
    {
        plan.RowUpdates.Add(new RowUpdate(request.Row, request.Scheduled, 0));
        plan.SamplingUpdates.Add(SamplingOf(request));
    }

    /// <summary>Computes the next tokens of a request, and samples when these are all that there are; returns its rows of logits.</summary>
    internal static int AddRow(StepPlan plan, Request request, int tokens)
    {
        int first = request.Scheduled;
        int firstId = -1;
        if (tokens > 1 || !request.LastTokenOnDevice)
        {
            firstId = plan.TokenIds.Count;
            plan.TokenIds.AddRange(request.Tokens.Span.Slice(first, tokens));
        }

        request.Scheduled += tokens;
        request.StepsInFlight++;
        if (request.Pooling is { } pooling && pooling.FirstOf(first, request.Scheduled) is var pooled && pooled < request.Scheduled)
        {
            plan.HiddenRows.Add(new HiddenRows(plan.NumTokens + pooled - first, request.Scheduled - pooled, pooled, pooling));
        }

        bool samples = request.Pooling is null && request.Unscheduled == 0;
        int given = request.ScoresPromptFrom(first) ? samples ? tokens - 1 : tokens : 0;
        int top = -1;
        if (given > 0)
        {
            plan.GivenIds.Add(new GivenTokens(plan.NumLogits, request.Tokens.Slice(first + 1, given)));
            top = request.PromptLogprobs!.Width;
            if (request.PromptLogprobs.RequestedIds is { Length: > 0 } named)
            {
                plan.RequestedIds.Add(new RequestedIds(plan.NumLogits, named, request.Tokens.Slice(first + 1, given)));
            }
        }

        if (samples)
        {
            top = Math.Max(top, request.Beams?.TopLogprobs ?? request.Parameters.SampledLogprobs);
            request.Pending++;
            request.LastTokenOnDevice = true;
            plan.AllGreedy &= request.Parameters.IsGreedy;
            plan.AnyPenalties |= request.CountSlot >= 0;
            int row = plan.NumLogits + given;
            if (request.Mailbox.Logprobs is { RequestedIds: { Length: > 0 } named })
            {
                plan.RequestedIds.Add(new RequestedIds(row, named, default));
            }

            BanStops(plan, request, row);
            if (request.Rules is { } rules)
            {
                Apply(rules, plan, request, row);
            }
        }

        int logits = given + (samples ? 1 : 0);
        plan.AddRow(new StepRow(request.Row, tokens, firstId, request.Scheduled, logits, top) { GivenCount = given });
        return logits;
    }

    // min_tokens: what would end the request is banned until then. Beams choose from the model's own log-probabilities and look at that there.
    private static void BanStops(StepPlan plan, Request request, int row)
    {
        if (request.Beams is not null || request.OutputLength + request.Pending - 1 >= request.Parameters.MinTokens)
        {
            return;
        }

        foreach (int id in request.StopIds)
        {
            plan.LogitEdits.Add(new LogitEdit(row, id, float.NegativeInfinity));
        }
    }

    // Masks and edits add, so their order does not matter: a ban stays one whatever is added to it. Processors come behind them.
    private static void Apply(LogitRules rules, StepPlan plan, Request request, int row)
    {
        if (rules.Allowed.Length > 0)
        {
            plan.LogitMasks.Add(new LogitMask(row, rules.Allowed));
        }

        ReadOnlySpan<int> output = request.Tokens.Span[request.PromptLength..];
        foreach (int[] word in rules.BadWords)
        {
            if (output.EndsWith(word.AsSpan(0, word.Length - 1)))
            {
                plan.LogitEdits.Add(new LogitEdit(row, word[^1], float.NegativeInfinity));
            }
        }

        foreach ((int id, float value) in rules.Biases)
        {
            plan.LogitEdits.Add(new LogitEdit(row, id, value));
        }

        if (rules.Processors.Length > 0)
        {
            // The request's row comes next into the plan.
            plan.ProcessorCalls.Add(new ProcessorCall(row, plan.Rows.Count, rules.Processors, request.Tokens, request.PromptLength));
        }
    }

    private static SamplingUpdate SamplingOf(Request request)
    {
        SamplingParams p = request.Parameters;
        bool greedy = p.IsGreedy;
        return new SamplingUpdate
        {
            Row = request.Row,
            Seed = request.Seed,
            // Below 0.01 the logits would overflow f32 after division.
            Temperature = greedy ? 0 : Math.Max(p.Temperature, 0.01f),
            TopP = greedy ? 1 : p.TopP,
            TopK = greedy ? 0 : Math.Max(p.TopK, 0),
            MinP = greedy ? 0 : p.MinP,
            PresencePenalty = p.PresencePenalty,
            FrequencyPenalty = p.FrequencyPenalty,
            RepetitionPenalty = p.RepetitionPenalty,
            CountSlot = request.CountSlot,
            Tokens = request.CountSlot >= 0 ? request.Tokens : default,
            PromptLength = request.PromptLength,
        };
    }
}
