using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>The solver of the step-time model.</summary>
public sealed class NonNegativeLeastSquaresTests
{
    [Fact]
    public void A_solution_that_is_positive_is_the_systems()
    {
        double[] solution = new double[3];
        NonNegativeLeastSquares.Solve([4, 9, 9, 2, 5, 9, 1, 1, 3], [4 + 4 + 3, 2 + 10 + 3, 1 + 2 + 9], solution);
        AssertNear([1, 2, 3], solution);
    }

    [Fact]
    public void What_would_be_negative_is_0_and_the_others_are_solved_without_it()
    {
        double[] solution = [7, 7];
        // Without the bound: (3, -1).
        NonNegativeLeastSquares.Solve([2, 0, 1, 2], [5, 1], solution);
        AssertNear([2.5, 0], solution);
    }

    [Fact]
    public void An_unknown_of_which_nothing_is_known_stays()
    {
        double[] solution = [7, 7, 7];
        NonNegativeLeastSquares.Solve([2, 0, 0, 0, 0, 0, 0, 0, 4], [6, 0, 4], solution);
        AssertNear([3, 7, 1], solution);
    }

    [Fact]
    public void Unknowns_that_cannot_be_told_apart_stay_finite_and_fit()
    {
        double[] solution = new double[2];
        NonNegativeLeastSquares.Solve([1, 0, 1e6, 1e12], [3, 3e6], solution);
        Assert.All(solution, value => Assert.InRange(value, 0, 3.0001));
        Assert.Equal(3, solution[0] + (1e6 * solution[1]), 6);
    }

    private static void AssertNear(double[] expected, double[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, 12));
    }
}
