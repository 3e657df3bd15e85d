using System.Diagnostics.Metrics;
using System.Text.Json;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Tests.Loading;
using Xunit;

namespace VllmNative.Tests.Engine;

/// <summary>What an engine says of itself is what it wrote down, event by event.</summary>
public sealed class EngineStatsTests
{
    private const string Model = "an engine that is watched";

    [Fact]
    public async Task Stats_and_instruments_say_what_the_record_says()
    {
        using var folder = new TempDirectory();
        string file = Path.Combine(folder.Path, "trace.jsonl");
        string model = Path.Combine(folder.Path, Model);
        Directory.CreateSymbolicLink(model, TestEngines.Tiny.Model);
        EngineOptions options = TestEngines.Tiny with
        {
            Model = model, RecordTo = file, BlockSize = 4, NumBlocksOverride = 60, MaxNumSeqs = 8, PreemptionMode = PreemptionMode.Swap, SwapSpace = 0.01, KvOffloadSpace = 0.01,
        };
        EngineStats stats;
        MemoryStats memory;
        Dictionary<string, double> instruments;
        using (var engine = AsyncLlmEngine.Create(options))
        {
            Assert.Equal(default, engine.Stats);
            for (int round = 0; round < 2; round++)
            {
                await Task.WhenAll(Enumerable.Range(0, 24).Select(i => engine.GenerateAsync(
                    TestEngines.Prompt(i % 6, 20 + i), SamplingParams.Greedy with { MaxTokens = 20 + i, IgnoreEos = true }).LastAsync())).WaitAsync(TestEngines.Limit);
            }

            await engine.AssertAllFreeAsync();
            (stats, memory, instruments) = (engine.Stats, engine.Memory, Listen());
        }

        Assert.Equal((0, 0, 48), (stats.RunningRequests, stats.WaitingRequests, stats.FinishedRequests));
        Assert.Equal(Enumerable.Range(0, 24).Sum(i => 2 * (20 + i)), stats.GeneratedTokens);
        Assert.True(stats is { Preemptions: > 0, SwappedOutBlocks: > 0, SwappedInBlocks: > 0, OffloadedBlocks: > 0, OnloadedBlocks: > 0 }, stats.ToString());
        Assert.True(memory is { PrefixCacheHits: > 0, EvictedBlocks: > 0 } && memory.PrefixCacheHits < memory.PrefixCacheQueries, memory.ToString());

        JsonElement[] steps = [.. File.ReadLines(file).Select(line => JsonDocument.Parse(line).RootElement).Where(line => line.TryGetProperty("step", out _))];
        (string Kind, int Count)[] events = [.. steps.SelectMany(step => step.TryGetProperty("events", out JsonElement list) ? list.EnumerateArray() : []).Select(happened => (happened[0].GetString()!, happened[2].GetInt32()))];
        Assert.Equal((steps.Length, SumOf("rows")), (stats.Steps, stats.ScheduledRows));
        Assert.Equal(SumOf("decode_rows") + SumOf("prefill_tokens"), stats.ScheduledTokens);
        Assert.Equal((Count("admitted"), Count("preempted")), (stats.Admissions, stats.Preemptions));
        Assert.Equal((Sum("swapped_out"), Sum("swapped_in"), Sum("evicted")), (stats.SwappedOutBlocks, stats.SwappedInBlocks, memory.EvictedBlocks));

        Dictionary<string, double> expected = new()
        {
            ["vllm.num_requests_running"] = 0,
            ["vllm.num_requests_waiting"] = 0,
            ["vllm.kv_cache_usage"] = 0,
            ["vllm.steps"] = stats.Steps,
            ["vllm.scheduled_tokens"] = stats.ScheduledTokens,
            ["vllm.requests_finished"] = 48,
            ["vllm.generation_tokens"] = stats.GeneratedTokens,
            ["vllm.prefix_cache_queries"] = memory.PrefixCacheQueries,
            ["vllm.prefix_cache_hits"] = memory.PrefixCacheHits,
            ["vllm.evicted_blocks"] = memory.EvictedBlocks,
            ["vllm.num_preemptions"] = stats.Preemptions,
            ["vllm.swapped_out_blocks"] = stats.SwappedOutBlocks,
            ["vllm.swapped_in_blocks"] = stats.SwappedInBlocks,
            ["vllm.offloaded_blocks"] = stats.OffloadedBlocks,
            ["vllm.onloaded_blocks"] = stats.OnloadedBlocks,
            ["vllm.disk_loaded_blocks"] = 0,
        };
        Assert.Equal(expected.OrderBy(at => at.Key), instruments.OrderBy(at => at.Key));
        return;

        long SumOf(string property) => steps.Sum(step => step.GetProperty(property).GetInt64());
        long Count(string kind) => events.Count(happened => happened.Kind == kind);
        long Sum(string kind) => events.Where(happened => happened.Kind == kind).Sum(happened => (long)happened.Count);
    }

    [Fact]
    public void Engines_of_one_model_are_told_apart_by_numbers_that_stay_small()
    {
        using EngineMeter first = Make();
        for (int i = 0; i < 1000; i++)
        {
            using EngineMeter second = Make();
            int[] both = Numbers();
            Assert.Equal(2, both.Distinct().Count());
            // Engines of other tests live meanwhile.
            Assert.InRange(both.Max(), 1, 200);
            second.Dispose();
        }

        static EngineMeter Make() => new("twins", () => default, () => default);

        static int[] Numbers()
        {
            var numbers = new List<int>();
            using var listener = new MeterListener();
            listener.InstrumentPublished = (instrument, _) =>
            {
                Dictionary<string, object?> tags = new(instrument.Meter.Tags ?? []);
                if (instrument.Name == "vllm.steps" && (string?)tags["model"] == "twins")
                {
                    numbers.Add((int)tags["engine"]!);
                }
            };
            listener.Start();
            return [.. numbers];
        }
    }

    // What a listener hears of the engine's instruments.
    private static Dictionary<string, double> Listen()
    {
        var heard = new Dictionary<string, double>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == AsyncLlmEngine.MeterName && instrument.Meter.Tags!.Contains(new KeyValuePair<string, object?>("model", Model)))
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => heard[instrument.Name] = value);
        listener.SetMeasurementEventCallback<double>((instrument, value, _, _) => heard[instrument.Name] = value);
        listener.Start();
        listener.RecordObservableInstruments();
        return heard;
    }
}
