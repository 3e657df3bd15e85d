using VllmNative.Cache;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>K/V from before a reset of the prefix cache is never found after it, whatever those who hold it were doing then.</summary>
public sealed class PrefixResetTests
{
    [Fact]
    public void A_begun_block_stays_unknown()
    {
        using var harness = new SchedulerHarness(blockSize: 4, prefixCaching: true);
        Request request = harness.Add(promptLength: 3, maxTokens: 8);
        harness.Step();
        harness.ResetPrefixCache();
        AssertUnknown(harness, request);
    }

    [Fact]
    public void What_is_swapped_out_stays_unknown_when_it_comes_back()
    {
        using var harness = new SchedulerHarness(blockSize: 4, prefixCaching: true, setup: new SchedulerSetup { SwapBlocks = 16, Preemption = PreemptionMode.Swap });
        var interruptions = new Interruptions(harness.Scheduler);
        Request request = harness.Add(promptLength: 9, maxTokens: 8);
        harness.Step();
        interruptions.Interrupt(request);
        harness.Step();
        Assert.True(request.HostBlockCount > 0);
        harness.ResetPrefixCache();
        AssertUnknown(harness, request);
        Assert.Equal(1, harness.Scheduler.Swap!.SwappedIn);
    }

    [Fact]
    public void What_a_fork_shares_stays_unknown()
    {
        using var harness = new SchedulerHarness(blockSize: 4, prefixCaching: true);
        Request parent = harness.Add(promptLength: 9, maxTokens: 8);
        harness.Step();
        harness.ResetPrefixCache();
        Request fork = harness.ForkPrompt(parent, 8, SamplingParams.Greedy);
        AssertUnknown(harness, parent, fork);
    }

    [Fact]
    public void Who_is_computed_again_is_known_again()
    {
        using var harness = new SchedulerHarness(blockSize: 4, prefixCaching: true);
        var interruptions = new Interruptions(harness.Scheduler);
        Request request = harness.Add(promptLength: 9, maxTokens: 8);
        harness.Step();
        harness.ResetPrefixCache();
        interruptions.Interrupt(request);
        harness.Drain();
        Assert.Equal((1, 4), (request.Preemptions, harness.Prefixes!.Index.Count));
    }

    private static void AssertUnknown(SchedulerHarness harness, params Request[] requests)
    {
        harness.Drain();
        foreach (Request request in requests)
        {
            Request alike = harness.Add(request.Tokens.ToArray(), 1);
            harness.Drain();
            Assert.Equal((0, FinishReason.Length), (alike.CachedTokens, SchedulerHarness.StateOf(request).Finish));
            harness.ResetPrefixCache();
        }
    }
}
