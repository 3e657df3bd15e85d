using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Seeded random lives of a scheduler; the harness and the fake device check every turn.</summary>
public sealed class SchedulerRandomTests
{
    [Theory]
    [InlineData(1, 0)]
    [InlineData(1, 1)]
    [InlineData(1, 2)]
    [InlineData(1, 3)]
    [InlineData(2, 0)]
    [InlineData(2, 1)]
    [InlineData(2, 2)]
    [InlineData(2, 3)]
    public void Any_sequence_of_operations_keeps_the_invariants_and_every_token(int stepsInFlight, int part)
    {
        const int lives = 300;
        LifeEvents all = default;
        Seeds.Each(part * lives, lives, $", {stepsInFlight} in flight", seed =>
        {
            using var life = new RandomLife(seed, stepsInFlight);
            life.Live(operations: 120);
            all += life.Events;
        });

        // The lives were eventful; how much the disk has written when it is asked depends on the machine.
        Assert.True(
            all is
            {
                Preemptions: > 6000, Finished: > 6000, Aborted: > 700, Swaps: > 600, HitTokens: > 8000, Evictions: > 40_000, Forks: > 100, Failures: > 500,
                Onloads: > 1500, Moved: > 100, Beams: > 750, Interrupted: > 1000, DiskLoads: > 10, BoundedChunks: > 40,
            },
            all.ToString());
    }
}
