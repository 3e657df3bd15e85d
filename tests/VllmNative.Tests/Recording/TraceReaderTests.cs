using System.Text;
using VllmNative.Diagnostics;
using VllmNative.Recording;
using VllmNative.Scheduling;
using Xunit;

namespace VllmNative.Tests.Recording;

/// <summary>Traces come from outside: what is wrong with one is named by line and field.</summary>
public sealed class TraceReaderTests
{
    private static readonly string Step = TraceText.Step(1, 0.5);
    private static readonly string Request = TraceText.Request(7, 0.25, prompt: 6, output: 3, blocks: [11, 12]);

    [Fact]
    public void What_was_written_is_read()
    {
        RecordedTrace trace = TraceText.Parse(
            TraceText.Header.Replace("\"user_weights\":{}", "\"user_weights\":{\"5\":2.5}", StringComparison.Ordinal), TraceText.Step(2, 0.75), Step, Request,
            TraceText.Request(8, 1, prompt: 6, output: 3, blocks: [11, 12], more: ""","queued":1.01,"parent":7,"host_cached":0"""),
            TraceText.Request(9, 1, prompt: 6, output: 3, blocks: [11], more: ""","beams":4"""),
            """{"reset":9}""",
            """{"pin":7,"at":2,"time_to_live":60.5}""",
            TraceText.Request(6, 0.125, prompt: 1, output: 1, blocks: [], more: ""","user":5,"salt":9,"skip_reading_prefix_cache":true"""),
            """{"totals":{"steps":2,"requests":2,"dropped_steps":4,"dropped_requests":1,"dropped_orders":2,"seconds":3}}""");
        Assert.Equal(("m", 64, 4, 2.5), (trace.Header.Model, trace.Header.NumBlocks, trace.Header.BlockSize, trace.Header.UserWeights["5"]));
        Assert.Equal((4, 1, 2), (trace.DroppedSteps, trace.DroppedRequests, trace.DroppedOrders));
        Assert.Equal([new CacheOrder(2, 7, 60.5), new CacheOrder(9, null, 0)], trace.Orders);
        Assert.Equal([(null, 0, 0.25), (7L, 0, 1.01), (null, 4, 1)], trace.Requests.Skip(1).Select(request => (request.Parent, request.Beams, request.Queued)));
        Assert.Equal([1, 2], trace.Steps.Select(step => step.Id));
        Assert.Equal((0.5, 0.51, 0.01, new StepLoad(1, 1, 0, 10, 0)), (trace.Steps[0].Submitted, trace.Steps[0].Ended, trace.Steps[0].Seconds, trace.Steps[0].Load));
        Assert.Equal([6, 7, 8, 9], trace.Requests.Select(request => request.Id));
        Assert.Equal(("5", "9", true), (trace.Requests[0].User, trace.Requests[0].Salt, trace.Requests[0].SkipReadingPrefixCache));
        Assert.Equal([11ul, 12ul], trace.Requests[1].Blocks);
    }

    [Theory]
    [InlineData("line 1: schema is missing", "{}")]
    [InlineData("line 1: schema is \"vllm-native-trace/2\", expected one of vllm-native-trace/1", "$H|trace/1|trace/2")]
    [InlineData("line 1: num_blocks is 1, expected a whole number of 2..4194304", "$H|\"num_blocks\":64|\"num_blocks\":1")]
    [InlineData("line 1: num_blocks is \"64\", expected a number", "$H|\"num_blocks\":64|\"num_blocks\":\"64\"")]
    [InlineData("line 1: num_blocks and the prefix cache's host blocks hold 512000000 tokens, expected at most 134217728", "$H|64,\"block_size\":4|2000000,\"block_size\":256")]
    [InlineData("line 1: scheduling_policy is \"best\", expected one of fcfs, priority", "$H|\"fcfs\"|\"best\"")]
    [InlineData("line 1: 5 is not a number of 1E-09..1000000000", "$H|_weights\":{}|_weights\":{\"5\":-1}")]
    [InlineData("line 1: prefix_caching is 3, expected true or false", "$H|caching\":true|caching\":3")]
    [InlineData("line 1: disk_tier is 1, expected true or false", "$H|\"prefix_caching\"|\"disk_tier\":1,\"prefix_caching\"")]
    [InlineData("line 1: is not a JSON object", "[]")]
    [InlineData("line 1: is not valid JSON", "{\"schema\"")]
    [InlineData("line 2: is not valid JSON", "$H", "{\"step\":1,", "$S")]
    [InlineData("line 3: totals is missing", "$H", "$S", "{\"other\":1}")]
    [InlineData("line 2: seconds is -0.01, expected a number of 0..", "$H", "$S|\"seconds\":0.01|\"seconds\":-0.01")]
    [InlineData("line 2: decode_rows is 2, expected a whole number of 0..1", "$H", "$S|\"decode_rows\":1|\"decode_rows\":2")]
    [InlineData("line 2: rows is 1.5, expected a whole number", "$H", "$S|\"rows\":1|\"rows\":1.5")]
    [InlineData("line 2: kv_tokens is missing", "$H", "$S|\"kv_tokens\"|\"kv\"")]
    [InlineData("line 2: prompt is 0, expected a whole number of 1..1048576", "$H", "$R|\"prompt\":6|\"prompt\":0")]
    [InlineData("line 2: output is 33, expected a whole number of 0..32", "$H", "$R|\"output\":3|\"output\":33")]
    [InlineData("line 2: ended is 0.1, expected a number of 0.25..", "$H", "$R|\"ended\":0.28|\"ended\":0.1")]
    [InlineData("line 2: blocks has 16 bytes, expected 24: 8 for each of 3 full blocks", "$H", "$R|\"prompt\":6|\"prompt\":9")]
    [InlineData("line 2: queued is 0.2, expected a number of 0.25..", "$H", "$R|\"priority\":0|\"priority\":0,\"queued\":0.2")]
    [InlineData("line 2: parent is -1, expected a whole number of 0..", "$H", "$R|\"priority\":0|\"priority\":0,\"parent\":-1")]
    [InlineData("line 2: beams is 5, expected a whole number of 1..4", "$H", "$R|\"priority\":0|\"priority\":0,\"beams\":5")]
    [InlineData("line 2: beams is 1, expected a whole number of 1..0", "$H|static_row_tokens\":0|static_row_tokens\":8", "$R|\"priority\":0|\"priority\":0,\"beams\":1")]
    [InlineData("line 2: host_cached is 1, expected a whole number of 0..0", "$H", "$R|\"priority\":0|\"priority\":0,\"host_cached\":1")]
    [InlineData("line 2: time_to_live is missing", "$H", "{\"pin\":1,\"at\":2}")]
    [InlineData("line 2: reset is -1, expected a number of 0..", "$H", "{\"reset\":-1}")]
    [InlineData("line 2: blocks is not base64", "$H", "$R|\"blocks\":\"|\"blocks\":\"%")]
    [InlineData("line 2: user is 1E3, expected a whole number", "$H", "$R|\"priority\":0|\"priority\":0,\"user\":1E3")]
    [InlineData("line 2: is not valid JSON", "$H", "$R|\"priority\":0|\"priority\":0,\"priority\":1")]
    [InlineData("line 1: holds a string that is not valid Unicode", "$H|\"model\":\"m\"|\"model\":\"\\ud800\"")]
    [InlineData("line 1: holds a string that is not valid Unicode", "$H|_weights\":{}|_weights\":{\"\\ud800\":1}")]
    public void What_is_wrong_is_named(string message, params string[] lines)
    {
        var error = Assert.Throws<VllmException>(() => TraceText.Parse([.. lines.Select(Expand)]));
        Assert.StartsWith("t.jsonl: " + message, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_last_line_that_was_cut_off_is_left_out()
    {
        using var stream = new MemoryStream(Encoding.UTF8.GetBytes(TraceText.Header + "\n" + Step + "\n" + Request[..40]));
        RecordedTrace trace = TraceReader.Read(stream, "t.jsonl");
        Assert.Equal((1, 0), (trace.Steps.Count, trace.Requests.Count));
    }

    [Fact]
    public void A_line_without_end_is_refused_before_it_fills_the_memory()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        var error = Assert.Throws<VllmException>(() => TraceReader.Read(new EndlessStream(), "t.jsonl"));
        Assert.Equal($"t.jsonl: line 1: is longer than {TraceLines.MaxLineLength} bytes", error.Message);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 8L * TraceLines.MaxLineLength);
    }

    [Fact]
    public void Lines_longer_than_the_buffer_are_whole()
    {
        ulong[] hashes = [.. Enumerable.Range(0, 40_000).Select(i => (ulong)i * 0x9E3779B97F4A7C15)];
        string request = TraceText.Request(1, 0.25, prompt: 159_998, output: 3, blocks: hashes);
        RecordedTrace trace = TraceText.Parse(TraceText.Header, Step, request, Request, request);
        Assert.Equal(3, trace.Requests.Count);
        Assert.Equal(hashes, trace.Requests[0].Blocks);
    }

    [Fact]
    public void Bytes_that_were_changed_at_random_are_read_or_refused_in_words()
    {
        byte[] whole = Encoding.UTF8.GetBytes(string.Join("\n", TraceText.Header, Step, Request, "{\"totals\":{\"dropped_steps\":0,\"dropped_requests\":0}}", ""));
        var random = new Random(5);
        int refused = 0;
        for (int i = 0; i < 3000; i++)
        {
            byte[] bytes = [.. whole];
            for (int change = random.Next(1, 4); change > 0; change--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                using var stream = new MemoryStream(bytes, 0, random.Next(2) == 0 ? bytes.Length : random.Next(bytes.Length));
                TraceReader.Read(stream, "t.jsonl");
            }
            catch (VllmException e)
            {
                Assert.StartsWith("t.jsonl: line ", e.Message, StringComparison.Ordinal);
                refused++;
            }
        }

        Assert.InRange(refused, 1500, 2999);
    }

    private static string Expand(string line)
    {
        string[] parts = line.Split('|');
        string text = parts[0] switch { "$H" => TraceText.Header, "$S" => Step, "$R" => Request, _ => parts[0] };
        if (parts.Length == 3)
        {
            Assert.Contains(parts[1], text, StringComparison.Ordinal);
            text = text.Replace(parts[1], parts[2], StringComparison.Ordinal);
        }

        return text;
    }

    private sealed class EndlessStream : MemoryStream
    {
        public override int Read(byte[] buffer, int offset, int count)
        {
            buffer.AsSpan(offset, count).Fill((byte)' ');
            return count;
        }
    }
}
