using VllmNative.Diagnostics;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>How much prefill fits beside decodes, and what feedback makes of it.</summary>
public sealed class LatencyTargetTests
{
    private const double Target = 0.05;

    // 6 ms a step, 24 us a prefill token, 1 ns a KV token, 1 ns a pair.
    private static readonly StepTimeCoefficients Known = new(0.006, 0, 0, 24e-6, 1e-9, 1e-9);

    private static readonly StepLoad Decodes = Load(decodes: 64, context: 1000);

    [Fact]
    public void The_most_that_is_predicted_within_the_margin_is_taken()
    {
        (StepTimeModel model, LatencyTarget target) = Trusted();
        foreach (int computed in (int[])[0, 1000, 100_000])
        {
            int tokens = target.PrefillTokens(Decodes, computed, 8192);
            double bound = Target * target.Factor;
            Assert.InRange(model.Predict(Decodes.With(tokens, computed + tokens)), 0, bound);
            Assert.True(model.Predict(Decodes.With(tokens + 1, computed + tokens + 1)) > bound);
        }

        Assert.Equal(0.8, target.Factor);
        Assert.Equal(700, target.PrefillTokens(Decodes, 0, 700));
        Assert.Equal(0, target.PrefillTokens(Decodes, 0, 0));
    }

    [Fact]
    public void Prefills_of_one_step_share_it()
    {
        (StepTimeModel model, LatencyTarget target) = Trusted();
        StepLoad planned = Decodes.With(500, 500);
        int second = target.PrefillTokens(planned, 0, 8192);
        planned = planned.With(second, second);
        Assert.InRange(model.Predict(planned), 0.99 * target.Factor * Target, target.Factor * Target);
        Assert.Equal(0, target.PrefillTokens(planned, 0, 8192));

        // What is left would not be worth a row, except to the prompt that it finishes.
        StepLoad nearlyFull = Decodes.With(500, 500).With(second - 10, second - 10);
        Assert.Equal(0, target.PrefillTokens(nearlyFull, 0, 8192));
        Assert.Equal(3, target.PrefillTokens(nearlyFull, 0, 3));
    }

    [Fact]
    public void Nothing_bounds_a_step_in_which_nothing_decodes()
    {
        Assert.Equal(8192, new LatencyTarget(Target, new StepTimeModel()).PrefillTokens(default, 0, 8192));
        Assert.Equal(8192, Trusted().Target.PrefillTokens(default(StepLoad).With(500, 500), 0, 8192));
    }

    [Fact]
    public void A_prompt_progresses_although_decodes_alone_miss_the_target()
    {
        LatencyTarget target = Trusted().Target;
        StepLoad heavy = Load(decodes: 64, context: 2_000_000);
        Assert.Equal(16, target.PrefillTokens(heavy, 0, 8192));
        Assert.Equal(5, target.PrefillTokens(heavy, 0, 5));
        // The minimum is the step's, not each prompt's.
        Assert.Equal(6, target.PrefillTokens(heavy.With(10, 10), 0, 8192));
        Assert.Equal(0, target.PrefillTokens(heavy.With(16, 16), 0, 8192));
    }

    [Fact]
    public void Until_the_model_is_ready_chunks_are_small_and_then_they_double()
    {
        var model = new StepTimeModel();
        var target = new LatencyTarget(Target, model);
        Assert.Equal(128, target.PrefillTokens(Decodes, 0, 8192));
        Assert.Equal(28, target.PrefillTokens(Decodes.With(100, 100), 0, 8192));
        for (int step = 0; step < 16; step++)
        {
            int cold = step % 2 == 0 ? 128 : 32;
            Assert.Equal(cold, target.PrefillTokens(Decodes, 0, 8192));
            Observe(step < 12 ? Decodes.With(cold, cold) : Decodes);
        }

        for (int step = 0; step < 8; step++)
        {
            Assert.InRange(target.PrefillTokens(Decodes, 0, 8192), 32, 128);
            Observe(Decodes);
        }

        List<int> chunks = [];
        while (chunks.Count < 8)
        {
            chunks.Add(target.PrefillTokens(Decodes, 0, 8192));
            Observe(Decodes.With(chunks[^1], chunks[^1]));
        }

        // A device on which 128 tokens cost next to nothing says little of 8192.
        Assert.Equal([256, 512, 1024, 2048, 4096, 8192, 8192, 8192], chunks);

        void Observe(StepLoad load)
        {
            target.Observe(load, 0.006);
            model.Observe(load, 0.006);
        }
    }

    [Fact]
    public void The_factor_follows_the_second_largest_error_of_the_last_320_steps()
    {
        (StepTimeModel model, LatencyTarget target) = Trusted();
        StepLoad load = Decodes.With(500, 500);
        Observe(0.9, 160);
        Assert.Equal(1 / 1.125, target.Factor, 9); // half of what is doubted at first
        Observe(0.9, 160);
        Assert.Equal(0.98, target.Factor);
        Observe(1.4, 1);
        Assert.Equal(0.98, target.Factor); // one error may be larger
        Observe(1.3, 1);
        Assert.Equal(1 / (1.005 * 1.3), target.Factor, 9);
        Observe(2.1, 2);
        Assert.Equal(1 / (1.005 * 2), target.Factor, 9);
        Observe(1.1, 319);
        Assert.Equal(1 / (1.005 * 1.1), target.Factor, 9);

        void Observe(double error, int steps)
        {
            for (int step = 0; step < steps; step++)
            {
                target.Observe(load, error * model.Predict(load));
            }
        }
    }

    [Fact]
    public void Steps_that_show_nothing_of_the_model_change_nothing()
    {
        (_, LatencyTarget target) = Trusted();
        for (int step = 0; step < 2; step++)
        {
            // No prefill; nobody who waited for a token.
            target.Observe(Decodes, 2 * Target);
            target.Observe(default(StepLoad).With(8192, 8192), 2 * Target);
        }

        Assert.Equal(0.8, target.Factor);
    }

    [Fact]
    public void Misses_that_less_prefill_would_not_have_avoided_ask_for_no_margin_but_are_the_one_that_may_happen()
    {
        (StepTimeModel model, LatencyTarget target) = Trusted();
        StepLoad load = Decodes.With(500, 500);
        double predicted = model.Predict(load);
        double avoidable = predicted - model.Predict(Decodes);
        Observe(predicted, 318);
        Observe(1.2 * predicted, 2);
        Assert.Equal(1 / (1.005 * 1.2), target.Factor, 9);
        Observe(predicted, 319);
        Observe(1.1 * predicted, 1);
        Assert.Equal(0.98, target.Factor);
        Observe(Target + (1.01 * avoidable), 1);
        Assert.Equal(1 / (1.005 * 1.1), target.Factor, 9); // no other error may be larger now
        for (int step = 0; step < 5; step++)
        {
            Observe(predicted, 1);
            Observe(Target + (1.01 * avoidable), 1);
        }

        Assert.Equal(1 / (1.005 * 1.1), target.Factor, 9);
        // Two in a row are not held up by something else.
        Observe(Target + (1.01 * avoidable), 1);
        Assert.Equal(1 / (1.005 * 2), target.Factor, 9);

        void Observe(double seconds, int steps)
        {
            for (int step = 0; step < steps; step++)
            {
                target.Observe(load, seconds);
            }
        }
    }

    [Fact]
    public void A_small_factor_does_not_stay_for_want_of_larger_steps()
    {
        (StepTimeModel model, LatencyTarget target) = Trusted();
        StepLoad heavy = Load(decodes: 64, context: 500_000); // 38 ms
        Observe(Decodes.With(500, 500), 1.4, 320);
        int least = target.PrefillTokens(heavy, 0, 8192);
        Assert.Equal(LatencyTarget.MinPrefillTokens, least);
        Observe(heavy.With(least, least), 1, 320);
        Assert.InRange(target.PrefillTokens(heavy, 0, 8192), 400, 500);

        void Observe(StepLoad load, double error, int steps)
        {
            for (int step = 0; step < steps; step++)
            {
                target.Observe(load, error * model.Predict(load));
            }
        }
    }

    [Theory]
    [InlineData(1, 0.05, 0.05)]
    [InlineData(2, 0.05, 0.05)]
    [InlineData(3, 0.05, 0.1)]
    [InlineData(4, 0.02, 0.05)]
    [InlineData(5, 0.02, 0.02)]
    public void Long_prompts_beside_64_decodes_keep_the_target_and_most_of_the_throughput(int seed, double noise, double targetSeconds)
    {
        var device = new SyntheticDevice(seed, noise);
        AssertKept(Simulation.Run(device, targetSeconds, noise, steps: 4000));
    }

    [Fact]
    public void So_they_do_where_prompts_never_pause()
    {
        var device = new SyntheticDevice(6);
        AssertKept(Simulation.Run(device, Target, 0.05, steps: 4000, quiet: 0));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void So_they_do_where_small_chunks_hide_behind_the_weights(int seed)
    {
        // 6 ms for the weights or 24 us a token, whichever is more; attention on top.
        var device = new SyntheticDevice(seed)
        {
            Law = static load => Math.Max(0.006, 24e-6 * (load.PrefillTokens + load.DecodeRows)) + (1e-9 * load.KvTokens) + (0.3e-9 * load.AttentionTokens),
        };
        AssertKept(Simulation.Run(device, Target, 0.05, steps: 4000));
    }

    [Theory]
    [InlineData(1, 0.3)]
    [InlineData(2, 0.7)]
    [InlineData(3, 1.5)]
    public void So_they_do_where_one_step_in_250_is_held_up(int seed, double held)
    {
        // By that part of the target, whatever it computes: the margin need not cover what happens so rarely.
        var device = new SyntheticDevice(seed) { HeldUp = 1 / 250.0, HeldUpSeconds = held * Target };
        AssertKept(Simulation.Run(device, Target, 0.05, steps: 4000));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(double.NaN)]
    public void A_target_that_cannot_be_is_refused(double seconds)
    {
        var error = Assert.Throws<VllmException>(() => new LatencyTarget(seconds, new StepTimeModel()));
        Assert.Equal(FormattableString.Invariant($"latency target: targetSeconds is {seconds}, expected a finite number above 0"), error.Message);
    }

    [Fact]
    public void Asking_and_observing_allocate_nothing()
    {
        (_, LatencyTarget target) = Trusted();
        StepLoad load = Decodes.With(1500, 1500);
        target.Observe(load, 0.04);
        int tokens = target.PrefillTokens(Decodes, 0, 8192);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            tokens += target.PrefillTokens(Decodes, i, 8192);
            target.Observe(load, 0.04);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(tokens > 0);
    }

    private static void AssertKept(Simulation.Result result)
    {
        string text = FormattableString.Invariant(
            $"p99 {1e3 * result.P99:f2} ms, target {1e3 * result.Target:f0} ms, misses {result.Misses:p2}, {result.Throughput:f0} tokens/s = {result.Throughput / result.Oracle:p1} of the oracle's");
        TestContext.Current.TestOutputHelper?.WriteLine(text);
        Assert.True(result.P99 < result.Target && result.Misses < 0.01 && result.Throughput >= 0.8 * result.Oracle, text);
    }

    private static StepLoad Load(int decodes, int context)
    {
        StepLoad load = default;
        for (int row = 0; row < decodes; row++)
        {
            load = load.With(1, context);
        }

        return load;
    }

    // A model that knows, and a target that has seen the largest chunks.
    private static (StepTimeModel Model, LatencyTarget Target) Trusted()
    {
        var model = new StepTimeModel(Known);
        var target = new LatencyTarget(Target, model);
        target.Observe(default(StepLoad).With(8192, 8192), 0.2);
        return (model, target);
    }

    /// <summary>64 requests decode while prompts of 16384 tokens enter one behind the other; two steps are in flight.</summary>
    private static class Simulation
    {
        private const int Prompt = 16_384;
        private const int Budget = 8192;

        /// <param name="P99">Of all steps, the first ones included.</param>
        /// <param name="Oracle">Tokens/s of one that knows law and noise, and plans each step to miss the target once in a hundred times.</param>
        internal readonly record struct Result(double Target, double P99, double Misses, double Throughput, double Oracle);

        // quiet: steps until the first prompt comes.
        internal static Result Run(SyntheticDevice device, double targetSeconds, double noise, int steps, int quiet = 50)
        {
            var model = new StepTimeModel();
            var target = new LatencyTarget(targetSeconds, model);
            var inFlight = new Queue<(StepLoad Load, double Seconds)>();
            List<double> times = [];
            long tokens = 0;
            int computed = 0;
            for (int step = 0; step < steps; step++)
            {
                StepLoad decodes = DecodesAt(step);
                int chunk = step < quiet ? 0 : target.PrefillTokens(decodes, computed, Math.Min(Prompt - computed, Budget));
                StepLoad load = chunk == 0 ? decodes : decodes.With(chunk, computed + chunk);
                computed = (computed + chunk) % Prompt;
                tokens += chunk;
                times.Add(device.Run(load));
                inFlight.Enqueue((load, times[^1]));
                if (inFlight.Count > 2)
                {
                    (StepLoad returned, double seconds) = inFlight.Dequeue();
                    target.Observe(returned, seconds);
                    model.Observe(returned, seconds);
                }
            }

            double misses = times.Count(seconds => seconds > targetSeconds) / (double)steps;
            double throughput = tokens / times.Skip(50).Sum();
            times.Sort();
            return new Result(targetSeconds, times[(int)(0.99 * steps)], misses, throughput, Oracle(device, targetSeconds / (1 + (2.326 * noise)), steps));
        }

        private static double Oracle(SyntheticDevice device, double bound, int steps)
        {
            long tokens = 0;
            double seconds = 0;
            int computed = 0;
            for (int step = 50; step < steps; step++)
            {
                StepLoad decodes = DecodesAt(step);
                int chunk = Math.Min(Prompt - computed, Budget);
                while (chunk > 2 && device.Law(decodes.With(chunk, computed + chunk)) > bound)
                {
                    chunk--;
                }

                seconds += device.Law(decodes.With(chunk, computed + chunk));
                computed = (computed + chunk) % Prompt;
                tokens += chunk;
            }

            return tokens / seconds;
        }

        // Of different ages, and each is followed by another when it ends.
        private static StepLoad DecodesAt(int step)
        {
            StepLoad load = default;
            for (int row = 0; row < 64; row++)
            {
                load = load.With(1, 500 + ((step + (row * 37)) % 2000));
            }

            return load;
        }
    }
}
