using System.Diagnostics.Metrics;

namespace VllmNative.Engine;

/// <summary>
/// <see cref="EngineStats"/> and <see cref="MemoryStats"/> as instruments of <see cref="System.Diagnostics.Metrics"/>, for OpenTelemetry or
/// dotnet-counters. They are read when somebody listens; the engine does nothing for them. The tag "engine" tells engines of one process apart.
/// </summary>
internal sealed class EngineMeter : IDisposable
{
    // Numbers of the engines that live in this process.
    private static readonly HashSet<int> Engines = [];

    private readonly Meter _meter;
    private int _engine;

    /// <param name="model">The tag "model" of all instruments.</param>
    /// <param name="stats">Gives the engine's.</param>
    /// <param name="memory">Gives the cache's.</param>
    internal EngineMeter(string model, Func<EngineStats> stats, Func<MemoryStats> memory)
    {
        _engine = TakeNumber();
        _meter = new Meter(new MeterOptions(AsyncLlmEngine.MeterName) { Tags = [new("model", model), new("engine", _engine)] });
        Now("num_requests_running", "{request}", "Requests that have a row.", () => stats().RunningRequests);
        Now("num_requests_waiting", "{request}", "Requests that wait for a row or for KV blocks.", () => stats().WaitingRequests);
        Now("kv_cache_usage", "1", "Share of the KV blocks that requests own, 0..1.", () => memory().Utilization);
        Total("steps", "{step}", "Steps computed.", () => stats().Steps);
        Total("scheduled_tokens", "{token}", "Tokens computed, of prompts and generated ones.", () => stats().ScheduledTokens);
        Total("requests_finished", "{request}", "Requests that have ended.", () => stats().FinishedRequests);
        Total("generation_tokens", "{token}", "Tokens that requests which have ended generated.", () => stats().GeneratedTokens);
        Total("prefix_cache_queries", "{token}", "Tokens looked up in the prefix cache.", () => memory().PrefixCacheQueries);
        Total("prefix_cache_hits", "{token}", "Tokens of them that were found.", () => memory().PrefixCacheHits);
        Total("evicted_blocks", "{block}", "Cached KV blocks that gave way.", () => memory().EvictedBlocks);
        Total("num_preemptions", "{preemption}", "How often a request lost its KV blocks.", () => stats().Preemptions);
        Total("swapped_out_blocks", "{block}", "Blocks of preempted requests that went to the host.", () => stats().SwappedOutBlocks);
        Total("swapped_in_blocks", "{block}", "Blocks of them that came back.", () => stats().SwappedInBlocks);
        Total("offloaded_blocks", "{block}", "Cached blocks that went to the host's tier.", () => stats().OffloadedBlocks);
        Total("onloaded_blocks", "{block}", "Blocks of them that came back.", () => stats().OnloadedBlocks);
        Total("disk_loaded_blocks", "{block}", "Blocks that came from disk.", () => stats().DiskLoadedBlocks);
    }

    public void Dispose()
    {
        _meter.Dispose();
        lock (Engines)
        {
            // Disposed again, it has none.
            Engines.Remove(_engine);
            _engine = -1;
        }
    }

    // The lowest that is free, so that an engine made anew goes on with the series of the one before.
    private static int TakeNumber()
    {
        lock (Engines)
        {
            int number = 0;
            while (!Engines.Add(number))
            {
                number++;
            }

            return number;
        }
    }

    private void Now(string name, string unit, string description, Func<double> read) => _meter.CreateObservableGauge("vllm." + name, read, unit, description);

    private void Total(string name, string unit, string description, Func<long> read) => _meter.CreateObservableCounter("vllm." + name, read, unit, description);
}
