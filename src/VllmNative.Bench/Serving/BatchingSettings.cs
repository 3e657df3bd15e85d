using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench batching` measures.</summary>
internal sealed record BatchingSettings : ServingSettings
{
    private const int DefaultStaticModelLen = 8192;

    // Of each batch size, so that several batches follow each other.
    private const int SweepRequestsPerRow = 3;
    private const int LeastSweepRequests = 4;

    internal required Workload Workload { get; init; }

    /// <summary>Tokens that a static row reserves when nothing is known of the requests; null = 8192, or the model's context if that is less.</summary>
    internal int? StaticModelLen { get; init; }

    /// <summary>The workload's first requests that run with such rows, which takes long; 0 = they are left out.</summary>
    internal required int StaticRequests { get; init; }

    /// <summary>Static rows among which the KV cache is divided for the whole workload; 0 = none, null = as many as hold the longest request.</summary>
    internal int? StaticRows { get; init; }

    /// <summary>Batch sizes at which both are measured.</summary>
    internal required IReadOnlyList<int> Batches { get; init; }

    /// <summary>SVG file for the figures over the batch's size; null = none.</summary>
    internal string? PlotFile { get; init; }

    internal int StaticModelLenOf(ModelConfig config) => StaticModelLen ?? Math.Min(DefaultStaticModelLen, config.MaxPositionEmbeddings);

    /// <summary>The workload's first requests, which run with such batches.</summary>
    internal Workload PartFor(int batch) => Workload.Take(Math.Max(SweepRequestsPerRow * batch, LeastSweepRequests));

    // Prompts are repeated here: whoever had them cached would not compute them.
    internal override EngineOptions EngineOptionsFor() => Engine with { EnablePrefixCaching = false, Scheduler = EngineOptions.ContinuousScheduler };

    internal override string Describe()
    {
        string[] parts =
        [
            $"{Workload.Describe()}: continuous batching of all",
            .. StaticRows == 0 ? (string[])[] : [$"static batching of all in {(StaticRows is { } rows ? $"{rows} rows" : "rows for the longest request")}"],
            .. StaticRequests == 0 ? (string[])[] : [$"static batching of {Math.Min(StaticRequests, Workload.Requests.Count)} in rows of --static-model-len"],
            .. Batches.Count == 0 ? (string[])[] : [$"both in batches of {string.Join(',', Batches)}"],
        ];
        return string.Join(", ", parts);
    }

    internal override void Validate()
    {
        Check.Option(StaticRequests >= 0, "--static-requests", StaticRequests, "0 or more");
        Check.Option(StaticRows is null or >= 0, "--static-rows", StaticRows, "0 or more");
        Check.Option(Batches.All(batch => batch >= 1), "--batch", string.Join(',', Batches), "1 or more each");
        int atOnce = Batches.DefaultIfEmpty(1).Max();
        Check.Option(!(Engine.MaxNumSeqs < atOnce), "--max-num-seqs", Engine.MaxNumSeqs, $"{atOnce} or more, the largest batch");
    }

    /// <summary>What depends on the model.</summary>
    /// <exception cref="VllmException">A value is out of range; the message names the option.</exception>
    internal void ValidateFor(ModelConfig config)
    {
        int longest = Workload.LongestRequest;
        int reserved = StaticModelLenOf(config);
        Check.Option(reserved >= longest && reserved <= config.MaxPositionEmbeddings, "--static-model-len", reserved, $"{longest}..{config.MaxPositionEmbeddings}, the longest request and the model's context");
    }

    /// <summary>What depends on the KV cache: rows are not too short.</summary>
    /// <exception cref="VllmException">The longest request does not fit one; the message names the option.</exception>
    internal void ValidateFor(MemoryStats memory)
    {
        if (StaticRows > 0)
        {
            RowTokensOf(StaticRows.Value, memory);
        }

        if (Batches.Count > 0)
        {
            SweepRowTokens(memory);
        }
    }

    /// <summary>Tokens of each of <see cref="StaticRows"/> rows that share a KV cache.</summary>
    /// <exception cref="VllmException">The longest request does not fit such a row.</exception>
    internal int RowTokensOf(int rows, MemoryStats memory) => RowTokensOf("--static-rows", rows, memory);

    /// <summary>Tokens that a row can have at most where rows of the largest batch share a KV cache.</summary>
    /// <exception cref="VllmException">The longest request does not fit such a row.</exception>
    internal int SweepRowTokens(MemoryStats memory) => RowTokensOf("--batch", Batches.Max(), memory);

    private int RowTokensOf(string option, int rows, MemoryStats memory)
    {
        int longestBlocks = (Workload.LongestRequest + memory.BlockSize - 1) / memory.BlockSize;
        Check.Option(memory.TotalBlocks / rows >= longestBlocks, option, rows, $"at most {memory.TotalBlocks / longestBlocks}: {memory.TotalBlocks} KV blocks, {longestBlocks} for the longest request");
        return memory.TotalBlocks / rows * memory.BlockSize;
    }
}
