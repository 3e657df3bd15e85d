using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Tensors;
using VllmNative.Tests.Engine;
using Xunit;

namespace VllmNative.Tests.Execution;

/// <summary>Decode steps replayed as graphs against the same steps launched operation by operation; needs a GPU.</summary>
public sealed class GraphTests
{
    private const int Steps = 12;

    // The number of rows lies on, below and above the batch sizes that graphs are recorded for.
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(21)]
    [InlineData(64)]
    public void Replayed_steps_compute_the_bits_of_eager_ones(int rows)
    {
        Assert.SkipUnless(TestDevice.Kind == DeviceKind.Cuda, "the CPU device records no graphs");
        Assert.Equal(Run(rows, graphs: false), Run(rows, graphs: true));
    }

    [Fact]
    public void Capabilities_say_whether_steps_are_replayed()
    {
        bool gpu = TestDevice.Kind == DeviceKind.Cuda;
        using var replaying = AsyncLlmEngine.Create(TestEngines.Tiny with { EnforceEager = false });
        Assert.Equal(gpu, replaying.Capabilities.Graphs);
        using var eager = AsyncLlmEngine.Create(TestEngines.Tiny with { EnforceEager = true });
        Assert.False(eager.Capabilities.Graphs);
        Assert.Equal(0, eager.Capabilities.Memory.Graphs);
    }

    // Each row's prompt has a length of its own, and grows over the edge of a block; all logits of all decode steps.
    private static float[] Run(int rows, bool graphs)
    {
        using var harness = new ForwardHarness(TestAssets.Path("models", "tiny", "qwen3"), DataType.BFloat16, blockSize: 8, graphs: graphs);
        int PromptLength(int row) => 1 + (5 * row % 29);
        int Id(int row, int position) => 3 + (((row * 131) + (position * 17)) % 1500);
        for (int row = 0; row < rows; row++)
        {
            harness.Run(new ForwardHarness.Chunk(row, 0, [.. Enumerable.Range(0, PromptLength(row)).Select(position => Id(row, position))]));
        }

        List<float> logits = [];
        for (int step = 0; step < Steps; step++)
        {
            ForwardHarness.Chunk Next(int row)
            {
                int position = PromptLength(row) + step;
                return new ForwardHarness.Chunk(row, position, [Id(row, position)]);
            }

            foreach (float[] row in harness.Run([.. Enumerable.Range(0, rows).Select(Next)]))
            {
                logits.AddRange(row);
            }
        }

        return [.. logits];
    }
}
