using System.Diagnostics;
using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;

namespace VllmNative.Scheduling;

/// <summary>How requests leave: at once where they wait, and out of the steps in flight as these return, with row and blocks.</summary>
internal sealed class Departures(
    KvCacheManager cache, SchedulingPolicy policy, RunningRequests running, WaitingQueue waiting, SwapSpace? swap, Retraction retraction, StepEventLog events, int mostRunning)
{
    // Finished requests whose blocks a step in flight still writes to.
    private readonly List<Request> _leaving = new(mostRunning);

    /// <summary>Who has ended, and keeps row and blocks until its steps in flight have returned.</summary>
    internal IReadOnlyList<Request> Leaving => _leaving;

    /// <summary>Takes a request out, wherever it is; its blocks return when no step in flight uses them.</summary>
    /// <param name="request">The request.</param>
    /// <param name="failed">Whether its computation failed: nobody may build on what it computed.</param>
    internal void Finish(Request request, bool failed)
    {
        if (request.Status == RequestStatus.Finished)
        {
            return;
        }

        if (failed)
        {
            retraction.Taint(request);
        }
        else if (!request.Retracted && !request.InTransfer && request.BlockCount > 0)
        {
            cache.Register(request);
        }

        if (request.Status == RequestStatus.Running)
        {
            running.Remove(request);
        }
        else
        {
            waiting.Remove(request);
        }

        request.Status = RequestStatus.Finished;
        events.Add(new StepEvent(StepEventKind.Finished, request.Id, request.OutputLength));
        policy.NoteFinished(request);
        cache.Leave(request);
        if (request.StepsInFlight > 0)
        {
            _leaving.Add(request);
        }
        else
        {
            GiveBack(request);
        }
    }

    /// <summary>Takes a group's beams out, wherever they are.</summary>
    /// <param name="group">The group.</param>
    /// <param name="failed">Whether the computation of one failed: nobody may build on what any of them computed.</param>
    internal void Finish(BeamGroup group, bool failed)
    {
        running.LetRowsGo(group);
        foreach (Request beam in group.Beams)
        {
            if (BeamMoves.IsKnown(beam))
            {
                Finish(beam, failed);
            }

            beam.Status = RequestStatus.Finished;
        }
    }

    /// <summary>A step of the request came back, whatever its outcome.</summary>
    internal void StepReturned(Request request)
    {
        Debug.Assert(request.StepsInFlight > 0, "a step came back that was not in flight");
        if (--request.StepsInFlight > 0)
        {
            return;
        }

        if (request.Status == RequestStatus.Finished)
        {
            if (_leaving.Remove(request))
            {
                GiveBack(request);
            }
        }
        else if (request.Retracted)
        {
            retraction.Requeue(request);
        }
    }

    private void GiveBack(Request request)
    {
        running.ReleaseRow(request);
        // A copy under way keeps its blocks until it has happened.
        if (!request.InTransfer)
        {
            cache.Free(request);
            swap?.Drop(request);
        }
    }
}
