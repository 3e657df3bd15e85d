using VllmNative.Cache;
using VllmNative.Engine;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Tests.Execution;
using VllmNative.Tests.Scheduling;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>The engine thread on a fake device that takes one or two steps at a time.</summary>
public sealed class EngineCoreTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Many_requests_under_pressure_get_their_own_tokens(int stepsInFlight)
    {
        using var fake = new FakeEngine(stepsInFlight, numBlocks: 24, maxSeqs: 8);
        Request[] requests = [.. Enumerable.Range(0, 80).Select(i => fake.Request(i, promptLength: 1 + (i * 7 % 30), maxTokens: 1 + (i * 5 % 40), stopIds: i % 3 == 0 ? [3, 17, 40] : []))];
        RequestOutput[] outputs = await Task.WhenAll(requests.Select(request => fake.RunAsync(request))).WaitAsync(TestEngines.Limit);
        for (int i = 0; i < requests.Length; i++)
        {
            (int[] ids, FinishReason reason) = FakeLanguage.Complete(requests[i].Tokens.Span[..requests[i].PromptLength], requests[i].MaxTokens, 0, requests[i].StopIds);
            Assert.Equal(ids, outputs[i].Outputs[0].TokenIds);
            Assert.Equal(reason, outputs[i].Outputs[0].FinishReason);
        }

        Assert.True(fake.Core.Preemptions > 0);
        Assert.Equal(stepsInFlight, fake.Device.MostStepsInFlight);
        await fake.AssertAllFreeAsync();
    }

    [Theory]
    [InlineData(1, PreemptionMode.Recompute)]
    [InlineData(2, PreemptionMode.Recompute)]
    [InlineData(1, PreemptionMode.Swap)]
    [InlineData(2, PreemptionMode.Swap)]
    public async Task Requests_that_are_preempted_at_random_steps_get_their_own_tokens(int stepsInFlight, PreemptionMode mode)
    {
        const int seed = 5;
        var setup = new SchedulerSetup { Preemption = mode, SwapBlocks = mode == PreemptionMode.Swap ? 200 : 0 };
        // Room for all: nobody else preempts.
        using var fake = new FakeEngine(stepsInFlight, numBlocks: 200, maxSeqs: 8, setup);
        _ = new Interruptions(fake.Core.Scheduler, seed, oneIn: 3);
        Request[] requests = [.. Enumerable.Range(0, 80).Select(i => fake.Request(i, promptLength: 1 + (i * 7 % 30), maxTokens: 1 + (i * 5 % 40), stopIds: i % 3 == 0 ? [3, 17, 40] : []))];
        RequestOutput[] outputs = await Task.WhenAll(requests.Select(request => fake.RunAsync(request))).WaitAsync(TestEngines.Limit);
        for (int i = 0; i < requests.Length; i++)
        {
            (int[] ids, FinishReason reason) = FakeLanguage.Complete(requests[i].Tokens.Span[..requests[i].PromptLength], requests[i].MaxTokens, 0, requests[i].StopIds);
            Assert.True(ids.SequenceEqual(outputs[i].Outputs[0].TokenIds) && reason == outputs[i].Outputs[0].FinishReason, $"seed {seed}: request {i}");
        }

        Assert.True(fake.Core.Preemptions >= 50, $"seed {seed}: {fake.Core.Preemptions} preemptions");
        Assert.Equal(mode == PreemptionMode.Swap ? fake.Core.Preemptions : 0, fake.Core.SwapOuts);
        await fake.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Steps_fail_one_by_one_and_the_engine_goes_on()
    {
        using var fake = new FakeEngine(stepsInFlight: 2);
        fake.Device.FailStep = plan => plan.StepId % 9 == 0 ? new InvalidOperationException("planned") : null;
        int errors = 0;
        for (int i = 0; i < 30; i++)
        {
            RequestOutput output = await fake.RunAsync(fake.Request(i, 5, maxTokens: 4)).WaitAsync(TestEngines.Limit);
            int[] ids = FakeLanguage.Complete(FakeLanguage.Prompt(i, 5), 4, 0, []).Ids;
            errors += output.Outputs[0].FinishReason == FinishReason.Error ? 1 : 0;
            Assert.Equal(ids[..output.Outputs[0].TokenIds.Count], output.Outputs[0].TokenIds);
            Assert.Equal(output.Error is null ? FinishReason.Length : FinishReason.Error, output.Outputs[0].FinishReason);
        }

        Assert.InRange(errors, 5, 25);
        await fake.AssertAllFreeAsync();
    }

    [Fact]
    public async Task An_engine_whose_own_bookkeeping_fails_dies_in_words_and_leaves_nobody_waiting()
    {
        var fake = new FakeEngine(stepsInFlight: 2);
        using var gate = new ManualResetEventSlim();
        fake.Device.BeforeCollect = gate.Wait;
        Task<RequestOutput>[] readers = [.. Enumerable.Range(0, 12).Select(i => fake.RunAsync(fake.Request(i, 5, maxTokens: 20)))];
        fake.Device.BeforeCollect = () => throw new InvalidOperationException("broken on purpose");
        gate.Set();
        RequestOutput[] outputs = await Task.WhenAll(readers).WaitAsync(TestEngines.Limit);
        Assert.All(outputs, output => Assert.Equal((FinishReason.Error, "broken on purpose"), (output.Outputs[0].FinishReason, output.Error)));
        var dead = Assert.Throws<EngineDeadException>(() => fake.Core.Submit(fake.Request(99, 5, 5)));
        Assert.Contains("broken on purpose", dead.Message, StringComparison.Ordinal);
        fake.Dispose();
        Assert.True(fake.Device.Disposed);
    }

    [Fact]
    public async Task Only_a_request_with_processors_waits_for_its_tokens()
    {
        using var fake = new FakeEngine(stepsInFlight: 2);
        List<(int InFlight, bool Processes, int Rows)> steps = [];
        fake.Device.FailStep = plan =>
        {
            steps.Add((fake.Device.StepsInFlight, plan.ProcessorCalls.Count > 0, plan.Rows.Count));
            return null;
        };
        Request processed = fake.Request(1, promptLength: 6, maxTokens: 12, rules: new LogitRules { Processors = [new Idle()] });
        Request[] plain = [fake.Request(2, promptLength: 5, maxTokens: 40), fake.Request(3, promptLength: 3, maxTokens: 40)];
        RequestOutput[] outputs = await Task.WhenAll(fake.RunAsync(processed), fake.RunAsync(plain[0]), fake.RunAsync(plain[1])).WaitAsync(TestEngines.Limit);
        Assert.Equal([12, 40, 40], outputs.Select(output => output.Outputs[0].TokenIds.Count));
        Assert.Equal(FakeLanguage.Complete(FakeLanguage.Prompt(1, 6), 12, 0, []).Ids, outputs[0].Outputs[0].TokenIds);
        Assert.Equal(12, steps.Count(step => step.Processes));
        Assert.DoesNotContain(true, steps.Zip(steps.Skip(1), (first, second) => first.Processes && second.Processes && second.InFlight > 0));
        // The others are in every step, and but for the first few each is planned while one computes.
        Assert.InRange(steps.Count, 40, 48);
        Assert.True(steps.Count(step => step.InFlight == 1) >= steps.Count - 8, string.Join(' ', steps));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Pooled_prompts_are_whole_while_steps_fail_and_the_pool_is_small(int stepsInFlight)
    {
        using var fake = new FakeEngine(stepsInFlight, numBlocks: 24, maxSeqs: 8);
        fake.Device.FailStep = plan => plan.StepId % 17 == 0 ? new InvalidOperationException("planned") : null;
        int[][] prompts = [.. Enumerable.Range(0, 60).Select(i => FakeLanguage.Prompt(i, 1 + (i * 13 % 75)))];
        HiddenPooling[] pools = [.. prompts.Select((prompt, i) => new HiddenPooling(i % 3 == 0 ? PoolingType.Last : PoolingType.Mean, prompt.Length))];
        Task<RequestOutput>[] generating = [.. Enumerable.Range(0, 30).Select(i => fake.RunAsync(fake.Request(1000 + i, promptLength: 20, maxTokens: 40)))];
        Task<RequestOutput>[] pooled = [.. prompts.Select((prompt, i) =>
            fake.RunAsync(new Request(i, prompt, SamplingParams.Greedy, 1, [], 4, seed: 0) { Pooling = pools[i] }))];
        RequestOutput[] outputs = await Task.WhenAll(pooled).WaitAsync(TestEngines.Limit);
        await Task.WhenAll(generating).WaitAsync(TestEngines.Limit);
        for (int i = 0; i < prompts.Length; i++)
        {
            Assert.Empty(outputs[i].Outputs[0].TokenIds);
            Assert.Equal(outputs[i].Error is null ? FinishReason.Stop : FinishReason.Error, outputs[i].Outputs[0].FinishReason);
            if (outputs[i].Error is null)
            {
                (double token, double weighted) = i % 3 == 0
                    ? (prompts[i][^1], (prompts[i].Length - 1.0) * prompts[i][^1])
                    : (prompts[i].Average(), prompts[i].Select((id, position) => (double)id * position).Average());
                Assert.Equal([(float)token, (float)weighted], pools[i].Result(normalize: false), (x, y) => Math.Abs(x - y) <= 1e-4 * Math.Abs(x));
            }
        }

        Assert.InRange(outputs.Count(output => output.Error is not null), 1, 45);
        Assert.True(fake.Core.Preemptions > 0);
        await fake.AssertAllFreeAsync();
    }

    [Fact]
    public async Task Peak_blocks_count_what_a_single_step_used()
    {
        using var fake = new FakeEngine(stepsInFlight: 1);
        await fake.RunAsync(fake.Request(1, promptLength: 9, maxTokens: 1)).WaitAsync(TestEngines.Limit);
        Assert.Equal((3, 0), (fake.Core.PeakBlocks, fake.Core.UsedBlocks));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Groups_share_their_prompt_while_steps_fail_and_the_pool_is_small(int stepsInFlight)
    {
        using var fake = new FakeEngine(stepsInFlight, numBlocks: 26, maxSeqs: 5);
        int tokens = 0;
        fake.Device.FailStep = plan =>
        {
            tokens += plan.NumTokens;
            return plan.StepId % 23 == 0 ? new InvalidOperationException("planned") : null;
        };
        int errors = 0;
        for (int turn = 0; turn < 40; turn++)
        {
            int[] prompt = FakeLanguage.Prompt(turn, 1 + (turn % 21));
            int maxTokens = 1 + (turn * 5 % 19);
            Request[] group = fake.Group(turn * 10, prompt, maxTokens, count: 4);
            RequestOutput output = await fake.RunAsync(group).WaitAsync(TestEngines.Limit);
            int[] ids = FakeLanguage.Complete(prompt, maxTokens, 0, []).Ids;
            foreach (CompletionOutput completion in output.Outputs)
            {
                bool failed = completion.FinishReason == FinishReason.Error;
                errors += failed ? 1 : 0;
                Assert.Equal(failed ? ids[..completion.TokenIds.Count] : ids, completion.TokenIds);
            }

            Assert.Equal(output.Outputs.Any(completion => completion.FinishReason == FinishReason.Error), output.Error is not null);
        }

        Assert.InRange(errors, 5, 120);
        await fake.AssertAllFreeAsync();

        // 20 tokens of prompt once, and its last one again for each of the others.
        fake.Device.FailStep = plan =>
        {
            tokens += plan.NumTokens;
            return null;
        };
        tokens = 0;
        await fake.RunAsync(fake.Group(1000, FakeLanguage.Prompt(77, 20), maxTokens: 3, count: 4)).WaitAsync(TestEngines.Limit);
        Assert.Equal(20 + 3 + (4 * 2), tokens);
    }

    private sealed class Idle : ILogitsProcessor
    {
        public void Apply(ReadOnlySpan<int> promptTokens, ReadOnlySpan<int> outputTokens, Span<float> logits)
        {
        }
    }

    private sealed class FakeEngine : IDisposable
    {
        private const int BlockSize = 4;

        internal FakeEngine(int stepsInFlight, int numBlocks = 64, int maxSeqs = 4, SchedulerSetup? setup = null)
        {
            var limits = new SchedulerLimits(maxSeqs, 32, 0, maxSeqs);
            var pool = new BlockPool(numBlocks);
            Device = new FakeModelRunner(stepsInFlight, maxSeqs, 32, numBlocks, BlockSize, numBlocks, new FakeHostBlocks(setup?.SwapBlocks ?? 0, BlockSize));
            Core = new EngineCore(new Scheduler(limits, new KvCacheManager(pool, BlockSize), setup), pool, Device, limits);
        }

        internal FakeModelRunner Device { get; }

        internal EngineCore Core { get; }

        internal Request Request(int seed, int promptLength, int maxTokens, int[]? stopIds = null, LogitRules? rules = null) =>
            new(seed, FakeLanguage.Prompt(seed, promptLength), SamplingParams.Greedy, maxTokens, stopIds ?? [], BlockSize, seed: 0) { Rules = rules };

        internal Request[] Group(long firstId, int[] prompt, int maxTokens, int count)
        {
            var group = new Request[count];
            for (int i = 0; i < count; i++)
            {
                group[i] = new Request(firstId + i, prompt, SamplingParams.Greedy, maxTokens, [], BlockSize, seed: 0, i > 0 ? group[0] : null);
            }

            return group;
        }

        internal async Task<RequestOutput> RunAsync(params Request[] requests)
        {
            var processor = new OutputProcessor(requests, "r", null, [], tokenizer: null, primaryEos: null);
            foreach (Request request in requests)
            {
                Core.Submit(request);
            }

            while (!processor.Finished)
            {
                await processor.WaitAsync(CancellationToken.None);
                processor.Advance();
            }

            return processor.Build();
        }

        internal async Task AssertAllFreeAsync()
        {
            for (int i = 0; i < 500 && Core.UsedBlocks != 0; i++)
            {
                await Task.Delay(2);
            }

            Assert.Equal(0, Core.UsedBlocks);
        }

        public void Dispose() => Core.Dispose();
    }
}
