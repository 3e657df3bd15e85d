using VllmNative.Requests;

namespace VllmNative.Scheduling.Policies;

/// <summary>
/// Who is served first. A policy ranks a request once, when it comes; lower ranks are served first, equals by arrival. Since time enters as the moment of
/// arrival, and all who wait age alike, the order between two requests never changes while they wait.
/// </summary>
internal abstract class SchedulingPolicy
{
    /// <summary>The request's place among all others.</summary>
    internal abstract double RankOf(Request request);

    /// <summary>Whether a running request of higher rank makes way for a waiting one.</summary>
    internal virtual bool Preempts => false;

    /// <summary>The request is served for the first time.</summary>
    internal virtual void NoteAdmitted(Request request)
    {
    }

    /// <summary>The request has ended, with its output known.</summary>
    internal virtual void NoteFinished(Request request)
    {
    }
}
