using VllmNative.Models;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Models;

/// <summary>Expected values come from the published formulas, evaluated in double precision apart from this code.</summary>
public sealed class RopeFrequenciesTests
{
    [Fact]
    public void Default_is_a_falling_power_of_theta()
    {
        AssertFrequencies([1, 0.1, 0.01, 0.001], new RopeConfig { Theta = 1e4 }, 8, 512, 1);
        float[] wide = RopeFrequencies.Compute(new RopeConfig { Theta = 5e5 }, 128, 8192, out _);
        for (int i = 0; i < 64; i++)
        {
            AssertClose(Math.Pow(5e5, -i / 64.0), wide[i]);
        }
    }

    [Fact]
    public void Linear_divides_by_the_factor() =>
        AssertFrequencies([0.25, 0.025, 0.0025, 0.00025], new RopeConfig { Type = RopeType.Linear, Factor = 4 }, 8, 512, 1);

    [Fact]
    public void Llama3_keeps_blends_and_divides()
    {
        RopeConfig rope = new() { Type = RopeType.Llama3, Theta = 5e5, Factor = 8, LowFreqFactor = 1, HighFreqFactor = 4, OriginalMaxPositionEmbeddings = 64 };
        AssertFrequencies(
            [1.0, 0.0794030091792082, 0.004700753866357992, 0.0009115830921521386, 0.00017677669529663688, 3.428102195952591e-05, 6.647869871181236e-06, 1.2891731721515574e-06],
            rope,
            16,
            1024,
            1);
    }

    [Fact]
    public void Llama3_blends_where_the_released_models_do()
    {
        RopeConfig rope = new() { Type = RopeType.Llama3, Theta = 5e5, Factor = 8, LowFreqFactor = 1, HighFreqFactor = 4, OriginalMaxPositionEmbeddings = 8192 };
        float[] frequencies = RopeFrequencies.Compute(rope, 128, 131072, out _);
        double[] expected = [0.0032114459947525913, 0.002166570763503359, 0.0013718935677611381, 0.0008567514129196321, 0.0005248461609929547, 0.00031269375038406517, 0.00017850781276799638, 9.556212353964683e-05, 7.78465527393245e-05];
        for (int i = 0; i < expected.Length; i++)
        {
            AssertClose(expected[i], frequencies[28 + i]);
        }

        Assert.Equal(1f, frequencies[0]);
    }

    [Fact]
    public void Yarn_ramps_between_the_rounded_bounds()
    {
        // Bounds -1.6 and 1.41 become 0 and 2: pair 1 lies half way.
        RopeConfig rope = new() { Type = RopeType.Yarn, Factor = 4, OriginalMaxPositionEmbeddings = 32 };
        AssertFrequencies(
            [1.0, 0.19764235376052372, 0.025, 0.007905694150420948, 0.0025, 0.0007905694150420947, 0.00025, 7.905694150420948e-05],
            rope,
            16,
            512,
            1.138629436111989);
    }

    [Theory]
    [InlineData(true, 0.02371708245126285, 0.0028117066259517455)]
    [InlineData(false, 0.0286136088119889, 0.0029867345117775513)]
    public void Yarn_may_leave_the_bounds_unrounded(bool truncate, double second, double third)
    {
        // Bounds 1.745 and 3.752.
        RopeConfig rope = new() { Type = RopeType.Yarn, Theta = 1e6, Factor = 4, Truncate = truncate, OriginalMaxPositionEmbeddings = 4096 };
        AssertFrequencies(
            [1.0, 0.17782794100389226, second, third, 0.00025, 4.445698525097307e-05, 7.905694150420949e-06, 1.4058533129758728e-06],
            rope,
            16,
            16384,
            1.138629436111989);
    }

    [Fact]
    public void Yarn_with_equal_bounds_is_a_step()
    {
        RopeConfig rope = new() { Type = RopeType.Yarn, Factor = 2, BetaFast = 1, BetaSlow = 1, OriginalMaxPositionEmbeddings = 6 };
        AssertFrequencies([1.0, 0.05, 0.005, 0.0005], rope, 8, 512, (0.1 * Math.Log(2)) + 1);
    }

    [Fact]
    public void Yarn_without_an_original_context_takes_the_models()
    {
        RopeConfig rope = new() { Type = RopeType.Yarn, Theta = 1e6, Factor = 4 };
        Assert.Equal(
            RopeFrequencies.Compute(rope with { OriginalMaxPositionEmbeddings = 4096 }, 16, 1, out _),
            RopeFrequencies.Compute(rope, 16, 4096, out _));
    }

    [Theory]
    [InlineData(40, null, null, null, 1.3688879454113936)]
    [InlineData(1, null, null, null, 1)]
    [InlineData(0.5, null, null, null, 1)]
    [InlineData(40, 1.25, 0.707, 1.5, 1.25)]
    [InlineData(40, null, 1.0, 1.0, 1)]
    [InlineData(40, null, 0.707, 1.5, 0.8116769910542814)]
    [InlineData(40, null, 0.707, null, 1.3688879454113936)]
    [InlineData(40, null, 0.0, 1.0, 1.3688879454113936)]
    public void Yarn_scales_attention(double factor, double? stated, double? mscale, double? mscaleAllDim, double expected)
    {
        RopeConfig rope = new() { Type = RopeType.Yarn, Factor = factor, AttentionFactor = stated, Mscale = mscale, MscaleAllDim = mscaleAllDim };
        RopeFrequencies.Compute(rope, 16, 4096, out float scaling);
        AssertClose(expected, scaling);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-2)]
    [InlineData(7)]
    public void A_rotary_dimension_that_is_not_positive_and_even_is_misuse(int dim) =>
        Assert.Throws<ArgumentOutOfRangeException>("rotaryDim", () => RopeFrequencies.Compute(new RopeConfig(), dim, 512, out _));

    private static void AssertFrequencies(double[] expected, RopeConfig rope, int dim, int context, double scaling)
    {
        float[] actual = RopeFrequencies.Compute(rope, dim, context, out float actualScaling);
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            AssertClose(expected[i], actual[i]);
        }

        AssertClose(scaling, actualScaling);
    }

    private static void AssertClose(double expected, float actual) => Assert.InRange(actual / expected, 1 - 4e-7, 1 + 4e-7);
}
