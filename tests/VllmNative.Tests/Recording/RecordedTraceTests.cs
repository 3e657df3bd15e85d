using VllmNative.Recording;
using Xunit;

namespace VllmNative.Tests.Recording;

/// <summary>Parts of a trace.</summary>
public sealed class RecordedTraceTests
{
    [Fact]
    public void The_first_requests_and_their_steps_are_left_out()
    {
        RecordedTrace trace = TraceText.Parse(
            [TraceText.Header, .. Enumerable.Range(1, 10).Select(i => TraceText.Step(i, 0.1 * i, 0.05)), TraceText.Request(3, 0.55, 9, 8, [1, 2, 3, 4]), TraceText.Request(1, 0, 9, 8, [1, 2, 3, 4])]);
        RecordedTrace rest = trace.Skip(1);
        Assert.Equal([3], rest.Requests.Select(request => request.Id));
        Assert.Equal([6, 7, 8, 9, 10], rest.Steps.Select(step => step.Id));
        Assert.Empty(trace.Skip(2).Steps);
    }
}
