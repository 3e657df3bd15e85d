namespace VllmNative.Bench.Kernels;

/// <summary>How large the kernels' cases are: as in serving on a GPU, smaller where a CPU would take minutes.</summary>
internal sealed record KernelPlan
{
    /// <summary>Bytes that a case goes through before it touches the same again: beyond the device's caches.</summary>
    internal required long RotateBytes { get; init; }

    /// <summary>Bytes of each side of the copy that measures the memory's bandwidth.</summary>
    internal required long CopyBytes { get; init; }

    /// <summary>M, N and K of the product that measures the matrix units.</summary>
    internal required int CeilingGemm { get; init; }

    internal required IReadOnlyList<AttentionShape> Attention { get; init; }

    internal required IReadOnlyList<DecoderShape> Models { get; init; }

    /// <summary>Rows of the products of a decode step.</summary>
    internal required IReadOnlyList<int> GemmRows { get; init; }

    internal required int SampleRows { get; init; }

    internal required int Vocabulary { get; init; }

    /// <summary>Tokens of the row operations.</summary>
    internal required IReadOnlyList<int> RowTokens { get; init; }

    internal static KernelPlan Gpu { get; } = new()
    {
        RotateBytes = 256L << 20,
        CopyBytes = 1L << 30,
        CeilingGemm = 8192,
        Attention =
        [
            AttentionShape.Decode(32, 8, 128, 2048),
            AttentionShape.Decode(32, 8, 32, 2048),
            AttentionShape.Decode(32, 8, 32, 8192),
            AttentionShape.Decode(32, 8, 1, 2048),
            AttentionShape.Decode(32, 32, 32, 2048),
            AttentionShape.Prefill(32, 8, 2048),
            AttentionShape.Prefill(32, 8, 8192),
        ],
        Models = [DecoderShape.Llama8B, DecoderShape.Qwen600M],
        GemmRows = [1, 32, 128],
        SampleRows = 128,
        Vocabulary = 128256,
        RowTokens = [1, 128, 8192],
    };

    internal static KernelPlan Cpu { get; } = new()
    {
        RotateBytes = 128L << 20,
        CopyBytes = 128L << 20,
        CeilingGemm = 768,
        Attention = [AttentionShape.Decode(32, 8, 4, 1024), AttentionShape.Prefill(32, 8, 256)],
        Models = [DecoderShape.Qwen600M with { Layers = 2 }],
        GemmRows = [1, 32],
        SampleRows = 8,
        Vocabulary = 32000,
        RowTokens = [1, 128],
    };
}
