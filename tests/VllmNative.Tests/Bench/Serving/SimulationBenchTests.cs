using VllmNative.Bench.Serving;
using VllmNative.Recording;
using VllmNative.Tests.Loading;
using VllmNative.Tests.Recording;
using Xunit;

namespace VllmNative.Tests.Bench.Serving;

/// <summary>What of a record is replayed.</summary>
public sealed class SimulationBenchTests
{
    [Fact]
    public void TheWarmUp_AndItsSteps_AreLeftOut()
    {
        using var folder = new TempDirectory();
        string file = folder.Write("t.jsonl", string.Join(
            "\n",
            [TraceText.Header, .. Enumerable.Range(1, 10).Select(i => TraceText.Step(i, 0.1 * i, 0.05)), TraceText.Request(3, 0.55, 9, 8, [1, 2, 3, 4]), TraceText.Request(1, 0, 9, 8, [1, 2, 3, 4]), ""]));
        RecordedTrace rest = SimulationBench.Skip(TraceReader.Read(file), 1);
        Assert.Equal([3], rest.Requests.Select(request => request.Id));
        Assert.All(rest.Steps, step => Assert.True(step.Submitted >= 0.55, $"{step.Id} at {step.Submitted}"));
        Assert.Equal(10, rest.Steps[^1].Id);
        Assert.InRange(rest.Steps.Count, 4, 6);
    }
}
