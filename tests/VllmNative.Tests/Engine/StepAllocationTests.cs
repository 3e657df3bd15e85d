using System.Diagnostics;
using System.Reflection;
using VllmNative.Cache;
using VllmNative.Engine;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>What the engine thread does in a step, without the device.</summary>
public sealed class StepAllocationTests
{
    private const int BlockSize = 8;
    private const int Steps = 300;

    [Theory]
    [InlineData(64, "plain")]
    [InlineData(64, "static rows")]
    [InlineData(256, "plain")]
    [InlineData(1024, "plain")]
    [InlineData(256, "prefix cache")]
    [InlineData(256, "latency target and swap space")]
    [InlineData(256, "all")]
    public void Planning_committing_and_looking_at_deadlines_allocates_nothing_while_requests_decode(int rows, string with)
    {
        bool optimized = typeof(Scheduler).Assembly.GetCustomAttribute<DebuggableAttribute>() is not { IsJITOptimizerDisabled: true };
        Assert.SkipUnless(optimized, "an unoptimized build boxes where an optimized one does not");
        var limits = new SchedulerLimits(rows, 4 * rows, 0, rows) { StaticRowTokens = with == "static rows" ? 100 * BlockSize : 0 };
        var pool = new BlockPool((rows * 100) + 1);
        bool caches = with is "prefix cache" or "all";
        bool learns = with is "latency target and swap space" or "all";
        var setup = new SchedulerSetup { Preemption = PreemptionMode.Auto, SwapBlocks = learns ? 100 : 0, BlockBytes = 1000, TargetInterTokenLatency = learns ? 0.02 : null };
        PrefixCache? prefixes = caches ? new PrefixCache(pool, setup.SwapBlocks, BlockSize) : null;
        var scheduler = new Scheduler(limits, new KvCacheManager(pool, BlockSize, prefixes), setup);
        using var pump = new OutputPump();
        var committer = new StepCommitter(scheduler, pump);
        var plan = new StepPlan(rows, limits.MaxNumBatchedTokens);
        var result = new StepResult(rows);
        List<Request> admitted = [];

        // One more than fits, so that somebody waits; they come over many steps, as those who learn from prefill need, or in one batch.
        int atOnce = limits.StaticRowTokens > 0 ? rows + 1 : 1 + (rows / 16);
        int warmUp = 0;
        int added = 0;
        while (added <= rows || scheduler.RunningCount < rows)
        {
            for (int i = 0; i < atOnce && added <= rows; i++)
            {
                scheduler.Add(RequestOf(added++));
            }

            Assert.True(++warmUp < 400, $"{scheduler.RunningCount} of {rows} run");
            Turn(warmUp);
        }

        // Sixteen more, so that the last to come has decoded too.
        for (int step = 0; step < 16; step++)
        {
            Turn(++warmUp);
        }

        int known = prefixes?.Index.Count ?? 0;
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int step = 1; step <= Steps; step++)
        {
            Turn(warmUp + step);
        }

        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(plan.RequestedIds.Count > 10 && plan.ProcessorCalls.Count > 10);
        Assert.Equal((rows, 1, rows), (scheduler.RunningCount, scheduler.WaitingCount, plan.Rows.Count));
        Assert.True(scheduler.Running[^1].OutputLength >= Steps && pool.Used > rows * 30);
        Assert.True(!caches || prefixes!.Index.Count - known > rows * 30, "no block became known");
        Assert.True(!learns || scheduler.PreemptionCost.Ready, "nothing was learned");
        Assert.Equal(0, allocated);

        void Turn(int step)
        {
            admitted.Clear();
            plan.StepId = step;
            scheduler.Schedule(plan, admitted);
            result.Begin(step);
            result.EnsureTop(4, rows);
            result.EnsureRequested(rows, 2 * rows);
            foreach (ref readonly RequestedIds asked in plan.RequestedIds.Span)
            {
                result.AddRequested(asked.LogitsRow, asked.Ids.Length).Fill(-1);
            }

            for (int row = 0; row < plan.Rows.Count; row++)
            {
                result.SetRow(row, RowStatus.Ok, [9]);
            }

            scheduler.Observe(plan, 0.001 + (0.00001 * plan.NumTokens));
            scheduler.ObserveSwaps(0, 0);
            committer.Commit(plan, result);
            committer.EndOverdue(1);
            pump.Flush();
        }
    }

    // All different, so that each makes its own blocks known.
    private static Request RequestOf(int i)
    {
        var parameters = new SamplingParams { FrequencyPenalty = i % 2, Logprobs = i % 3 == 0 ? 4 : null, MinTokens = i % 5 == 0 ? 400 : 0, MaxTokens = 790 };
        parameters = i % 4 == 0 ? parameters with { LogprobTokenIds = [5, 6] } : parameters;
        LogitRules? rules = i % 6 == 0 ? new LogitRules { Processors = [new Idle()] } : null;
        return new Request(i, [10 + i, 2, 3], parameters, 790, [7], BlockSize, seed: 0) { Rules = rules };
    }

    private sealed class Idle : ILogitsProcessor
    {
        public void Apply(ReadOnlySpan<int> promptTokens, ReadOnlySpan<int> outputTokens, Span<float> logits)
        {
        }
    }
}
