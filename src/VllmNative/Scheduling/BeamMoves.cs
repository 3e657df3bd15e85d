using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>
/// What becomes of the beams of a group when their next tokens have been chosen: one that goes on keeps what it has, one that goes on from another
/// shares its blocks from here on. Copies are made when somebody writes.
/// </summary>
internal sealed class BeamMoves(KvCacheManager cache, WaitingQueue waiting, SwapSpace? swap, Preemption preemption)
{
    /// <summary>Hands each beam its tokens and blocks. No step of theirs is in flight.</summary>
    internal void Advance(BeamGroup group)
    {
        ReadOnlySpan<int> sources = group.Sources;
        for (int i = 0; i < sources.Length; i++)
        {
            Request beam = group.Beams[i];
            if (sources[i] < 0)
            {
                Rest(beam);
                continue;
            }

            if (sources[i] != i)
            {
                GoOnFrom(group.Beams[sources[i]], beam);
            }

            group.GiveTokens(i);
        }
    }

    /// <summary>Whether the scheduler knows the beam.</summary>
    internal static bool IsKnown(Request beam) => beam.Arrival > 0;

    // It has no sequence now, and may get one later.
    private void Rest(Request beam)
    {
        if (!IsKnown(beam))
        {
            return;
        }

        beam.AwaitsBeams = true;
        DropBlocks(beam);
    }

    private void GoOnFrom(Request source, Request beam)
    {
        Debug.Assert(source.StepsInFlight == 0 && beam.StepsInFlight == 0, "beams advance when their steps have returned");
        bool isNew = !IsKnown(beam);
        if (isNew)
        {
            Enter(beam);
        }

        if (source.BlockCount == 0 || source.InTransfer || source.Retracted || beam.InTransfer)
        {
            // It is computed again: nobody has its blocks, or its own must stay where they are for now.
            DropBlocks(beam);
        }
        else
        {
            swap?.Drop(beam);
            cache.GoOnFrom(source, beam);
            waiting.NoteHolder(beam);
        }

        if (isNew)
        {
            waiting.Add(beam);
        }
    }

    private void DropBlocks(Request beam)
    {
        if (beam.InTransfer)
        {
            // Given back when the copy has happened.
            beam.Retracted = true;
        }
        else if (beam.Status == RequestStatus.Running)
        {
            preemption.Restart(beam);
        }
        else
        {
            swap?.Drop(beam);
            preemption.Forget(beam);
        }
    }

    // Of its group's rank; the first beam has been counted for all.
    private void Enter(Request beam)
    {
        Request first = beam.Parent!;
        beam.Status = RequestStatus.Waiting;
        (beam.Arrival, beam.Rank, beam.QueuedAt) = (first.Arrival, first.Rank, first.QueuedAt);
        beam.CachedTokens = 0;
        cache.Enter(beam);
    }
}
