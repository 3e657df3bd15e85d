using VllmNative.Scheduling;

namespace VllmNative.Engine;

/// <summary>Ends requests and pins whose time is up; looks a hundred times a second, however fast the loop turns.</summary>
internal sealed class DeadlineCheck(Scheduler scheduler, StepCommitter committer, EngineClock clock)
{
    private long _next;

    internal void Run()
    {
        long now = TimeProvider.System.GetTimestamp();
        if (now < _next)
        {
            return;
        }

        _next = now + (TimeProvider.System.TimestampFrequency / 100);
        committer.EndOverdue(now);
        scheduler.ExpirePins(clock.Seconds(now));
    }
}
