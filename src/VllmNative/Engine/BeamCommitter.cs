using VllmNative.Outputs;
using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Engine;

/// <summary>What becomes of beams when a step comes back: when those of a group have all returned, its next tokens are chosen, or its outputs posted.</summary>
internal sealed class BeamCommitter(Scheduler scheduler, OutputPump pump, EngineRecorder? recorder)
{
    /// <summary>Takes what a step says of a beam; true when that ended its group.</summary>
    /// <param name="request">The beam.</param>
    /// <param name="group">Its group.</param>
    /// <param name="result">The step's.</param>
    /// <param name="sample">Index of the sampled id.</param>
    /// <param name="now">Timestamp of the step's return.</param>
    internal bool Take(Request request, BeamGroup group, StepResult result, int sample, long now)
    {
        int top = sample * result.TopWidth;
        if (!group.Take(request, result.TopIds.AsSpan(top), result.TopLogprobs.AsSpan(top)))
        {
            return false;
        }

        if (group.Length == 0)
        {
            group.Beams[0].Timings.FirstToken = now;
        }

        if (group.TryAdvance())
        {
            scheduler.Advance(group);
            return false;
        }

        End(group, group.Post(), null, failed: false);
        return true;
    }

    /// <summary>Ends all beams of a group; sequences that were posted stay.</summary>
    internal void End(BeamGroup group, FinishReason reason, string? error, bool failed)
    {
        Request first = group.Beams[0];
        scheduler.Finish(group, failed);
        long now = TimeProvider.System.GetTimestamp();
        foreach (Request beam in group.Beams)
        {
            beam.Timings.LastToken = now;
        }

        recorder?.Ended(first, reason);
        first.FinishReading(reason, null, error);
        // They share their reader.
        pump.Note(first.Mailbox);
    }
}
