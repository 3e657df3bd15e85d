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
    [Theory]
    [InlineData(0)]
    [InlineData(500)]
    public void Planning_committing_and_looking_at_deadlines_allocates_nothing_while_requests_decode(int staticRowTokens)
    {
        bool optimized = typeof(Scheduler).Assembly.GetCustomAttribute<DebuggableAttribute>() is not { IsJITOptimizerDisabled: true };
        Assert.SkipUnless(optimized, "an unoptimized build boxes where an optimized one does not");
        const int rows = 64;
        const int steps = 300;
        var limits = new SchedulerLimits(rows, 1024, 0, rows) { StaticRowTokens = staticRowTokens };
        var pool = new BlockPool(1 + (rows * 63));
        var scheduler = new Scheduler(limits, new KvCacheManager(pool, blockSize: 8));
        using var pump = new OutputPump();
        var committer = new StepCommitter(scheduler, pump);
        var plan = new StepPlan(rows, 1024);
        var result = new StepResult(rows);
        List<Request> admitted = [];

        // One more than fits, so that somebody waits.
        for (int i = 0; i <= rows; i++)
        {
            var parameters = new SamplingParams { FrequencyPenalty = i % 2, Logprobs = i % 3 == 0 ? 4 : null, MinTokens = i % 5 == 0 ? 400 : 0, MaxTokens = 1000 };
            parameters = i % 4 == 0 ? parameters with { LogprobTokenIds = [5, 6] } : parameters;
            LogitRules? rules = i % 6 == 0 ? new LogitRules { Processors = [new Idle()] } : null;
            scheduler.Add(new Request(i, [1, 2, 3], parameters, 1000, [7], blockSize: 8, seed: 0) { Rules = rules });
        }

        long before = 0;
        for (int step = 0; step < steps + 20; step++)
        {
            if (step == 20)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            admitted.Clear();
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

            committer.Commit(plan, result);
            committer.EndOverdue(1);
            pump.Flush();
        }

        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(plan.RequestedIds.Count > 10 && plan.ProcessorCalls.Count > 10);
        Assert.Equal((rows, 1), (scheduler.RunningCount, scheduler.WaitingCount));
        Assert.True(scheduler.Running[0].OutputLength == steps + 20 && pool.Used > rows * 30);
        Assert.Equal(0, allocated);
    }

    private sealed class Idle : ILogitsProcessor
    {
        public void Apply(ReadOnlySpan<int> promptTokens, ReadOnlySpan<int> outputTokens, Span<float> logits)
        {
        }
    }
}
