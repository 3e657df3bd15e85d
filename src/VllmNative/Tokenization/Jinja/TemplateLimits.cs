namespace VllmNative.Tokenization.Jinja;

/// <summary>What one rendering may use: templates come from model files, and conversations from anyone.</summary>
internal sealed record TemplateLimits
{
    public static TemplateLimits Default { get; } = new();

    /// <summary>Longest template source.</summary>
    public int MaxSourceLength { get; init; } = 1 << 20;

    /// <summary>Evaluated nodes, processed list items, and characters / 32 of every string made or read.</summary>
    public long MaxSteps { get; init; } = 3_000_000;

    /// <summary>Characters of the result and of any string on the way.</summary>
    public int MaxOutputLength { get; init; } = 16 << 20;

    /// <summary>Nested expressions, statements and macro calls.</summary>
    public int MaxDepth { get; init; } = 400;

    /// <summary>Items of <c>range()</c>.</summary>
    public int MaxRange { get; init; } = 100_000;
}
