namespace VllmNative.Bench.Kernels;

/// <summary>The matrices of a decoder as the engine merges them: q, k, v in one, gate and up in one.</summary>
internal sealed record DecoderShape(string Name, int Layers, int AllLayers, int Hidden, int QkvRows, int AttentionWidth, int Intermediate, int Vocabulary)
{
    internal static DecoderShape Llama8B { get; } = new("Llama-3.1-8B", 32, 32, 4096, 6144, 4096, 14336, 128256);

    internal static DecoderShape Qwen600M { get; } = new("Qwen3-0.6B", 28, 28, 1024, 4096, 2048, 3072, 151936);

    /// <summary>The name, and what was left away.</summary>
    internal string Title => Layers == AllLayers ? Name : $"{Name} cut to {Layers} layers";

    /// <summary>Rows (outputs) and columns (inputs) of each layer's matrices.</summary>
    internal IReadOnlyList<(string Name, int Rows, int Columns)> Matrices =>
    [
        ("qkv", QkvRows, Hidden),
        ("o", Hidden, AttentionWidth),
        ("gate-up", 2 * Intermediate, Hidden),
        ("down", Hidden, Intermediate),
    ];
}
