using VllmNative.Layers;
using VllmNative.Loading;
using VllmNative.Tensors;
using VllmNative.Tokenization;

namespace VllmNative.Engine;

/// <summary>An engine that was put together, and what it was made of.</summary>
internal sealed record EngineParts
{
    internal required EngineCore Core { get; init; }

    /// <summary>Owned by the core's runner.</summary>
    internal required Device Device { get; init; }

    internal required ModelConfig Config { get; init; }

    internal required GenerationConfig Generation { get; init; }

    /// <summary>Null when the model has none: prompts are token ids then.</summary>
    internal required Tokenizer? Tokenizer { get; init; }

    internal required KvGroup KvGroup { get; init; }

    /// <summary>KV blocks, the null block included.</summary>
    internal required int NumBlocks { get; init; }

    /// <summary>KV blocks in host memory.</summary>
    internal required HostBlocks HostBlocks { get; init; }

    internal required EngineCapabilities Capabilities { get; init; }
}
