using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Simulation;

/// <summary>A recorded request that the simulated engine serves.</summary>
/// <param name="recorded">What it is to do.</param>
internal abstract class SimulatedRequest(RecordedRequest recorded)
{
    private double? _firstToken;

    internal RecordedRequest Recorded => recorded;

    /// <summary>The one that comes to the engine's queue.</summary>
    internal abstract Request Request { get; }

    /// <summary>Tokens that it has.</summary>
    internal abstract int OutputLength { get; }

    /// <summary>Tokens that a recorded request has room for, at most.</summary>
    internal static long RoomOf(RecordedRequest recorded) => ((long)recorded.PromptLength + recorded.MaxTokens) * Math.Max(recorded.Beams, 1);

    /// <summary>A step has sampled for a request.</summary>
    /// <param name="request">This one, or a beam of its search.</param>
    /// <param name="now">When.</param>
    /// <param name="scheduler">Of the engine.</param>
    /// <returns>Whether it has all its tokens.</returns>
    internal bool Take(Request request, double now, Scheduler scheduler)
    {
        _firstToken ??= now;
        return TakeTokens(request, scheduler);
    }

    /// <summary>Leaves the engine.</summary>
    internal abstract void Finish(Scheduler scheduler);

    internal RequestOutcome Outcome(double ended) => new(
        recorded.Arrived, _firstToken ?? ended, ended, recorded.PromptLength, OutputLength, Math.Max(Request.CachedTokens, 0), Request.HostCachedTokens, Request.Preemptions);

    protected abstract bool TakeTokens(Request request, Scheduler scheduler);

    protected RequestScheduling Scheduling() => new()
    {
        Priority = recorded.Priority,
        User = recorded.User,
        CacheSalt = recorded.Salt,
        SkipReadingPrefixCache = recorded.SkipReadingPrefixCache,
    };
}
