using VllmNative.Requests;

namespace VllmNative.Scheduling.Policies;

/// <summary>
/// Lower priority values first, then arrival. Waiting for <c>agingSeconds</c> is worth one unit of priority, so that nobody waits
/// for ever behind a stream of better ones.
/// </summary>
internal sealed class PriorityPolicy(double agingSeconds = PriorityPolicy.DefaultAgingSeconds) : SchedulingPolicy
{
    internal const double DefaultAgingSeconds = 60;

    internal override bool Preempts => true;

    internal override double RankOf(Request request) => (request.Scheduling.Priority * agingSeconds) + request.QueuedAt;
}
