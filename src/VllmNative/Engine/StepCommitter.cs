using VllmNative.Bindings;
using VllmNative.Outputs;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Engine;

/// <summary>What becomes of requests when a step comes back: tokens are posted, finished ones leave, failed ones end with an error.</summary>
internal sealed class StepCommitter(Scheduler scheduler, OutputPump pump, EngineRecorder? recorder = null)
{
    private readonly List<Request> _overdue = [];
    private readonly BeamCommitter _beams = new(scheduler, pump, recorder);

    /// <summary>A device that is lost, or out of memory for good, ends the engine; anything else ends the step's requests.</summary>
    internal static bool IsFatal(Exception failure) => failure is NativeException { Status: NativeStatus.DeviceLost };

    /// <summary>Whether a request ended since somebody last cleared this.</summary>
    internal bool EndedAny { get; set; }

    internal void Commit(StepPlan plan, StepResult result)
    {
        long now = TimeProvider.System.GetTimestamp();
        if (result.Failure is not null)
        {
            scheduler.StepFailed(plan);
        }

        scheduler.TransfersDone(result.SwapsDone);
        for (int i = 0; i < plan.Rows.Count; i++)
        {
            ref readonly StepRow row = ref plan.Rows[i];
            Request request = scheduler.RequestAt(row.Row);
            if (request.Status == RequestStatus.Finished && result.Failure is null && IsWrong(request, row, result.StatusOf(i)))
            {
                scheduler.EndedRowFailed(request);
            }

            scheduler.StepReturned(request);
            if (row.Samples)
            {
                request.Pending--;
            }

            if (request.Status != RequestStatus.Running || request.Retracted)
            {
                continue;
            }

            if (result.Failure is { } failure)
            {
                End(request, FinishReason.Error, failure.Message, failed: true);
            }
            else if (result.StatusOf(i) == RowStatus.ProcessorFailed)
            {
                // What it computed is right: others may build on it.
                End(request, FinishReason.Error, result.ProcessorErrorOf(i));
            }
            else if (result.StatusOf(i) is var status and not RowStatus.Ok)
            {
                End(request, FinishReason.Error, Describe(status), failed: true);
            }
            else
            {
                request.Computed += row.QueryLength;
                TakeScores(request, row, result, i);
                if (request.Beams is { } group && row.Samples)
                {
                    EndedAny |= _beams.Take(request, group, result, result.FirstIdOf(i) + row.GivenCount, now);
                    continue;
                }

                Take(request, result, i, row.GivenCount, now);
                if (request.Pooling is { } pooling && row.SequenceLength == request.PromptLength)
                {
                    EndPooling(request, pooling);
                }
            }
        }
    }

    /// <summary>Ends a request, wherever it is.</summary>
    /// <param name="request">The request.</param>
    /// <param name="reason">Why.</param>
    /// <param name="error">What its reader is told, when that is an error.</param>
    /// <param name="stopTokenId">The token that ended it.</param>
    /// <param name="failed">Whether its computation failed: nobody may build on what it computed.</param>
    internal void End(Request request, FinishReason reason, string? error, int? stopTokenId = null, bool failed = false)
    {
        if (request.Status == RequestStatus.Finished)
        {
            return;
        }

        EndedAny = true;
        if (request.Beams is { } group)
        {
            _beams.End(group, reason, error, failed);
            return;
        }

        request.Timings.LastToken = TimeProvider.System.GetTimestamp();
        scheduler.Finish(request, failed);
        recorder?.Ended(request, reason);
        request.Mailbox.Finish(reason, stopTokenId, error);
        pump.Note(request.Mailbox);
    }

    /// <summary>Ends the requests whose time is up.</summary>
    internal void EndOverdue(long now)
    {
        _overdue.Clear();
        // By index: an enumerator of the list's interface would be allocated.
        for (int i = 0; i < scheduler.Running.Count; i++)
        {
            Request request = scheduler.Running[i];
            if (now >= request.Deadline)
            {
                _overdue.Add(request);
            }
        }

        foreach (Request request in scheduler.Waiting)
        {
            // Further completions begin with the first one's prompt.
            if (now >= request.Deadline || (now >= request.QueueDeadline && (request.Parent ?? request).Timings.Scheduled == 0))
            {
                _overdue.Add(request);
            }
        }

        foreach (Request request in _overdue)
        {
            End(request, FinishReason.Error, now >= request.Deadline ? "the request timed out (RequestTimeout)" : "the request waited too long for its first step (QueueTimeout)");
        }

        _overdue.Clear();
    }

    private void EndPooling(Request request, HiddenPooling pooling)
    {
        bool good = pooling.IsGood;
        End(request, good ? FinishReason.Stop : FinishReason.Error, good ? null : "the model's hidden states are not numbers (NaN)", failed: !good);
    }

    // Log-probabilities of the prompt's tokens; what follows the prompt in a computation that begins anew has been returned before.
    private static void TakeScores(Request request, in StepRow row, StepResult result, int planRow)
    {
        int first = row.SequenceLength - row.LogitCount;
        for (int i = 0; i < row.GivenCount && first + i < request.PromptLength - 1; i++)
        {
            int sample = result.FirstIdOf(planRow) + i;
            Write(request.PromptLogprobs!, first + i, result, sample);
            request.PromptScored = Math.Max(request.PromptScored, first + i + 1);
        }
    }

    private static void Write(SampledLogprobs logprobs, int position, StepResult result, int sample)
    {
        int top = sample * result.TopWidth;
        ReadOnlySpan<float> requested = result.RequestedOf(sample, logprobs.RequestedIds.Length);
        logprobs.Write(position, result.Logprobs[sample], result.Ranks[sample], result.TopIds.AsSpan(top), result.TopLogprobs.AsSpan(top), requested);
    }

    private void Take(Request request, StepResult result, int planRow, int given, long now)
    {
        ReadOnlySpan<int> ids = result.IdsOf(planRow)[given..];
        for (int i = 0; i < ids.Length; i++)
        {
            int id = ids[i];
            int position = request.OutputLength;
            request.Append(id);
            if (request.Mailbox.Logprobs is { } logprobs)
            {
                Write(logprobs, position, result, result.FirstIdOf(planRow) + given + i);
            }

            if (position == 0)
            {
                request.Timings.FirstToken = now;
            }

            request.Mailbox.Post(id);
            pump.Note(request.Mailbox);
            if (request.EndsWith(id, request.OutputLength))
            {
                End(request, FinishReason.Stop, null, id);
                return;
            }

            if (request.OutputLength == request.MaxTokens)
            {
                End(request, FinishReason.Length, null);
                return;
            }

            if (request.Parameters.RepetitionDetection is { } repetition
                && request.OutputLength >= request.Parameters.MinTokens
                && repetition.Found(request.Tokens.Span[request.PromptLength..]))
            {
                End(request, FinishReason.Repetition, null);
                return;
            }
        }

        scheduler.TokensTaken(request);
    }

    // What a processor refuses is right: others may build on it.
    private static bool IsWrong(Request request, in StepRow row, RowStatus status) =>
        status is not (RowStatus.Ok or RowStatus.ProcessorFailed) || (row.SequenceLength == request.PromptLength && request.Pooling is { IsGood: false });

    private static string Describe(RowStatus status) => status switch
    {
        _ when status.HasFlag(RowStatus.NotANumber) => "the model's logits are not numbers (NaN)",
        _ when status.HasFlag(RowStatus.BadToken) => "a token id lies outside the vocabulary",
        _ => "a KV block id lies outside the pool",
    };
}
