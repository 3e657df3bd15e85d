using System.Globalization;
using VllmNative.Diagnostics;
using Xunit;

namespace VllmNative.Tests.Loading;

/// <summary>Runs a parser on many mutated inputs. Each case has a seed of its own, so that a failure is repeated alone.</summary>
internal static class Fuzz
{
    private const string SeedVariable = "VLLMNATIVE_FUZZ_SEED";

    /// <summary>Runs cases; only <see cref="ModelFormatException"/> may escape. Returns how many inputs were accepted.</summary>
    /// <param name="count">Number of cases.</param>
    /// <param name="make">Makes the input from the case's own randomness.</param>
    /// <param name="parse">The parser, with checks of what it accepted.</param>
    public static int Run(int count, Func<Random, byte[]> make, Action<byte[]> parse)
    {
        int first = int.Parse(Environment.GetEnvironmentVariable(SeedVariable) ?? "1", CultureInfo.InvariantCulture);
        int accepted = 0;
        for (int i = 0; i < count; i++)
        {
            int seed = unchecked(first + i);
            byte[] input = make(new Random(seed));
            try
            {
                parse(input);
                accepted++;
            }
            catch (ModelFormatException error)
            {
                Assert.True(error.Message.Length < 2000, $"{SeedVariable}={seed}: a message of {error.Message.Length} characters");
                Assert.False(error.Message.Any(char.IsControl), $"{SeedVariable}={seed}: control characters in '{error.Message}'");
            }
            catch (Exception error)
            {
                Assert.Fail($"{SeedVariable}={seed}: {error}\ninput: {Convert.ToBase64String(input)}");
            }
        }

        // A fuzzer that only ever sees one outcome tests little.
        Assert.InRange(accepted, 1, count - 1);
        return accepted;
    }
}
