using VllmNative.Bench.Serving;
using VllmNative.Diagnostics;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Bench.Serving;

/// <summary>Files of request lengths.</summary>
public sealed class WorkloadTests
{
    [Fact]
    public void ChatWorkload_IsAThousandRequests()
    {
        Workload workload = Workload.Load(TestAssets.Path("workloads", "chat-1000.json"));
        Assert.Equal(("chat-1000", 1000), (workload.Name, workload.Requests.Count));
        Assert.Equal((57, 51), workload.Requests[0]);
        Assert.All(workload.Requests, request => Assert.True(request.Prompt is >= 1 and <= 1024 && request.Output is >= 1 and <= 1024));
        Assert.Equal(workload.Requests.Max(request => request.Prompt + request.Output), workload.LongestRequest);
    }

    [Fact]
    public void TakeAndShorten_KeepTheOrder()
    {
        var workload = new Workload("w", [(1, 9), (2, 3), (3, 4)]);
        Workload few = workload.Take(2).Shorten(5);
        Assert.Equal([(1, 5), (2, 3)], few.Requests);
        Assert.Equal((3, 8, 6), (few.PromptTokens, few.OutputTokens, few.LongestRequest));
    }

    [Theory]
    [InlineData("""{"requests": []}""", "requests is empty")]
    [InlineData("""{"requests": [[1, 2], [3, 0]]}""", "request 1 is [3, 0]")]
    [InlineData("""{"requests": [[1, 2, 3]]}""", "request 0 is [1, 2, 3]")]
    [InlineData("""{"requests": [["a", 2]]}""", "not a workload")]
    [InlineData("""{"prompts": []}""", "not a workload")]
    [InlineData("requests", "not a workload")]
    public void BadFile_IsNamedWithTheEntry(string json, string expected)
    {
        using var folder = new TempDirectory();
        string file = folder.Write("w.json", json);
        VllmException error = Assert.Throws<VllmException>(() => Workload.Load(file));
        Assert.StartsWith($"{file}: {expected}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RandomPrompts_AreTheSameForASeed_AndWithinTheVocabulary()
    {
        int[] first = [.. RandomPrompts.Create(3, 200, 100).TokenIds!];
        Assert.Equal(first, RandomPrompts.Create(3, 200, 100).TokenIds);
        Assert.NotEqual(first, RandomPrompts.Create(4, 200, 100).TokenIds);
        Assert.All(first, id => Assert.InRange(id, 10, 89));
        Assert.All(RandomPrompts.Create(1, 50, 4).TokenIds!, id => Assert.InRange(id, 0, 3));
    }
}
