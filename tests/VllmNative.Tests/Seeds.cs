namespace VllmNative.Tests;

/// <summary>Runs of a test with one seed after another; a failure names the seed that shows it.</summary>
internal static class Seeds
{
    /// <summary>Runs with the seeds below <paramref name="count"/>.</summary>
    internal static void Each(int count, Action<int> run) => Each(0, count, "", run);

    /// <summary>Runs with so many seeds from a first one on.</summary>
    /// <param name="first">The first seed.</param>
    /// <param name="count">How many.</param>
    /// <param name="with">What else it takes to repeat the failure; said behind the seed.</param>
    /// <param name="run">The test.</param>
    internal static void Each(int first, int count, string with, Action<int> run)
    {
        for (int seed = first; seed < first + count; seed++)
        {
            try
            {
                run(seed);
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"seed {seed}{with}: {error.Message}", error);
            }
        }
    }
}
