using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>A prompt that did not fit is looked up in the prefix cache again only when it may fit by now; nobody notices but the clock.</summary>
public sealed class WaitingPromptTests
{
    [Fact]
    public void A_prompt_that_cannot_fit_yet_is_not_looked_up_again()
    {
        using var harness = new SchedulerHarness(numBlocks: 17, blockSize: 4, maxSeqs: 4, prefixCaching: true);
        int[] prompt = FakeLanguage.Prompt(1, 32);
        harness.Add(prompt, maxTokens: 3);
        harness.Step();
        Request waiting = harness.Add([.. prompt[..16], .. FakeLanguage.Prompt(2, 32)], maxTokens: 4);
        harness.Step();
        Assert.Equal((RequestStatus.Waiting, 12 - 4), (waiting.Status, waiting.NeededBlocks));
        // A wrong answer is believed as long as nothing has changed, and no longer.
        waiting.NeededBlocks = 100;
        harness.Step();
        Assert.Equal((RequestStatus.Waiting, 100), (waiting.Status, waiting.NeededBlocks));
        waiting.NeededAtGains -= 100;
        harness.Drain();
        Assert.Equal((RequestStatus.Finished, 16), (waiting.Status, waiting.CachedTokens));
    }

    // With everything that lives of a scheduler have: policies, swaps, forks, pins, failures, resets.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Steps_are_the_same_as_if_everybody_was_looked_up_each_time(int stepsInFlight)
    {
        int remembered = 0;
        Seeds.Each(10_000, 150, $", {stepsInFlight} in flight", seed =>
        {
            using var life = new RandomLife(seed, stepsInFlight);
            using var twin = new RandomLife(seed, stepsInFlight);
            if (!life.Repeats)
            {
                return;
            }

            twin.Harness.LooksUpAlways = true;
            life.Live(operations: 120);
            twin.Live(operations: 120);
            Assert.Equal(twin.Harness.Planned, life.Harness.Planned);
            remembered += life.Harness.Remembered;
        });
        Assert.True(remembered > 2000, $"{remembered} remembered");
    }

    // Long prompts that begin alike, few blocks: many wait, and what they need changes all the time.
    [Theory]
    [InlineData(0)]
    [InlineData(12)]
    public void Whoever_fits_begins_in_the_same_step_as_if_everybody_was_looked_up(int tierBlocks)
    {
        int remembered = 0;
        int hits = 0;
        for (int seed = 0; seed < 40; seed++)
        {
            using var one = new Life(seed, tierBlocks);
            using var other = new Life(seed, tierBlocks);
            other.Harness.LooksUpAlways = true;
            for (int turn = 0; turn < 200; turn++)
            {
                one.Turn();
                other.Turn();
                Assert.True(
                    one.Harness.Admitted.Select(request => (request.Id, request.CachedTokens)).SequenceEqual(other.Harness.Admitted.Select(request => (request.Id, request.CachedTokens))),
                    $"seed {seed}, turn {turn}: {string.Join(' ', one.Harness.Admitted.Select(request => request.Id))} began instead of {string.Join(' ', other.Harness.Admitted.Select(request => request.Id))}");
                hits += one.Harness.Admitted.Count(request => request.CachedTokens > 0);
            }

            remembered += one.Harness.Remembered;
        }

        Assert.True(remembered > 5000 && hits > 300, $"{remembered} remembered, {hits} hits");
    }

    private sealed class Life(int seed, int tierBlocks) : IDisposable
    {
        private readonly Random _random = new(seed);

        internal SchedulerHarness Harness { get; } = new(
            numBlocks: 40, blockSize: 4, maxSeqs: 8, budget: 48, stepsInFlight: 1 + (seed % 2), prefixCaching: true, setup: new SchedulerSetup { TierBlocks = tierBlocks });

        internal void Turn()
        {
            if (_random.Next(2) == 0)
            {
                int[] prompt = [.. FakeLanguage.Prompt(_random.Next(3), _random.Next(1, 90)), .. FakeLanguage.Prompt(100 + _random.Next(4), _random.Next(0, 40))];
                Harness.Add(prompt, maxTokens: _random.Next(1, 20));
            }

            if (_random.Next(40) == 0 && Harness.Scheduler.Running.Count > 0)
            {
                Harness.End(Harness.Scheduler.Running[0]);
            }

            if (_random.Next(60) == 0)
            {
                Harness.ResetPrefixCache();
            }

            Harness.Turn();
        }

        public void Dispose() => Harness.Dispose();
    }
}
