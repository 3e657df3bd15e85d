using VllmNative.Engine;

namespace VllmNative.Bench.Serving;

/// <summary>What `bench latency` measures.</summary>
internal sealed record LatencySettings : ServingSettings
{
    /// <summary>Rows that decode together.</summary>
    internal required IReadOnlyList<int> Batches { get; init; }

    /// <summary>Prompt tokens of each row.</summary>
    internal required int Context { get; init; }

    /// <summary>Tokens that each row generates.</summary>
    internal required int Output { get; init; }

    /// <summary>Prompt lengths whose time to first token is measured.</summary>
    internal required IReadOnlyList<int> Prompts { get; init; }

    /// <summary>How often each is measured.</summary>
    internal required int Repeats { get; init; }

    /// <summary>The engine's options, with room for the largest batch and the longest request where nothing else was said.</summary>
    internal override EngineOptions EngineOptionsFor() => Engine with
    {
        MaxNumSeqs = Engine.MaxNumSeqs ?? Math.Max(Batches.DefaultIfEmpty(1).Max(), 1),
        MaxModelLen = Engine.MaxModelLen ?? Math.Max(Batches.Count > 0 ? Context + Output : 0, Prompts.DefaultIfEmpty(0).Max() + 1),
    };

    internal override string Describe() =>
        $"batches of {string.Join(',', Batches)} with {Context} prompt and {Output} output tokens, prompts of {string.Join(',', Prompts)} tokens, each measured {Repeats} times";

    internal override void Validate()
    {
        Check.Option(Batches.All(batch => batch >= 1), "--batch", string.Join(',', Batches), "1 or more each");
        Check.Option(Prompts.All(prompt => prompt >= 1), "--prompt", string.Join(',', Prompts), "1 or more each");
        Check.Option(Batches.Count + Prompts.Count > 0, "--batch and --prompt", "empty", "a number in one of them");
        Check.Option(Context >= 1, "--context", $"{Context}", "1 or more");
        Check.Option(Output >= 2, "--output", $"{Output}", "2 or more: the time between two tokens is measured");
        Check.Option(Repeats >= 1, "--repeats", $"{Repeats}", "1 or more");
        int largest = Batches.DefaultIfEmpty(1).Max();
        Check.Option(Engine.MaxNumSeqs is null || Engine.MaxNumSeqs >= largest, "--max-num-seqs", $"{Engine.MaxNumSeqs}", $"{largest} or more, the largest batch");
    }
}
