using VllmNative.Scheduling;

namespace VllmNative.Tests.Scheduling;

/// <summary>A device whose step times follow a known law, with seeded noise.</summary>
internal sealed class SyntheticDevice(int seed, double noise = 0.05)
{
    private readonly Random _random = new(seed);

    /// <summary>6 ms a step, 24 us a prefill token, 1 ns a KV token.</summary>
    internal Func<StepLoad, double> Law { get; set; } = static load => 0.006 + (24e-6 * load.PrefillTokens) + (1e-9 * load.KvTokens);

    /// <summary>The part of its steps that take <see cref="HeldUpSeconds"/> longer, whatever they compute.</summary>
    internal double HeldUp { get; init; }

    internal double HeldUpSeconds { get; init; }

    internal Random Random => _random;

    /// <summary>What the step took: the law times a normal deviate around 1, and now and then what held it up.</summary>
    internal double Run(in StepLoad load)
    {
        double deviate = Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())) * Math.Cos(2 * Math.PI * _random.NextDouble());
        double heldUp = HeldUp > 0 && _random.NextDouble() < HeldUp ? HeldUpSeconds : 0;
        return (Law(load) * Math.Max(0.2, 1 + (noise * deviate))) + heldUp;
    }

    /// <summary>Decodes of many lengths, and beside half of them a chunk of a prompt.</summary>
    internal StepLoad RandomLoad()
    {
        StepLoad load = default;
        for (int rows = _random.Next(1, 65); rows > 0; rows--)
        {
            load = load.With(1, _random.Next(100, 32_000));
        }

        int chunk = _random.Next(16, 2049);
        return _random.Next(2) == 0 ? load : load.With(chunk, chunk + _random.Next(0, 16_384));
    }

    /// <summary>The largest relative error of the model over fresh random loads.</summary>
    internal double LargestError(StepTimeModel model)
    {
        double largest = 0;
        for (int i = 0; i < 1000; i++)
        {
            StepLoad load = RandomLoad();
            largest = Math.Max(largest, Math.Abs((model.Predict(load) / Law(load)) - 1));
        }

        return largest;
    }

    internal void Teach(StepTimeModel model, int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            StepLoad load = RandomLoad();
            model.Observe(load, Run(load));
        }
    }
}
