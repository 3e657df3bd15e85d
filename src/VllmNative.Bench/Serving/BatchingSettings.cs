using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Loading;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench batching` measures.</summary>
internal sealed record BatchingSettings
{
    private const int DefaultStaticModelLen = 8192;

    /// <summary>What to load; scheduler and context are the benchmark's own.</summary>
    internal required EngineOptions Engine { get; init; }

    internal required Workload Workload { get; init; }

    /// <summary>Tokens that a static row reserves when nothing is known of the requests; null = 8192, or the model's context if that is less.</summary>
    internal int? StaticModelLen { get; init; }

    /// <summary>The workload's first requests that run with such rows, which takes long.</summary>
    internal required int StaticRequests { get; init; }

    /// <summary>Batch sizes at which both are measured.</summary>
    internal required IReadOnlyList<int> Batches { get; init; }

    internal int StaticModelLenOf(ModelConfig config) => StaticModelLen ?? Math.Min(DefaultStaticModelLen, config.MaxPositionEmbeddings);

    /// <exception cref="VllmException">A value is out of range; the message names the option.</exception>
    internal void Validate(ModelConfig config)
    {
        Check.Option(StaticRequests >= 1, "--static-requests", StaticRequests, "1 or more");
        Check.Option(Batches.All(batch => batch >= 1), "--batch", string.Join(',', Batches), "1 or more each");
        int longest = Workload.LongestRequest;
        int reserved = StaticModelLenOf(config);
        Check.Option(reserved >= longest && reserved <= config.MaxPositionEmbeddings, "--static-model-len", reserved, $"{longest}..{config.MaxPositionEmbeddings}, the longest request and the model's context");
        int atOnce = Batches.DefaultIfEmpty(1).Max();
        Check.Option(!(Engine.MaxNumSeqs < atOnce), "--max-num-seqs", Engine.MaxNumSeqs, $"{atOnce} or more, the largest batch");
    }
}
