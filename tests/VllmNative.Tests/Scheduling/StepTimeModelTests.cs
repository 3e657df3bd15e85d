using System.Diagnostics;
using VllmNative.Diagnostics;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>What the model learns from steps of a device whose law is known.</summary>
public sealed class StepTimeModelTests
{
    private static readonly Func<StepLoad, double> FullLaw = static load =>
        0.006 + (load.PrefillTokens > 0 ? 0.001 : 0) + (5e-6 * load.Rows) + (24e-6 * load.PrefillTokens) + (1e-9 * load.KvTokens) + (0.5e-9 * load.AttentionTokens);

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(4, true)]
    public void Two_hundred_noisy_steps_give_predictions_within_5_percent(int seed, bool everyTerm)
    {
        var device = new SyntheticDevice(seed);
        device.Law = everyTerm ? FullLaw : device.Law;
        var model = new StepTimeModel();
        device.Teach(model, 200);
        Assert.Equal(200, model.Observations);
        Assert.InRange(device.LargestError(model), 0, 0.05);
    }

    [Fact]
    public void Without_noise_every_coefficient_is_found()
    {
        var device = new SyntheticDevice(1, noise: 0) { Law = FullLaw };
        var model = new StepTimeModel();
        device.Teach(model, 2000);
        StepTimeCoefficients c = model.Coefficients;
        (double Expected, double Actual)[] pairs =
        [
            (0.006, c.SecondsPerStep), (0.001, c.SecondsPerPrefillStep), (5e-6, c.SecondsPerRow), (24e-6, c.SecondsPerPrefillToken),
            (1e-9, c.SecondsPerKvToken), (0.5e-9, c.SecondsPerAttentionToken),
        ];
        Assert.All(pairs, pair => Assert.Equal(1, pair.Actual / pair.Expected, 0.01));
    }

    [Theory]
    [InlineData(1e-3)]
    [InlineData(1e3)]
    public void Slow_and_fast_devices_are_learned_alike(double scale)
    {
        var device = new SyntheticDevice(1) { Law = load => scale * FullLaw(load) };
        var model = new StepTimeModel();
        device.Teach(model, 200);
        Assert.InRange(device.LargestError(model), 0, 0.05);
    }

    [Fact]
    public void A_drift_is_followed()
    {
        var device = new SyntheticDevice(5);
        Func<StepLoad, double> law = device.Law;
        var model = new StepTimeModel();
        for (int step = 0; step < 2000; step++)
        {
            double slower = 1 + (step / 4000.0);
            device.Law = load => slower * law(load);
            device.Teach(model, 1);
        }

        // The mean of what is remembered lies about 200 steps back: 5 percent of 1.5.
        Assert.InRange(device.LargestError(model), 0, 0.08);
        device.Teach(model, 600);
        Assert.InRange(device.LargestError(model), 0, 0.05);
    }

    [Fact]
    public void A_jump_is_learned_although_each_step_of_it_looks_like_an_outlier()
    {
        var device = new SyntheticDevice(6);
        Func<StepLoad, double> law = device.Law;
        var model = new StepTimeModel();
        device.Teach(model, 400);
        device.Law = load => 3 * law(load);
        device.Teach(model, 2000);
        Assert.InRange(device.LargestError(model), 0, 0.05);
    }

    [Fact]
    public void Features_that_stay_the_same_for_long_spoil_nothing()
    {
        var device = new SyntheticDevice(7) { Law = FullLaw };
        var model = new StepTimeModel();
        device.Teach(model, 400);
        StepTimeCoefficients before = model.Coefficients;
        StepLoad same = default(StepLoad).With(1, 1000).With(1, 3000);
        for (int step = 0; step < 100_000; step++)
        {
            model.Observe(same, device.Run(same));
        }

        Assert.Equal(1, model.Predict(same) / FullLaw(same), 0.03);
        Assert.Equal(before.SecondsPerPrefillToken, model.Coefficients.SecondsPerPrefillToken, before.SecondsPerPrefillToken * 0.01);
        Assert.InRange(device.LargestError(model), 0, 0.1);

        // And one strange step with prefill does not become what prefill costs.
        StepLoad mixed = same.With(512, 512);
        model.Observe(mixed, 1.5 * FullLaw(mixed));
        Assert.InRange(model.Predict(mixed), FullLaw(mixed), 1.35 * FullLaw(mixed));
        device.Teach(model, 200);
        Assert.InRange(device.LargestError(model), 0, 0.05);
    }

    [Fact]
    public void Outliers_do_not_move_it_far()
    {
        var device = new SyntheticDevice(8);
        var model = new StepTimeModel();
        for (int step = 0; step < 1000; step++)
        {
            StepLoad load = device.RandomLoad();
            model.Observe(load, device.Run(load) * (step % 50 == 3 ? 5 : 1));
        }

        Assert.InRange(device.LargestError(model), 0, 0.05);
    }

    [Fact]
    public void A_step_of_five_times_the_prediction_counts_as_twice_it()
    {
        static StepTimeModel After(double times)
        {
            var device = new SyntheticDevice(9, noise: 0);
            var model = new StepTimeModel();
            device.Teach(model, 100);
            StepLoad load = device.RandomLoad();
            model.Observe(load, times * model.Predict(load));
            return model;
        }

        Assert.Equal(After(2).Coefficients, After(5).Coefficients);
        Assert.NotEqual(After(1.5).Coefficients, After(2).Coefficients);
        Assert.Equal(After(0.5).Coefficients, After(0.01).Coefficients);
    }

    [Fact]
    public void More_load_never_takes_less_and_nothing_is_below_0()
    {
        // A device that gets faster with load: no coefficient may be negative for it.
        var device = new SyntheticDevice(10) { Law = static load => 0.05 / (1 + load.Rows) / (load.PrefillTokens > 0 ? 2 : 1) };
        var model = new StepTimeModel();
        for (int step = 0; step < 500; step++)
        {
            device.Teach(model, 1);
            StepLoad load = device.RandomLoad();
            double seconds = model.Predict(load);
            Assert.True(seconds >= 0 && double.IsFinite(seconds));
            Assert.True(model.Predict(load.With(1, 100)) >= seconds);
            Assert.True(model.Predict(load.With(100, 100)) >= model.Predict(load.With(99, 99)));
        }
    }

    [Fact]
    public void It_is_ready_when_it_has_seen_both_kinds_of_step()
    {
        StepLoad decode = default(StepLoad).With(1, 100);
        StepLoad mixed = decode.With(64, 64);
        var model = new StepTimeModel();
        for (int step = 0; step < 100; step++)
        {
            model.Observe(decode, 0.01);
        }

        Assert.False(model.Ready);
        for (int step = 0; step < 8; step++)
        {
            Assert.False(model.Ready);
            model.Observe(mixed, 0.02);
        }

        Assert.True(model.Ready);

        var prefillOnly = new StepTimeModel();
        for (int step = 0; step < 100; step++)
        {
            prefillOnly.Observe(default(StepLoad).With(64, 64), 0.01);
        }

        Assert.False(prefillOnly.Ready);

        var mixedOnly = new StepTimeModel();
        for (int step = 0; step < 24; step++)
        {
            Assert.False(mixedOnly.Ready);
            mixedOnly.Observe(mixed, 0.02);
        }

        Assert.True(mixedOnly.Ready);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void Times_that_cannot_be_are_ignored(double seconds)
    {
        var model = new StepTimeModel();
        model.Observe(default(StepLoad).With(1, 100), seconds);
        model.Observe(default, 0.01);
        Assert.Equal((0L, 0.0), (model.Observations, model.Predict(default(StepLoad).With(1, 100))));
    }

    [Fact]
    public void Given_coefficients_are_used_at_once_and_corrected_by_what_is_measured()
    {
        var device = new SyntheticDevice(11) { Law = FullLaw };
        var model = new StepTimeModel(new StepTimeCoefficients(0.006, 0.001, 5e-6, 24e-6, 1e-9, 0.5e-9));
        Assert.True(model.Ready);
        Assert.InRange(device.LargestError(model), 0, 1e-9);
        device.Teach(model, 1);
        Assert.InRange(device.LargestError(model), 0, 0.02);
        device.Law = load => 1.3 * FullLaw(load);
        device.Teach(model, 800);
        Assert.InRange(device.LargestError(model), 0, 0.05);
    }

    [Fact]
    public void Coefficients_make_the_same_model_again()
    {
        var device = new SyntheticDevice(12) { Law = FullLaw };
        var model = new StepTimeModel();
        device.Teach(model, 300);
        var copy = new StepTimeModel(model.Coefficients);
        StepLoad load = device.RandomLoad();
        Assert.Equal((model.Predict(load), model.Coefficients), (copy.Predict(load), copy.Coefficients));
    }

    [Theory]
    [InlineData(-1e-9, "-1E-09")]
    [InlineData(double.NaN, "NaN")]
    [InlineData(double.PositiveInfinity, "Infinity")]
    public void Coefficients_that_cannot_be_are_refused(double value, string text)
    {
        var error = Assert.Throws<VllmException>(() => new StepTimeModel(new StepTimeCoefficients(0.006, 0, 0, value, 0, 0)));
        Assert.Equal($"step time coefficients: SecondsPerPrefillToken is {text}, expected a finite number of at least 0", error.Message);
    }

    [Fact]
    public void Observing_and_predicting_allocate_nothing()
    {
        (SyntheticDevice device, StepTimeModel model) = (new SyntheticDevice(13), new StepTimeModel());
        device.Teach(model, 100);
        StepLoad load = device.RandomLoad();
        double sum = model.Predict(load);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            model.Observe(load, 0.01);
            sum += model.Predict(load);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(sum > 0);
    }

    [Fact]
    public void Observing_and_predicting_take_less_than_a_microsecond()
    {
        var device = new SyntheticDevice(13) { Law = FullLaw };
        var model = new StepTimeModel();
        (StepLoad Load, double Seconds)[] steps = [.. Enumerable.Range(0, 1000).Select(_ => device.RandomLoad()).Select(load => (load, device.Run(load)))];
        double observe = double.PositiveInfinity;
        double predict = double.PositiveInfinity;
        double sum = 0;
        // The fastest round counts: other tests only slow one down, and keep the compiler from optimizing it for a while.
        long begin = Stopwatch.GetTimestamp();
        while (!(observe < 1 && predict < 1) && Stopwatch.GetElapsedTime(begin).TotalSeconds < 30)
        {
            long start = Stopwatch.GetTimestamp();
            foreach ((StepLoad load, double seconds) in steps)
            {
                model.Observe(load, seconds);
            }

            long between = Stopwatch.GetTimestamp();
            foreach ((StepLoad load, _) in steps)
            {
                sum += model.Predict(load);
            }

            observe = Math.Min(observe, Stopwatch.GetElapsedTime(start, between).TotalMicroseconds / steps.Length);
            predict = Math.Min(predict, Stopwatch.GetElapsedTime(between).TotalMicroseconds / steps.Length);
            Thread.Sleep(1);
        }

        string text = FormattableString.Invariant($"observe {observe:f3} us, predict {predict:f3} us");
        TestContext.Current.TestOutputHelper?.WriteLine(text);
        Assert.True(observe < 1 && predict < 1 && sum > 0, text);
    }
}
