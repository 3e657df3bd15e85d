using VllmNative.Requests;

namespace VllmNative.Scheduling.Policies;

/// <summary>First come, first served.</summary>
internal sealed class FcfsPolicy : SchedulingPolicy
{
    internal override double RankOf(Request request) => 0;
}
