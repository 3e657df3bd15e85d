using System.Collections.Concurrent;
using VllmNative.Engine;
using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>Readers that cancel, leave or sleep, and an engine that goes away.</summary>
public sealed class CancellationTests
{
    private static readonly SamplingParams Lengthy = new() { Temperature = 0, MaxTokens = 400, IgnoreEos = true };

    [Fact]
    public async Task Two_hundred_requests_that_are_cancelled_or_left_give_all_blocks_back()
    {
        var unobserved = new ConcurrentQueue<Exception>();
        EventHandler<UnobservedTaskExceptionEventArgs> note = (_, e) => unobserved.Enqueue(e.Exception);
        TaskScheduler.UnobservedTaskException += note;
        try
        {
            using var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { NumBlocksOverride = 129, MaxNumSeqs = 16 });
            SamplingParams brief = Lengthy with { MaxTokens = 30 };
            int[] bystander = TestEngines.Prompt(7, 12);
            RequestOutput golden = await engine.RunAsync(bystander, brief);
            Task[] readers = [.. Enumerable.Range(0, 200).Select(seed => LeaveSoonAsync(engine, seed))];
            RequestOutput beside = await engine.RunAsync(bystander, brief);
            await Task.WhenAll(readers).WaitAsync(TestEngines.Limit);
            await engine.AssertAllFreeAsync();
            Assert.Equal(golden.Outputs[0].TokenIds, beside.Outputs[0].TokenIds);
        }
        finally
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            TaskScheduler.UnobservedTaskException -= note;
        }

        Assert.Empty(unobserved);
    }

    [Fact]
    public async Task A_cancelled_reader_hears_it_and_one_cancelled_before_the_start_costs_nothing()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => engine.GenerateAsync(new[] { 1 }, Lengthy, cancellationToken: cancelled.Token).LastAsync().WaitAsync(TestEngines.Limit));
        await engine.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Disposal_ends_requests_in_flight_and_waiting_with_abort()
    {
        for (int turn = 0; turn < 8; turn++)
        {
            var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 4 });
            Task<RequestOutput>[] readers = [.. Enumerable.Range(0, 12).Select(i => engine.GenerateAsync(TestEngines.Prompt(i, 5), Lengthy).LastAsync())];
            await Task.Delay(turn * 3);
            await Task.Run(engine.Dispose).WaitAsync(TestEngines.Limit);
            RequestOutput[] outputs = await Task.WhenAll(readers).WaitAsync(TestEngines.Limit);
            Assert.All(outputs, output => Assert.Equal((true, FinishReason.Abort, null), (output.Finished, output.Outputs[0].FinishReason, output.Error)));
            Assert.Equal(0, engine.Memory.AllocatedBlocks);
            Assert.Throws<EngineDeadException>(() => engine.GenerateAsync(new[] { 1 }, Lengthy));
        }
    }

    [Fact]
    public async Task Requests_that_race_with_disposal_end_or_are_refused_but_never_hang()
    {
        for (int turn = 0; turn < 8; turn++)
        {
            var engine = AsyncLlmEngine.Create(TestEngines.Tiny with { MaxNumSeqs = 4 });
            Task<int>[] callers = [.. Enumerable.Range(0, 4).Select(caller => Task.Run(() => CallUntilRefusedAsync(engine, caller)))];
            await Task.Delay(10 + turn);
            await Task.WhenAll(Task.Run(engine.Dispose), Task.Run(engine.Dispose)).WaitAsync(TestEngines.Limit);
            await Task.WhenAll(callers).WaitAsync(TestEngines.Limit);
        }
    }

    [Fact]
    public async Task A_reader_that_sleeps_holds_nobody_up_and_finds_everything_later()
    {
        using var engine = AsyncLlmEngine.Create(TestEngines.Tiny);
        SamplingParams brief = Lengthy with { MaxTokens = 50 };
        await using IAsyncEnumerator<RequestOutput> sleeper = engine.GenerateAsync(TestEngines.Prompt(1, 5), brief).GetAsyncEnumerator();
        Assert.True(await sleeper.MoveNextAsync());
        int seen = sleeper.Current.Outputs[0].TokenIds.Count;
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(50, (await engine.RunAsync(TestEngines.Prompt(2, 5), brief)).Outputs[0].TokenIds.Count);
        }

        // It finished without its reader, too.
        await engine.AssertAllFreeAsync();
        Assert.True(await sleeper.MoveNextAsync());
        Assert.True(sleeper.Current.Finished && seen < 50);
        Assert.Equal(50, sleeper.Current.Outputs[0].TokenIds.Count);
        Assert.False(await sleeper.MoveNextAsync());
    }

    private static async Task LeaveSoonAsync(AsyncLlmEngine engine, int seed)
    {
        var random = new Random(seed);
        using var cancellation = new CancellationTokenSource();
        int leaveAfter = random.Next(2) == 0 ? random.Next(1, 6) : int.MaxValue;
        if (leaveAfter == int.MaxValue)
        {
            cancellation.CancelAfter(random.Next(0, 200));
        }

        try
        {
            int outputs = 0;
            await foreach (RequestOutput output in engine.GenerateAsync(TestEngines.Prompt(seed, random.Next(1, 60)), Lengthy, cancellationToken: cancellation.Token))
            {
                Assert.Null(output.Error);
                if (++outputs == leaveAfter)
                {
                    break;
                }
            }
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
        }
    }

    private static async Task<int> CallUntilRefusedAsync(AsyncLlmEngine engine, int caller)
    {
        for (int call = 0; ; call++)
        {
            try
            {
                RequestOutput output = await engine.GenerateAsync(TestEngines.Prompt(caller, 4), Lengthy with { MaxTokens = 3 }).LastAsync().WaitAsync(TestEngines.Limit);
                Assert.True(output.Outputs[0].FinishReason is FinishReason.Length or FinishReason.Abort, output.Error);
            }
            catch (EngineDeadException)
            {
                return call;
            }
        }
    }
}
